"""Runs an exported graph once at its smallest and once at its largest shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trtbuild.errors import StageError
from trtbuild.model.inputs import random_values
from trtbuild.model.runner import Runner, UnsupportedModelError, open_model

if TYPE_CHECKING:
    from trtbuild.recipe.model import Input, Shape

Shapes = Mapping[str, "Shape"]

_SEED = 0


def try_shapes(
    path: Path, inputs: Sequence[Input], example: Shapes | None, warn: Callable[[str], None]
) -> None:
    """Raise StageError where the graph does not run at min or at max, and name the axis.

    `example` holds the shapes that the graph was exported on, None where nobody knows. A graph
    with operators that the CPU does not have is not run: that is a warning.
    """
    smallest = {item.name: item.min for item in inputs}
    largest = {item.name: item.max for item in inputs}
    try:
        runner = open_model(path)
        for shapes, other in ((smallest, example or largest), (largest, example or smallest)):
            try:
                _run(runner, inputs, shapes)
            except UnsupportedModelError:
                raise
            except StageError as error:
                raise _told_of_axis(error, runner, inputs, shapes, other) from error
    except UnsupportedModelError as error:
        warn(f"not run at min and max: {error.what}")


def _run(runner: Runner, inputs: Sequence[Input], shapes: Shapes) -> None:
    generator = np.random.default_rng(_SEED)
    runner.run({item.name: random_values(item, shapes[item.name], generator) for item in inputs})


def _runs(runner: Runner, inputs: Sequence[Input], shapes: Shapes) -> bool:
    try:
        _run(runner, inputs, shapes)
    except StageError:
        return False
    return True


def _told_of_axis(
    error: StageError, runner: Runner, inputs: Sequence[Input], failing: Shapes, other: Shapes
) -> StageError:
    """The error with the axes that the graph is specialised in, where that can be found out.

    From shapes on which it runs, one dimension after the other is given the failing size.
    """
    if failing == other or not _runs(runner, inputs, other):
        return error
    guilty = [
        name
        for name, places in _dimensions(runner).items()
        if not _runs(runner, inputs, _moved(other, failing, places))
    ]
    if not guilty:
        return error
    runs_on = ", ".join(f"{name} {list(shape)}" for name, shape in other.items())
    return StageError(
        f"{error.what}; it runs on {runs_on}, and not when only {' or '.join(guilty)} changes: "
        "the graph is made for that size",
        where=error.where,
        hint="give that axis the same min and max, or change the model so that it does not turn "
        "the axis's size into a number; for a torch model, the other exporter may do",
    )


def _dimensions(runner: Runner) -> dict[str, list[tuple[str, int]]]:
    """What each dynamic dimension is called, and the (input, axis) where it stands."""
    found: dict[str, list[tuple[str, int]]] = {}
    for item in runner.inputs:
        for axis, dim in enumerate(item.dims or ()):
            if not isinstance(dim, int):
                key = f"'{dim}'" if dim else f"axis {axis} of '{item.name}'"
                found.setdefault(key, []).append((item.name, axis))
    return found


def _moved(shapes: Shapes, target: Shapes, places: Sequence[tuple[str, int]]) -> Shapes:
    moved = {name: list(shape) for name, shape in shapes.items()}
    for name, axis in places:
        moved[name][axis] = target[name][axis]
    return {name: tuple(shape) for name, shape in moved.items()}
