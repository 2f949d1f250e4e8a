"""The shapes that a benchmark measures: one point, several, or a sweep over a dimension.

Pure: what a recipe says becomes the points that the benchmark stage takes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.model import Input, Options, Shape
from trtbuild.recipe.problems import BadKey, listed
from trtbuild.recipe.raw import RawRecipe

SIZES = ("min", "opt", "max")
MOST = 256
"""Points of one benchmark: more is a mistake in a sweep, which would run for hours."""

_AXIS = re.compile(r"(?P<input>.+)\[(?P<axis>\d+)\]")


@dataclass(frozen=True, slots=True)
class Point:
    """One set of shapes to measure at, and its name in results."""

    name: str
    shapes: dict[str, Shape]

    def as_options(self) -> Options:
        """Plain JSON, as the benchmark stage takes it."""
        return {"name": self.name, "shapes": {k: list(v) for k, v in self.shapes.items()}}


def in_benchmarked_profile(raw: RawRecipe, inputs: Sequence[Input]) -> tuple[Input, ...]:
    """The inputs with the shapes of the optimization profile that a recipe measures.

    As they are where the recipe gives no profiles, not this one, or a wrong one, which other
    checks tell.
    """
    profiles: Any = raw.get("build", {}).get("profiles", ())
    index = int(raw.get("benchmark", {}).get("profile_index", 0))
    shapes = profiles[index] if 0 <= index < len(profiles) else {}
    return tuple(
        item.in_profile(shapes[item.name]) if _fits(item, shapes.get(item.name, {})) else item
        for item in inputs
    )


def _fits(item: Input, shapes: dict[str, Any]) -> bool:
    return all(len(shapes.get(size, ())) == len(item.opt) and size in shapes for size in SIZES)


def points_of(spec: Any, inputs: Sequence[Input]) -> tuple[Point, ...]:
    """The points that a recipe's `benchmark.shapes` means.

    It is "min", "opt" or "max"; a mapping of inputs to shapes (the others stay at opt); a mapping
    {sweep: {KEY: [sizes]}}, where KEY is a dimension's name, "batch" for the first dynamic axis
    of every input, or "INPUT[AXIS]", and several keys give every combination; or a list of these.
    Raises BadKey for what the inputs do not have.
    """
    items = spec if isinstance(spec, list) else [spec]
    points = list(itertools.islice((p for item in items for p in _points(item, inputs)), MOST + 1))
    names = [point.name for point in points]
    if not points:
        raise BadKey(("shapes",), "there is nothing to measure")
    if len(points) > MOST:
        raise BadKey(("shapes",), f"these are more than {MOST} points")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadKey(("shapes",), f"{listed(twice)} would be measured twice")
    return tuple(points)


def _points(item: Any, inputs: Sequence[Input]) -> Iterator[Point]:
    if isinstance(item, str):
        if item not in SIZES:
            raise BadKey(("shapes",), f"'{item}' is not one of {', '.join(SIZES)}")
        yield Point(item, {i.name: getattr(i, item) for i in inputs})
    elif isinstance(item.get("sweep"), dict):
        if len(item) > 1:
            others = listed(name for name in item if name != "sweep")
            raise BadKey(("shapes",), f"a sweep goes with no other key, here is {others} too")
        yield from _sweep(item["sweep"], inputs)
    else:
        yield _named(item, inputs)


def _named(item: dict[str, Any], inputs: Sequence[Input]) -> Point:
    shapes = {i.name: i.opt for i in inputs}
    for name, sizes in item.items():
        if name not in shapes:
            raise BadKey(("shapes", name), f"it is no input ({', '.join(shapes)})")
        if not isinstance(sizes, list):
            raise BadKey(("shapes", name), "expected a shape, such as [16, 3, 224, 224]")
        shapes[name] = tuple(int(size) for size in sizes)
    return _checked(Point(_label(item), shapes), inputs)


def _label(item: dict[str, Any]) -> str:
    """trtexec's notation: image:16x3x224x224,mask:16."""
    return ",".join(f"{name}:{'x'.join(f'{n:g}' for n in sizes)}" for name, sizes in item.items())


def _sweep(sweep: dict[str, list[int]], inputs: Sequence[Input]) -> Iterator[Point]:
    for sizes in itertools.product(*sweep.values()):
        shapes = {i.name: list(i.opt) for i in inputs}
        for key, size in zip(sweep, sizes, strict=True):
            for name, axis in _places(key, inputs):
                shapes[name][axis] = int(size)
        label = ",".join(f"{key}={size:g}" for key, size in zip(sweep, sizes, strict=True))
        point = Point(label, {name: tuple(shape) for name, shape in shapes.items()})
        yield _checked(point, inputs)


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
    raise BadKey(
        ("shapes", "sweep", key),
        "it is no dimension's name, no INPUT[AXIS], and no batch that changes",
    )


def _checked(point: Point, inputs: Sequence[Input]) -> Point:
    for item in inputs:
        shape = point.shapes[item.name]
        sound = len(shape) == len(item.opt) and all(
            low <= size <= high for low, size, high in zip(item.min, shape, item.max, strict=True)
        )
        if not sound:
            raise BadKey(
                ("shapes",),
                f"{point.name} makes {item.name} {list(shape)}, built is {list(item.min)} to "
                f"{list(item.max)}",
            )
    return point
