"""The schema of recipes: the one source of their form, and what is derived from it."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trtbuild.errors import UsageError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

FORMAT = 1
"""The version of the recipe format that this trtbuild reads: the key `trtbuild`."""

NAME = "recipe.schema.json"


class ValidationMemo(Protocol):
    """Remembers checks that passed and need not be made again."""

    # Whether this key was added, by this process or an earlier one.
    def known(self, key: str) -> bool: ...

    # Remember that what this key stands for passed.
    def add(self, key: str) -> None: ...


@functools.cache
def find_schema(name: str = NAME) -> Path:
    """A schema file: in the installed package, or in the checkout of an editable install.

    Raises UsageError where there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_schemas", package.parent / "schemas"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        f"{name} is missing from this installation",
        where=str(package),
        hint="install trtbuild again",
    )


@functools.cache
def schema_text(name: str = NAME) -> str:
    """A schema as JSON text, as `trtbuild schema` prints it."""
    return find_schema(name).read_text(encoding="utf-8")


@functools.cache
def schema() -> dict[str, Any]:
    """The schema as a value; not to be changed."""
    parsed: dict[str, Any] = json.loads(schema_text())
    return parsed


@functools.cache
def validator(name: str = NAME) -> Draft202012Validator:
    """What compares documents with a schema. Raises ImportError without the package jsonschema."""
    # Where this package is installed, jsonschema compiles its grammars as it is imported: 1.3 s,
    # for the format of addresses, which no schema here asks for.
    grammars = "rfc3987_syntax"
    masked = sys.modules.setdefault(grammars, None)  # type: ignore[arg-type]
    try:
        from jsonschema import Draft202012Validator
    finally:
        if masked is None:
            del sys.modules[grammars]
    return Draft202012Validator(json.loads(schema_text(name)))


def validation_key(content: bytes) -> str:
    """What a memo knows a recipe's text by: the digest of the schema's bytes and the recipe's."""
    state = _digest_of_schema().copy()
    state.update(content)
    digest: str = state.hexdigest()
    return digest


def document() -> str:
    """The reference of all keys, as Markdown: the content of docs/recipe.md."""
    from trtbuild.recipe.reference import markdown

    return markdown(schema())


@functools.cache
def _digest_of_schema() -> Any:
    return hashlib.sha256(schema_text().encode())
