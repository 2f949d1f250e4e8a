"""What a stage asks of the recipe's dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.dataset import demand_of
from trtbuild.model.inputs import parse_inputs

if TYPE_CHECKING:
    from trtbuild.dataset.base import Demand
    from trtbuild.stages.base import StageContext


def stage_demand(context: StageContext, asked: Any) -> Demand:
    """The demand of a stage: `asked` are the options that hold dataset, samples and batch.

    Raises StageError for a batch outside of the profile.
    """
    return demand_of(
        asked["dataset"],
        parse_inputs(context.options["inputs"]),
        context.folder,
        context.inputs.get("dataset"),
        samples=asked.get("samples"),
        batch=asked.get("batch"),
        warn=context.reporter.warn,
        files=tuple(path for role, path in context.inputs.items() if role.startswith("dataset/")),
    )
