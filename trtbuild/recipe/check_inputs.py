"""Checks the inputs of a recipe: ranks, the order of shapes, names of dimensions, ranges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from trtbuild.recipe.problems import Key, Problem, listed, shown
from trtbuild.recipe.raw import RawInput

PROFILE = ("min", "opt", "max")

_LIMITS = {
    "int64": (-(2**63), 2**63 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
}
"""The smallest and the largest value of each integer type."""


def check_inputs(
    inputs: Mapping[str, RawInput], written: Callable[..., bool], batches: Mapping[str, int | None]
) -> Iterator[Problem]:
    """Every problem of the inputs; `written` tells whether a key stands in the recipe.

    `batches` are those that the recipe verifies and calibrates with, by section, which the shapes
    must allow.
    """
    for name, item in inputs.items():
        key = ("inputs", name)
        yield from _completeness(key, written)
        yield from _profile(key, item)
        yield from _names(key, item)
        yield from _range(key, item)
        yield from check_values(key, item, item.get("values", {}))
        for section, batch in batches.items():
            yield from _batch(name, item, section, batch)
    yield from _same_names(inputs)


def _completeness(key: Key, written: Callable[..., bool]) -> Iterator[Problem]:
    given = [name for name in PROFILE if written(*key, name)]
    if written(*key, "shape"):
        if given:
            text = f"shape is for a static input, which has no {listed(given)}"
            yield Problem((*key, "shape"), text, "give either shape, or min, opt and max")
    elif not given:
        hint = "give min, opt and max, or shape where nothing changes"
        yield Problem(key, "the input has no shape", hint)
    else:
        for name in PROFILE:
            if name not in given:
                yield Problem(key, f"required key '{name}' is missing beside {listed(given)}")


def _profile(key: Key, item: RawInput) -> Iterator[Problem]:
    """Ranks and order of what there is of min, opt and max; each is compared with those before."""
    given = [(name, item[name]) for name in PROFILE if name in item]  # type: ignore[literal-required]
    reference = given[0] if given else ("", [])
    same_rank = []
    for name, shape in given:
        if len(shape) == len(reference[1]):
            same_rank.append((name, shape))
        else:
            ranks = f"{_dimensions(shape)}, {reference[0]} {shown(reference[1])} has"
            yield Problem((*key, name), f"{shown(shape)} has {ranks} {len(reference[1])}")
    for (below, low), (name, shape) in itertools.pairwise(same_rank):
        if any(size < least for size, least in zip(shape, low, strict=True)):
            # The example of an opt beyond max names opt, whose typo it is more often than max's.
            if name == "max" and below == "opt":
                yield Problem((*key, "opt"), f"{shown(low)} is larger than max {shown(shape)}")
            else:
                text = f"{shown(shape)} is smaller than {below} {shown(low)}"
                yield Problem((*key, name), text)


def _names(key: Key, item: RawInput) -> Iterator[Problem]:
    shape = _shapes(item)
    dims = item.get("dims")
    if shape is not None and dims is not None and len(dims) != len(shape[0]):
        text = f"{shown(dims)} names {_dimensions(dims)}, the input has {len(shape[0])}"
        yield Problem((*key, "dims"), text)


def _range(key: Key, item: RawInput) -> Iterator[Problem]:
    if "range" not in item:
        return
    low, high = item["range"]
    dtype = item.get("dtype", "")
    inner = (*key, "range")
    if low >= high:
        yield Problem(inner, f"low {low} is not below high {high}", "high itself is never drawn")
    elif dtype in _LIMITS:
        least, most = _LIMITS[dtype]
        if low != int(low) or high != int(high):
            yield Problem(inner, f"{shown([low, high])} has fractions, the input is {dtype}")
        elif low < least or high > most + 1:
            text = f"{shown([low, high])} goes beyond {dtype}, {least} to {most}"
            yield Problem(inner, text)


def check_values(key: Key, item: RawInput, values: Mapping[str, list[int]]) -> Iterator[Problem]:
    """What is wrong with the values of an input that decides shapes; a profile has such, too."""
    inner, shapes, dtype = (*key, "values"), _shapes(item), item.get("dtype", "")
    given = [(name, values[name]) for name in PROFILE if name in values]
    if not given or shapes is None:
        return
    if "range" in item:
        yield Problem((*key, "range"), "an input with `values` has no random ones", "leave it out")
    if dtype not in ("int32", "int64"):
        text = f"the input is {dtype}: only values of int32 and int64 decide shapes"
        yield Problem(inner, text, "`range` is for random values")
    elif shapes[0] != shapes[2]:
        hint = "an input whose values decide shapes has one shape itself"
        yield Problem(inner, "the input has no fixed shape", hint)
    elif wrong := [name for name, found in given if len(found) != math.prod(shapes[0])]:
        text = f"{shown(values[wrong[0]])} are {len(values[wrong[0]])} values"
        yield Problem((*inner, wrong[0]), f"{text}, the input has {math.prod(shapes[0])}")
    elif any(
        a > b for (_, x), (_, y) in itertools.pairwise(given) for a, b in zip(x, y, strict=True)
    ):
        yield Problem(inner, "min, opt and max must rise in every place")
    else:
        least, most = _LIMITS[dtype]
        if any(not least <= number <= most for _, found in given for number in found):
            yield Problem(inner, f"they go beyond {dtype}, {least} to {most}")


def _batch(name: str, item: RawInput, section: str, batch: int | None) -> Iterator[Problem]:
    shapes = _shapes(item)
    if batch is None or shapes is None or not shapes[0]:
        return
    least, _, most = (shape[0] for shape in shapes)
    if least != most and not least <= batch <= most:
        text = f"{batch} is not among the {least} to {most} that input '{name}' takes"
        yield Problem((section, "batch"), text)


def _same_names(inputs: Mapping[str, RawInput]) -> Iterator[Problem]:
    """A name means one size: the same min, opt and max wherever it stands."""
    first: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, item in inputs.items():
        shapes, dims = _shapes(item), item.get("dims", [])
        if shapes is None or len(dims) != len(shapes[0]):
            continue
        for axis, dim in enumerate(dims):
            sizes = tuple(shape[axis] for shape in shapes)
            if dim is None:
                continue
            where, known = first.setdefault(dim, (name, sizes))
            if known != sizes:
                there = "before" if where == name else f"in input '{where}'"
                text = f"'{dim}' is {_sizes(sizes)} here, but {_sizes(known)} {there}"
                hint = "the same name means the same size; use another name"
                yield Problem(("inputs", name, "dims", axis), text, hint)


def _shapes(item: RawInput) -> tuple[list[int], list[int], list[int]] | None:
    """min, opt and max, where all are there and of one rank."""
    if "shape" in item:
        return item["shape"], item["shape"], item["shape"]
    if "min" not in item or "opt" not in item or "max" not in item:
        return None
    shapes = item["min"], item["opt"], item["max"]
    return shapes if len({len(shape) for shape in shapes}) == 1 else None


def _sizes(sizes: tuple[int, ...]) -> str:
    return "/".join(str(size) for size in sizes) if len(set(sizes)) > 1 else str(sizes[0])


def _dimensions(shape: list[int] | list[str | None]) -> str:
    return f"{len(shape)} dimension{'' if len(shape) == 1 else 's'}"
