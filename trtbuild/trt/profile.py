"""Compares a recipe's inputs with a network's, and makes the optimization profile from them."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.trt.flavour import dtype_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtbuild.recipe.model import Input, Shape

LOWERED = {"fp16": "float16", "bf16": "bfloat16"}
"""The dtype that a precision may give to inputs that the recipe calls float32, by itself or as the
base of another."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """What a network says of one of its inputs; -1 is a dynamic dimension.

    `holds_shape` is set where the content of the input decides the shape of other tensors.
    """

    name: str
    dtype: str
    shape: Shape
    holds_shape: bool

    @property
    def dynamic(self) -> bool:
        """Whether a build must be told which shapes, or values, to be made for."""
        return -1 in self.shape or self.holds_shape


@dataclass(frozen=True, slots=True)
class Range:
    """What a profile says of one input: shapes, or the values of one that holds a shape."""

    name: str
    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]
    of_values: bool


@dataclass(frozen=True, slots=True)
class _Problem:
    what: str
    remedy: str


def network_inputs(network: Any) -> tuple[NetworkInput, ...]:
    """The inputs of a native network, in its order."""
    tensors = (network.get_input(index) for index in range(network.num_inputs))
    return tuple(
        NetworkInput(
            tensor.name, dtype_name(tensor.dtype), tuple(tensor.shape), tensor.is_shape_tensor
        )
        for tensor in tensors
    )


def profile_ranges(
    recipe: tuple[Input, ...], network: tuple[NetworkInput, ...], base: str
) -> tuple[Range, ...]:
    """What each input that needs it must be built for; empty for a static model.

    `base` is what the graph computes in where it is not quantized: fp16 may have lowered inputs.
    Raises StageError with every input where the recipe and the network contradict each other.
    """
    written = {item.name: item for item in recipe}
    problems = list(_unknown(recipe, network))
    ranges = []
    for there in network:
        item = written.get(there.name)
        if item is None:
            problems += _unwritten(there, recipe)
            continue
        found = [*_type_problems(item, there, base), *_shape_problems(item, there)]
        problems += found
        if there.dynamic and not found:
            ranges.append(_range(item, there))
    if problems:
        told = "".join(f"\n  {problem.what}" for problem in problems)
        remedies = dict.fromkeys(problem.remedy for problem in problems if problem.remedy)
        raise StageError(
            f"the recipe's inputs are not those of the model:{told}", hint="; ".join(remedies)
        )
    return tuple(ranges)


def add_profile(builder: Any, config: Any, ranges: tuple[Range, ...]) -> None:
    """Give a builder config the one profile of these ranges.

    Raises StageError where TensorRT did not take it.
    """
    profile = builder.create_optimization_profile()
    for item in ranges:
        write = profile.set_shape_input if item.of_values else profile.set_shape
        read = profile.get_shape_input if item.of_values else profile.get_shape
        wanted = (item.min, item.opt, item.max)
        write(item.name, *wanted)
        if tuple(map(tuple, read(item.name))) != wanted:
            raise _not_taken(item.name)
    if config.add_optimization_profile(profile) < 0:
        raise _not_taken(", ".join(item.name for item in ranges))


def _not_taken(names: str) -> StageError:
    return StageError(
        "TensorRT does not take these min, opt and max",
        where=f"inputs.{names}",
        hint="they must satisfy min <= opt <= max in every dimension",
    )


def _unknown(recipe: tuple[Input, ...], network: tuple[NetworkInput, ...]) -> Iterator[_Problem]:
    names = [there.name for there in network]
    for item in recipe:
        if item.name not in names:
            near = difflib.get_close_matches(item.name, names, n=1)
            yield _Problem(
                f"'{item.name}' is no input of the model, which has "
                + ", ".join(_described(there) for there in network),
                f"did you mean '{near[0]}'?" if near else f"take '{item.name}' out of the recipe",
            )


def _unwritten(there: NetworkInput, recipe: tuple[Input, ...]) -> Iterator[_Problem]:
    if there.dynamic:
        names = ", ".join(f"'{item.name}'" for item in recipe) or "no inputs"
        why = "decides shapes by its values" if there.holds_shape else "has dynamic dimensions"
        yield _Problem(
            f"{_described(there)} {why} and is not in the recipe, which has {names}",
            f"add '{there.name}' to inputs, with min, opt and max",
        )


def _type_problems(item: Input, there: NetworkInput, base: str) -> Iterator[_Problem]:
    lowered = item.dtype == "float32" and there.dtype == LOWERED.get(base)
    if item.dtype != there.dtype and not lowered:
        yield _Problem(
            f"{_described(there)} is {item.dtype} in the recipe",
            f"write dtype: {there.dtype}, or put a Cast behind the input in a surgery hook",
        )


def _shape_problems(item: Input, there: NetworkInput) -> Iterator[_Problem]:
    if there.holds_shape:
        yield from _value_problems(item, there)
    elif item.values is not None:
        yield _Problem(
            f"{_described(there)} decides no shapes by its values, which the recipe gives",
            f"take `values` from '{item.name}'; `range` is for random ones",
        )
    elif len(item.opt) != len(there.shape):
        yield _Problem(
            f"{_described(there)} has {len(there.shape)} dimensions, {len(item.opt)} in the recipe",
            f"give '{item.name}' shapes of {len(there.shape)} dimensions",
        )
    else:
        for axis, size in enumerate(there.shape):
            sizes = (item.min[axis], item.opt[axis], item.max[axis])
            if size >= 0 and sizes != (size, size, size):
                yield _Problem(
                    f"{_described(there)} is static in dimension {axis}, and the recipe says "
                    + _span(sizes),
                    f"write {size} there in min, opt and max of '{item.name}', or make the "
                    "dimension dynamic (surgery: {op: set_dims, tensors: {NAME: [batch, ...]}})",
                )


def _value_problems(item: Input, there: NetworkInput) -> Iterator[_Problem]:
    """What an input may hold that decides shapes must be written, and its own shape be static."""
    bounded = item.values is not None or item.range is not None
    if not bounded or not item.min == item.opt == item.max == there.shape:
        yield _Problem(
            f"{_described(there)} decides shapes by its values, which the recipe does not bound",
            f"give '{item.name}' its own shape ({list(there.shape)}) and its values: "
            "values: {min: [...], opt: [...], max: [...]}",
        )


def _range(item: Input, there: NetworkInput) -> Range:
    if not there.holds_shape:
        return Range(item.name, item.min, item.opt, item.max, of_values=False)
    if (values := item.values) is not None:
        return Range(item.name, values.min, values.opt, values.max, of_values=True)
    low, high = item.range or (0, 1)  # checked above
    lowest, highest = math.ceil(low), math.ceil(high) - 1
    count = math.prod(there.shape)
    middle = (lowest + highest) // 2
    return Range(
        item.name, (lowest,) * count, (middle,) * count, (highest,) * count, of_values=True
    )


def _described(there: NetworkInput) -> str:
    """ "'image' (float32 [?, 1, 8, 8])"."""
    dims = ", ".join("?" if size < 0 else str(size) for size in there.shape)
    return f"'{there.name}' ({there.dtype} [{dims}])"


def _span(sizes: tuple[int, int, int]) -> str:
    if sizes[0] == sizes[1] == sizes[2]:
        return str(sizes[0])
    return "min {}, opt {}, max {}".format(*sizes)
