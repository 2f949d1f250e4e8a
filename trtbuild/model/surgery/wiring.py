"""Joins tensors and nodes anew, by identity: graphsurgeon's own lists compare by name."""

from __future__ import annotations

import onnx_graphsurgeon as gs


def read_instead(new: gs.Tensor, old: gs.Tensor) -> None:
    """Let every node that reads the old tensor read the new one."""
    for reader in list(old.outputs):
        for place, item in enumerate(reader.inputs):
            if item is old:
                reader.inputs[place] = new


def make_instead(new: gs.Tensor, old: gs.Tensor) -> None:
    """Let the node that makes the old tensor make the new one, at the same place."""
    for producer in list(old.inputs):
        for place, item in enumerate(producer.outputs):
            if item is old:
                producer.outputs[place] = new


def contains(tensors: list[gs.Tensor], tensor: gs.Tensor) -> bool:
    """Whether this very tensor is among them."""
    return any(item is tensor for item in tensors)


def unused_name(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken; the result is added to `taken`."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
