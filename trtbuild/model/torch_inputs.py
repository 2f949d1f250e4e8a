"""Which parameters of a module's forward the recipe's inputs go to."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import torch

from trtbuild.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def takes_by_name(module: torch.nn.Module, names: Sequence[str]) -> bool:
    """Whether forward has a parameter of every input's name. Where it has none of these names the
    inputs go by position.

    Raises StageError where it has some of them only: by position a tensor could go to another
    parameter than the one of its name, and nothing would tell.
    """
    if isinstance(module, torch.jit.ScriptModule):
        _require_order(module, names)
        return False  # a trace of one takes positions alone
    known = _parameters(module)
    rest = [name for name in names if name not in known]
    if not rest:
        return True
    if len(rest) < len(names) and not _fills_open_end(module, names):
        raise _partly_named(module, rest, [name for name in known if name not in names])
    return False


def position_note(module: torch.nn.Module, names: Sequence[str]) -> str | None:
    """Which parameter each input goes to, where that is by position and could be another one."""
    known = _parameters(module)
    if len(names) < 2 or not known or set(names) & set(known):
        return None
    pairs = ", ".join(f"'{name}' to {known[n]}" for n, name in enumerate(names[: len(known)]))
    return (
        f"{_title(module)} has no parameters of the inputs' names, so that these go by position: "
        f"{pairs}"
    )


def _parameters(module: torch.nn.Module) -> list[str]:
    """The names by which forward takes arguments."""
    if isinstance(module, torch.jit.ScriptModule):  # inspect sees no signature of a traced one
        return [argument.name for argument in module.forward.schema.arguments[1:]]
    return [item.name for item in _signature(module) if item.kind in _NAMED]


def _signature(module: torch.nn.Module) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except ValueError:  # of a function that is written in C
        return []


def _fills_open_end(module: torch.nn.Module, names: Sequence[str]) -> bool:
    """Whether each input that has no parameter of its name goes into forward's *args, and the
    others, by position, to theirs.
    """
    parameters = _signature(module)
    before = [item.name for item in parameters if item.kind in _NAMED[:1]]
    open_ended = any(item.kind is inspect.Parameter.VAR_POSITIONAL for item in parameters)
    return open_ended and list(names[: len(before)]) == before


def _require_order(module: torch.jit.ScriptModule, names: Sequence[str]) -> None:
    known = _parameters(module)
    moved = [name for n, name in enumerate(names) if name in known and known[n : n + 1] != [name]]
    if moved:
        raise StageError(
            f"TorchScript takes its inputs by position: the recipe has them in the order "
            f"{', '.join(names)}, {_title(module)} in the order {', '.join(known)}",
            where="inputs",
            hint="write the inputs in the order of forward's parameters",
        )


def _partly_named(module: torch.nn.Module, rest: list[str], free: list[str]) -> StageError:
    inputs = ", ".join(repr(name) for name in rest)
    return StageError(
        f"{_title(module)} has parameters of some of the inputs' names, but none for {inputs}; "
        f"its others are {', '.join(free) or 'none'}",
        where="inputs",
        hint="name every input as the parameter that it goes to; or none of them, and they go by "
        "position",
    )


def _title(module: torch.nn.Module) -> str:
    kind = getattr(module, "original_name", None) or type(module).__name__
    return f"{kind}.forward"
