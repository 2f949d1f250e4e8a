"""The shapes that a benchmark measures: one point, several, or a sweep over a dimension.

Pure and light: the plan turns what a recipe says into points with it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.model import Input, Options, Shape

SIZES = ("min", "opt", "max")
_AXIS = re.compile(r"(?P<input>.+)\[(?P<axis>\d+)\]")


@dataclass(frozen=True, slots=True)
class Point:
    """One set of shapes to measure at, and its name in results."""

    name: str
    shapes: dict[str, Shape]

    def as_options(self) -> Options:
        """Plain JSON, as the benchmark stage takes it."""
        return {"name": self.name, "shapes": {k: list(v) for k, v in self.shapes.items()}}


def points_of(spec: Any, inputs: Sequence[Input]) -> tuple[Point, ...]:
    """The points that a recipe's `benchmark.shapes` means.

    It is "min", "opt" or "max"; a mapping of inputs to shapes (the others stay at opt); a mapping
    {sweep: {KEY: [sizes]}}, where KEY is a dimension's name, "batch" for the first dynamic axis
    of every input, or "INPUT[AXIS]", and several keys give every combination; or a list of these.
    Raises ValueError, with the key that is wrong, for what the inputs do not have.
    """
    items = spec if isinstance(spec, list) else [spec]
    points = [point for item in items for point in _points(item, inputs)]
    names = [point.name for point in points]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"shapes: {', '.join(twice)} twice")
    return tuple(points)


def _points(item: Any, inputs: Sequence[Input]) -> list[Point]:
    if isinstance(item, str):
        if item not in SIZES:
            raise ValueError(f"shapes: '{item}' is not one of {', '.join(SIZES)}")
        return [Point(item, {i.name: getattr(i, item) for i in inputs})]
    if "sweep" in item:
        return _sweep(item["sweep"], inputs)
    return [_named(item, inputs)]


def _named(item: dict[str, Any], inputs: Sequence[Input]) -> Point:
    shapes = {i.name: i.opt for i in inputs}
    for name, sizes in item.items():
        if name not in shapes:
            raise ValueError(f"shapes.{name}: the inputs are {', '.join(shapes)}")
        shapes[name] = tuple(sizes)
    return _checked(Point(_label(item), shapes), inputs)


def _label(item: dict[str, Any]) -> str:
    """trtexec's notation: image:16x3x224x224,mask:16."""
    return ",".join(f"{name}:{'x'.join(map(str, sizes))}" for name, sizes in item.items())


def _sweep(sweep: dict[str, list[int]], inputs: Sequence[Input]) -> list[Point]:
    found = []
    for sizes in itertools.product(*sweep.values()):
        shapes = {i.name: list(i.opt) for i in inputs}
        for key, size in zip(sweep, sizes, strict=True):
            for name, axis in _places(key, inputs):
                shapes[name][axis] = size
        label = ",".join(f"{key}={size}" for key, size in zip(sweep, sizes, strict=True))
        point = Point(label, {name: tuple(shape) for name, shape in shapes.items()})
        found.append(_checked(point, inputs))
    return found


def _places(key: str, inputs: Sequence[Input]) -> list[tuple[str, int]]:
    """The (input, axis) pairs that a sweep's key stands for."""
    named = [
        (item.name, axis)
        for item in inputs
        for axis, dim in enumerate(item.dims or ())
        if dim == key
    ]
    if named:
        return named
    if match := _AXIS.fullmatch(key):
        for item in inputs:
            if item.name == match["input"] and int(match["axis"]) < len(item.opt):
                return [(item.name, int(match["axis"]))]
    elif key == "batch":
        batched = [(item.name, 0) for item in inputs if item.min[:1] != item.max[:1]]
        if batched:
            return batched
    raise ValueError(
        f"shapes.sweep.{key}: it is no dimension's name, no INPUT[AXIS], and no batch that changes"
    )


def _checked(point: Point, inputs: Sequence[Input]) -> Point:
    for item in inputs:
        shape = point.shapes[item.name]
        sound = len(shape) == len(item.opt) and all(
            low <= size <= high for low, size, high in zip(item.min, shape, item.max, strict=True)
        )
        if not sound:
            raise ValueError(
                f"shapes: {point.name} makes {item.name} {list(shape)}, built is {list(item.min)} "
                f"to {list(item.max)}"
            )
    return point
