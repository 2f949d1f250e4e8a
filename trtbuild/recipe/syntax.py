"""Malformed YAML, in words: the parser's message, the offending line, and a remedy."""

from __future__ import annotations

import yaml

from trtbuild.recipe.model import Position
from trtbuild.recipe.problems import Problem

_SHOWN = 100
"""Characters of the offending line that are shown."""

_ENDINGS = ("expected key", "expected '-' indicator", "<document start>", "<block end>")
_WORDS = {"sequence": "list", "collection": "list", "scalar": "text", "node": "value"}


def syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    """The problem that the parser met in a text, with the line that it stands in."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem((), f"this is no YAML: {error}")
    line, column = error.problem_mark.line, error.problem_mark.column
    lines = text.splitlines()
    if line >= len(lines) or (column == 0 and "end of stream" in (error.problem or "")):
        # Past the end nothing can be shown: show where that which never ends begins.
        mark = error.context_mark or error.problem_mark
        line, column = mark.line, mark.column
    written = lines[line] if line < len(lines) else ""
    found = written[column : column + 1]
    message, hint = _explained(error, found)
    return Problem(
        (), message + _picture(written, line, column), hint, Position(line + 1, column + 1)
    )


def _explained(error: yaml.MarkedYAMLError, found: str) -> tuple[str, str]:
    """What is wrong and what to do, in words for those who do not know YAML's grammar."""
    problem = error.problem or "this is no YAML"
    if problem.startswith("found character") and "cannot start" in problem:
        if found == "\t":
            return "a tab cannot indent YAML", "indent with spaces"
        return f"a value cannot begin with {found!r}", "put the value in quotes"
    if problem.startswith("mapping values are not allowed"):
        return (
            "no ': ' is expected here",
            "quote a value that holds ': ', or look at the indentation",
        )
    if problem == "found unexpected end of stream" and "quoted" in (error.context or ""):
        return "this quote is never closed", ""
    if problem.endswith("expected node content"):
        return f"a value is missing{f' before {found!r}' if found else ''}", ""
    if any(ending in problem for ending in _ENDINGS):
        return (
            f"this does not continue {_context(error)}",
            "look at the indentation, or for a bracket or quote that is missing or too many",
        )
    what = problem.replace("did not find expected", "expected")
    return f"{what}{_within(error)}", ""


def _context(error: yaml.MarkedYAMLError) -> str:
    """`the mapping that begins on line 3`; what the parser was reading."""
    if error.context is None or error.context_mark is None:
        return "what is above it"
    words = error.context.split()
    what = _WORDS.get(words[-1], words[-1])
    return f"the {what} that begins on line {error.context_mark.line + 1}"


def _within(error: yaml.MarkedYAMLError) -> str:
    return f" in {_context(error)}" if error.context_mark is not None else ""


def _picture(written: str, line: int, column: int) -> str:
    """The offending line, with a mark below the column."""
    cut = max(0, column - _SHOWN + 20)
    shown = written[cut : cut + _SHOWN].replace("\t", " ")
    margin = f"  {line + 1} | "
    return f"\n{margin}{shown}\n{' ' * (len(margin) - 2)}| {' ' * (column - cut)}^"
