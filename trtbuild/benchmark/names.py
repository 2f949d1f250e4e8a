"""The names of inputs before and after surgery: an engine has the new ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trtbuild.trt.tensors import Array


def of_source(inputs: Mapping[str, Array], renames: Mapping[str, str]) -> dict[str, Array]:
    """An engine's inputs under the names of the source model; `renames`: old name -> new name."""
    old = {new: name for name, new in renames.items()}
    return {old.get(name, name): values for name, values in inputs.items()}


def of_graph(
    names: Iterable[str], inputs: Mapping[str, Array], renames: Mapping[str, str]
) -> dict[str, Array]:
    """An engine's inputs as a graph calls them, which may be one from before surgery or after."""
    found = {name: name if name in inputs else renames.get(name, name) for name in names}
    return {name: inputs[here] for name, here in found.items() if here in inputs}
