"""What a stage asks of the recipe's dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trtbuild.dataset import demand_of
from trtbuild.model.inputs import parse_inputs

if TYPE_CHECKING:
    from trtbuild.dataset.base import Demand
    from trtbuild.stages.base import StageContext


def stage_demand(context: StageContext, asked: Any, key: str) -> Demand:
    """The demand of a stage: `asked` are the options that hold dataset, samples and batch, `key`
    the recipe's section that they are from.

    Datasets name the recipe's inputs: where the stage's have other names by surgery, those are
    undone. Raises StageError for a batch outside of the profile.
    """
    renames: Any = context.options.get("renames") or {}
    old = {new: name for name, new in renames.items()}
    inputs = parse_inputs(context.options["inputs"])
    return demand_of(
        asked["dataset"],
        [replace(item, name=old.get(item.name, item.name)) for item in inputs],
        context.folder,
        context.inputs.get("dataset"),
        samples=asked.get("samples"),
        batch=asked.get("batch"),
        warn=context.reporter.warn,
        files=tuple(path for role, path in context.inputs.items() if role.startswith("dataset/")),
        key=key,
    )
