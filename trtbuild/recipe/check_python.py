"""Checks references to Python: "file.py:function" and "package.module:callable"."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from trtbuild.recipe.check_files import Finding, check_path
from trtbuild.recipe.problems import did_you_mean
from trtbuild.recipe.schema import ValidationMemo


def check_callable(folder: Path, reference: str, memo: ValidationMemo | None) -> Finding | None:
    """What is wrong with a reference to a callable in a recipe of `folder`.

    A file is parsed, never run; of an installed module only the form is checked.
    """
    file, _, name = reference.rpartition(":")
    if not all(part.isidentifier() for part in name.split(".")):
        return Finding(f"'{name}' is no name of a function or class in Python")
    if not file.endswith(".py"):
        return _check_module(folder, file, name)
    finding = check_path(folder, file)
    if finding is not None:
        return finding
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        return Finding(f"'{file}' cannot be read: {error.strerror}")
    # Parsing takes milliseconds; what was found in the same text before is there again.
    key = hashlib.sha256(f"defines {name}\0".encode() + content).hexdigest()
    if memo is not None and memo.known(key):
        return None
    finding = _check_content(content, file, name.partition(".")[0])
    if finding is None and memo is not None:
        memo.add(key)
    return finding


def _check_module(folder: Path, module: str, name: str) -> Finding | None:
    if all(part.isidentifier() for part in module.split(".")):
        return None
    hint = 'write "file.py:callable", or "package.module:callable" where it is installed'
    if (folder / f"{module}.py").is_file():
        hint = f"write '{module}.py:{name}'"
    return Finding(f"'{module}' is neither a .py file nor the name of a module", hint)


def _check_content(content: bytes, file: str, name: str) -> Finding | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's code, which is not being run
            tree = ast.parse(content)
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else file
        line = (error.text or "").strip()
        return Finding(f"{place} is no Python ({error.msg}){f': {line}' if line else ''}")
    except (ValueError, RecursionError, MemoryError) as error:
        return Finding(f"{file} is no Python ({error})")
    defined = list(_defined(tree.body))
    if name in defined or "*" in defined:
        return None
    near = did_you_mean(name, defined)
    own = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    hint = "" if near or not own else f"it defines {', '.join(own[:8])}"
    return Finding(f"{file} does not define '{name}'{near}", hint)


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    """The names that statements bind, "*" where that cannot be told without running them."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                parts = [part for target in targets for part in ast.walk(target)]
                yield from (
                    part.id
                    for part in parts
                    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
                )
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                for block in ("body", "orelse", "finalbody"):
                    yield from _defined(getattr(node, block, []))
                for handler in getattr(node, "handlers", []):
                    yield from _defined(handler.body)
