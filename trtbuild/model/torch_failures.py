"""Says in a line or two why torch could not export a model; its own text goes to the log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from trtbuild.errors import StageError
from trtbuild.model.references import user_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trtbuild.recipe.model import Input

_PLACE = r"\[(\d+)\]\.(?:size\(\)|shape)\[(\d+)\]"  # how torch writes an axis: position and axis
_FIXED = (
    re.compile(rf"inferred a static shape of (?P<size>\d+) for dimension [^\n]*?{_PLACE}"),
    re.compile(
        rf"{_PLACE} as dynamic but your code specialized it to be a constant \((?P<size>\d+)\)"
    ),
)
_NO_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
_VIOLATED = re.compile(
    r"Constraints violated[^\n]*\n((?:  - [^\n]*\n)+)(?:Suggested fixes:\n((?:  [^\n]+\n?)+))?"
)
_DATA_DEPENDENT = re.compile(r"data-dependent expression ([^\n]*?)(?: \(unhinted|\.?\s*\n)")

_SHOWN = 400  # characters of a message that is not understood


def explained(
    error: Exception, inputs: Sequence[Input], reference: str, exporter: str
) -> StageError:
    """A StageError with the short cause and a remedy, at the user's own line where there is one."""
    causes = list(_chain(error))
    text = "\n".join(str(cause) for cause in causes)
    where = next((place for place in map(_users_line, causes) if place), "") or reference
    for explain in (_fixed_axis, _no_operator, _data_dependent, _violated):
        told = explain(text, inputs)
        if told is not None:
            return StageError(told[0], where=where, hint=told[1])
    deepest = causes[-1]
    message = " ".join(str(deepest).split())[:_SHOWN]
    return StageError(
        f"torch cannot export the model: {type(deepest).__name__}: {message}",
        where=where,
        hint="the log has torch's whole message; another opset, or "
        f"`exporter: {'torchscript' if exporter == 'dynamo' else 'dynamo'}`, may do",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what caused it, down to the first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        following = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if following is None:
            return
        error = following


def _users_line(error: BaseException) -> str:
    """file:line of the user's code that the error came through."""
    try:
        with user_code(""):
            raise error
    except StageError as told:
        return "" if "site-packages" in Path(told.where).parts else told.where


def _fixed_axis(text: str, inputs: Sequence[Input]) -> tuple[str, str] | None:
    found = []
    for pattern in _FIXED:
        for match in pattern.finditer(text):
            position, axis = (int(group) for group in match.groups() if group != match["size"])
            found.append((position, axis, match["size"]))
    if not found:
        return None
    places = [
        f"axis {axis} of '{inputs[position].name}' to {size}"
        for position, axis, size in sorted(set(found))
        if position < len(inputs)
    ]
    return (
        f"the model's code fixes {', '.join(places)}, which the recipe lets vary",
        "give the axis the same min and max, or use its size in the code without turning it into "
        "a number (int(), a list of sizes, a parameter of that size)",
    )


def _no_operator(text: str, _: Sequence[Input]) -> tuple[str, str] | None:
    found = _NO_OPERATOR.search(text)
    if found is None:
        return None
    return (
        f"torch.onnx has no ONNX operators for {found[1]}",
        "write that step with other operators, or leave it out of the model and compute it outside",
    )


def _data_dependent(text: str, _: Sequence[Input]) -> tuple[str, str] | None:
    found = _DATA_DEPENDENT.search(text)
    if found is None:
        return None
    return (
        "the control flow of the model depends on values that it computes "
        f"(torch: {found[1].strip()})",
        "write the branch with torch.where or torch.cond; `exporter: torchscript` exports the "
        "branch that an example takes, and warns of it",
    )


def _violated(text: str, _: Sequence[Input]) -> tuple[str, str] | None:
    found = _VIOLATED.search(text)
    if found is None:
        return None
    reasons = "; ".join(line.strip("- ").strip() for line in found[1].splitlines())[:_SHOWN]
    fixes = "; ".join(line.strip() for line in (found[2] or "").splitlines())
    return (
        f"the model does not take every size that the recipe asks for: {reasons}",
        f"torch suggests {fixes}" if fixes else "narrow min and max, or make the axis static",
    )
