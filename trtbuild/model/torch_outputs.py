"""What a PyTorch module returns as a flat list of tensors with names."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from trtbuild.errors import StageError

Keys = tuple[str | int, ...]
"""Where a tensor lies in what a module returns: keys, field names and positions."""

Leaf = tuple[Keys, torch.Tensor]


def flat_outputs(result: Any, reference: str) -> list[Leaf]:
    """(path, tensor) of every tensor that a module returns, in the order that torch flattens.

    A path holds keys of mappings, fields of dataclasses and named tuples, and positions. None is
    left out. Raises StageError where something else than tensors is returned.
    """
    leaves = list(_leaves(result, (), reference))
    if not leaves:
        raise StageError(
            "the model returned no tensor",
            where=reference,
            hint="let forward return its results",
        )
    return leaves


def output_names(paths: Iterable[Keys], taken: Iterable[str]) -> list[str]:
    """A name for each path: "logits" for a key, "output" or "output_0" where there is none.

    Names that are in `taken`, the inputs, get "_output" behind them: both would be one tensor.
    """
    used = set(taken)
    names = []
    for path in paths:
        parts = [str(part) for part in path]
        if not path or isinstance(path[0], int):
            parts.insert(0, "output")
        name = "_".join(parts)
        while name in used:
            name += "_output"
        used.add(name)
        names.append(name)
    return names


def are_own(wanted: Iterable[str], made: Collection[str]) -> bool:
    """Whether names choose among those that the model's outputs have, rather than rename them."""
    return set(wanted) <= set(made)


def _leaves(value: Any, path: Keys, reference: str) -> Iterator[Leaf]:
    if value is None:
        return
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    for key, item in _items(value, reference):
        yield from _leaves(item, (*path, key), reference)


def _items(value: Any, reference: str) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    parts, spec = pytree.tree_flatten(value)
    if spec.is_leaf():
        raise StageError(
            f"the model returned a {type(value).__name__} beside its tensors",
            where=reference,
            hint="return tensors alone (nested in tuples, lists, dicts or dataclasses as you like)",
        )
    return list(enumerate(parts))
