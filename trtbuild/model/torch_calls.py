"""Calls a module the way that it is exported: tensors in the recipe's order, a flat tuple back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trtbuild.errors import StageError
from trtbuild.model.inputs import random_values
from trtbuild.model.references import call_user
from trtbuild.model.torch_inputs import takes_by_name
from trtbuild.model.torch_outputs import Keys, flat_outputs
from trtbuild.model.torch_source import to_tensor

if TYPE_CHECKING:
    from trtbuild.recipe.model import Input, Shape

Tensors = tuple[torch.Tensor, ...]

_SEED = 0


def example_shape(item: Input) -> Shape:
    """The shape that a module is exported on: 2 where an axis may have it, else its smallest size.

    torch takes 0 and 1 for special sizes, to which graphs are specialised.
    """
    return tuple(min(max(low, 2), high) for low, high in zip(item.min, item.max, strict=True))


def in_order(module: torch.nn.Module, names: Sequence[str]) -> Callable[..., Any]:
    """The module's forward as a function of tensors in the recipe's order."""
    forward, by_name = module.forward, takes_by_name(module, names)

    def call(*tensors: torch.Tensor) -> Any:
        if by_name:
            return forward(**dict(zip(names, tensors, strict=True)))
        return forward(*tensors)

    return call


def flattened(call: Callable[..., Any], reference: str) -> Callable[..., Tensors]:
    """A function that returns the tensors of what another one returns."""

    def forward(*tensors: torch.Tensor) -> Tensors:
        result = call(*tensors)
        if isinstance(result, torch.Tensor):  # the simple case in a form that torch can trace
            return (result,)
        return tuple(tensor for _, tensor in flat_outputs(result, reference))

    return forward


def examples(inputs: Sequence[Input]) -> Tensors:
    """Seeded values of example_shape for every input."""
    generator = np.random.default_rng(_SEED)
    return tuple(to_tensor(random_values(item, example_shape(item), generator)) for item in inputs)


def returned_paths(
    call: Callable[..., Any], examples: Tensors, inputs: Sequence[Input], reference: str
) -> list[Keys]:
    """Run the module once: where in its result each tensor lies."""
    try:
        with torch.no_grad():
            result = call_user(call, reference, *examples)
    except StageError as error:
        shapes = ", ".join(f"{item.name} {list(example_shape(item))}" for item in inputs)
        raise StageError(
            f"{error.what} (on {shapes})",
            where=error.where,
            hint="the module must run on every shape from min to max that the recipe gives; the "
            "whole traceback is in the log",
        ) from error
    return [path for path, _ in flat_outputs(result, reference)]


@contextmanager
def forward_replaced(
    module: torch.nn.Module, forward: Callable[..., Tensors] | None
) -> Iterator[None]:
    """Let a module run another forward: a wrapping module would add its name to every weight."""
    if forward is None:
        yield
        return
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own
