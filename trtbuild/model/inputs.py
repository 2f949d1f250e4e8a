"""The model's inputs as arrays: their numpy types, seeded values, and fitting data to a shape."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from trtbuild.recipe.model import Input, Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trtbuild.recipe.model import Shape

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = dict[str, Array]

SIZES = ("min", "opt", "max")
"""The shapes of an optimization profile, as an Input names them."""


def parse_inputs(items: Any) -> tuple[Input, ...]:
    """The `inputs` of a stage's options as values; where opt is left out it is min."""
    return tuple(_parse_input(item) for item in items)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """numpy's type for a recipe's or ONNX's name, ml_dtypes' for what numpy lacks."""
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def random_values(item: Input, shape: Shape, generator: np.random.Generator) -> Array:
    """Values in the input's range: uniform over [low, high), and where it declares none standard
    normal for floats, 0 or 1 for integers and booleans. Values that decide shapes are those of opt.
    """
    dtype = numpy_dtype(item.dtype)
    if item.values is not None:
        return np.array(item.values.opt).astype(dtype).reshape(shape)
    if dtype.kind in "iub":
        low, high = item.range or (0, 2)
        return generator.integers(int(low), int(high), size=shape).astype(dtype)
    if item.range:
        return generator.uniform(*item.range, size=shape).astype(dtype)
    return generator.standard_normal(size=shape).astype(dtype)


def fitted(values: Array, shape: Shape) -> Array:
    """An array of the same rank in another shape: along each axis tiled or cropped."""
    for axis, size in enumerate(shape):
        if values.shape[axis] != size:
            values = values.take(np.arange(size) % values.shape[axis], axis=axis)
    return values


def shape_of(item: Input, size: str) -> Shape:
    """The input's shape at "min", "opt" or "max"."""
    shape: Shape = getattr(item, size)
    return shape


def at_size(item: Input, size: str) -> Input:
    """The input whose values, where they decide shapes, are those of "min", "opt" or "max"."""
    if item.values is None:
        return item
    chosen: Shape = getattr(item.values, size)
    return replace(item, values=replace(item.values, opt=chosen))


def _parse_input(item: Mapping[str, Any]) -> Input:
    names, limits = item.get("dims"), item.get("range")
    return Input(
        name=item["name"],
        dtype=item["dtype"],
        min=tuple(item["min"]),
        opt=tuple(item.get("opt") or item["min"]),
        max=tuple(item["max"]),
        dims=tuple(names) if names else None,
        range=(limits[0], limits[1]) if limits else None,
        values=Values.of(item["values"]) if "values" in item else None,
    )
