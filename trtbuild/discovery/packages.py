"""The installed distributions that the user's code imports, itself or through others.

Their versions are in the action.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from trtbuild.recipe.model import JSONValue

MODULE_REFERENCE = re.compile(r"^([A-Za-z_]\w*)(\.\w+)*:[A-Za-z_][\w.]*$")


def distributions_used(
    files: Iterable[str], options: JSONValue, imported: Iterable[str]
) -> list[str]:
    """Those that source files import, that references in a stage's options lead to, and of the
    top-level names that were seen to be `imported`; sorted."""
    return distributions(_imported_names(files).union(_referred_modules(options), imported))


def _imported_names(files: Iterable[str]) -> set[str]:
    """Top-level names that the user's own modules import."""
    names: set[str] = set()
    for path in files:
        if path.endswith(".py") and Path(path).is_file():
            for node in ast.walk(ast.parse(Path(path).read_bytes())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names


def _referred_modules(options: JSONValue) -> set[str]:
    """Top-level names of "package.module:callable" references anywhere in the options."""
    if isinstance(options, str):
        match = MODULE_REFERENCE.match(options)
        return {match.group(1)} if match else set()
    if isinstance(options, dict):
        return set().union(*map(_referred_modules, options.values()))
    if isinstance(options, list):
        return set().union(*map(_referred_modules, options))
    return set()


def distributions(names: set[str]) -> list[str]:
    """The installed distributions that provide modules of these names, sorted."""
    third_party = {n for n in names if n in sys.modules} - sys.stdlib_module_names
    found = {name: _of_the_same_name(name) for name in third_party}
    if None in found.values():
        from importlib.metadata import packages_distributions  # reads every distribution's files

        provided = packages_distributions()
        found = {name: own or provided.get(name, []) for name, own in found.items()}
    return sorted({d for own in found.values() for d in own or ()} - {"trtbuild"})


def _of_the_same_name(module: str) -> list[str] | None:
    """The distribution called like a module, where it says that it holds that module."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        own = distribution(module)
    except PackageNotFoundError:
        return None
    record = "\n" + (own.read_text("RECORD") or "")
    holds = f"\n{module}/__init__.py," in record or f"\n{module}.py," in record
    return [own.metadata["Name"]] if holds else None
