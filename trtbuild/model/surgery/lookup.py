"""Finds what a surgery step names in a graph; whatever is not there comes with its near names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_graphsurgeon as gs

from trtbuild.errors import StageError
from trtbuild.model.names import nearest

_SHOWN = 8  # names listed where none is near


def tensors(graph: gs.Graph, names: Sequence[str], what: str) -> list[gs.Tensor]:
    """The tensors of the main graph with these names, in the order given.

    Raises StageError that lists all names that are not there or are given twice.
    """
    there = graph.tensors()
    require(names, there, what)
    return [there[name] for name in names]


def require(names: Sequence[str], there: Collection[str], what: str) -> None:
    """Raise StageError where a name is missing or given twice; `what` is "tensor", "node", ..."""
    problems = [
        f"{what} '{name}' is given twice"
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    problems += [
        f"there is no {what} '{name}'{nearest(name, there)}" for name in names if name not in there
    ]
    if problems:
        listed = ", ".join(f"'{name}'" for name in list(there)[:_SHOWN])
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        raise StageError("; ".join(problems), hint=f"there are: {listed or 'none'}{more}")
