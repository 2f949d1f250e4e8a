"""Task metrics: how well a model does what it is for, on data whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trtbuild.errors import StageError
from trtbuild.model.cases import Case
from trtbuild.model.names import nearest
from trtbuild.model.references import call_user, load_callable

if TYPE_CHECKING:
    from pathlib import Path

    from trtbuild.recipe.model import Options


def evaluate(name: str, metric: Options, cases: Sequence[Case], folder: Path) -> dict[str, float]:
    """The scores of one metric of the recipe: its name -> the number; a hook that returns a dict
    gives `name.key` for each. Raises StageError with what the data or the hook lacks.
    """
    if "hook" in metric:
        return _hook(name, metric, cases, folder)
    return {name: _top1(name, metric, cases)}


def _top1(name: str, metric: Options, cases: Sequence[Case]) -> float:
    """The share of samples whose largest element, along the last axis, is at the label's index."""
    output, labels = str(metric["output"]), str(metric["labels"])
    right = total = 0
    for case in cases:
        _require(output, case.outputs, f"metric '{name}'", "output")
        if labels not in case.extras:
            continue
        scores, truth = case.outputs[output], case.extras[labels].reshape(-1)
        rows = math.prod(scores.shape[:-1])
        if not scores.ndim or scores.shape[-1] < 2 or rows != truth.size:
            raise StageError(
                f"output '{output}' of shape {list(scores.shape)} does not fit "
                f"labels '{labels}' of shape {list(case.extras[labels].shape)}",
                where=f"metric '{name}'",
                hint="top1 takes scores of shape [..., classes] and one label for each row",
            )
        right += int(np.count_nonzero(scores.argmax(axis=-1).reshape(-1) == truth))
        total += truth.size
    if not total:
        known = {extra for case in cases for extra in case.extras}
        raise StageError(
            f"the dataset has no labels '{labels}'{nearest(labels, known)}",
            where=f"metric '{name}'",
            hint=f"arrays beside the inputs: {', '.join(sorted(known)) or 'none'}",
        )
    return right / total


def _hook(name: str, metric: Options, cases: Sequence[Case], folder: Path) -> dict[str, float]:
    reference, options = str(metric["hook"]), metric.get("options") or {}
    assert isinstance(options, dict)  # noqa: S101 - the plan wrote it
    result: Any = call_user(load_callable(reference, folder), reference, cases, **options)
    scores = result if isinstance(result, Mapping) else {"": result}
    if not scores:  # no number could break the limits
        raise StageError(
            f"{reference} returned an empty dict, which says nothing about metric '{name}'",
            where=reference,
            hint="return a number for each score; where there is no data for one, raise an error",
        )
    return {
        f"{name}.{key}" if key else name: _number(value, reference) for key, value in scores.items()
    }


def _number(value: Any, reference: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise StageError(
            f"{reference} returned a {type(value).__name__}, not a number or a dict of numbers",
            where=reference,
            hint="return one number, or a dict of them",
        ) from error
    if not math.isfinite(number):
        raise StageError(
            f"{reference} returned {number}",
            where=reference,
            hint="a metric over no samples, or over NaN outputs: return a finite number",
        )
    return number


def _require(name: str, found: Mapping[str, Any], where: str, what: str) -> None:
    if name not in found:
        raise StageError(
            f"there is no {what} '{name}'{nearest(name, found)}",
            where=where,
            hint=f"the {what}s are {', '.join(found)}",
        )
