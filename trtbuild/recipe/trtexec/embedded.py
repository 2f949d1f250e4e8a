"""Finds command lines that a Python program holds: lists of words, and strings for a shell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_PYTHON = re.compile(r"^\s*(?:import|from)\s+\w", re.M)


def program_of(text: str) -> ast.Module | None:
    """The text as Python, where it is that."""
    if not _PYTHON.search(text):
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def words_in(program: ast.Module) -> Iterator[tuple[int, list[str] | str]]:
    """Lists of words and single strings, each with its line; what is no constant becomes $NAME."""
    constants = _constants(program)
    said = {id(node.value) for node in ast.walk(program) if isinstance(node, ast.Expr)}
    inside: set[int] = set()
    for node in ast.walk(program):  # what contains comes before what it contains
        if id(node) in said or id(node) in inside:
            continue
        if isinstance(node, ast.List | ast.Tuple):
            inside |= {id(part) for item in node.elts for part in ast.walk(item)}
            yield node.lineno, [_text(item, constants) for item in node.elts]
        elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            inside |= {id(part) for part in ast.walk(node)}
            yield node.lineno, _text(node, constants)


def _constants(program: ast.Module) -> dict[str, str]:
    """Names that are given one text, in one place."""
    found: dict[str, list[str | None]] = {}
    for node in ast.walk(program):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, []).append(None)
    for node in ast.walk(program):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(str(node.value.value))
    return {name: values[1] for name, values in found.items() if len(values) == 2 and values[1]}


def _text(node: ast.AST, constants: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, constants) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, constants)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, constants) + _text(node.right, constants)
    if isinstance(node, ast.Name):
        return constants.get(node.id, f"${node.id}")
    return "$" + re.sub(r"\W+", "_", ast.unparse(node))
