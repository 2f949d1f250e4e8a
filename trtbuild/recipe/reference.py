"""Writes the reference of all keys, as Markdown, from the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.scalars import plain_value

PREFACE = """\
# The recipe

A recipe is a YAML file that says how one model becomes TensorRT engines. This page is made from
`schemas/recipe.schema.json`, which `trtbuild schema` prints; an editor that knows JSON Schema
completes and checks recipes that begin with

    # yaml-language-server: $schema=recipe.schema.json

What holds for all keys:

- Paths are relative to the recipe's folder. `~` and variables are not expanded.
- Unknown keys, keys given twice and values of another type are mistakes. `trtbuild validate` names
  all of them, with line and column.
- The YAML is that of version 1.2: `true` and `false` are the only booleans, `1e-3` is a number,
  `yes`, `on`, `010` and dates are text. Keys are text: a tensor called 463 is written `"463"`.
- Anchors and aliases may be used. Merge keys (`<<`), infinity, NaN, further documents in the same
  file and tags may not, but for `!!str`, `!!seq` and `!!map`, which say what a value is anyway or
  make text of a number.
- Sizes take units of 1024 (`1GiB`) and of 1000 (`1GB`).
"""

_TYPES = {
    "object": "mapping",
    "array": "list",
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}

_PLAIN = re.compile(r"[A-Za-z0-9_/.]([A-Za-z0-9_/.:*-]*[A-Za-z0-9_/.*-])?")
"""Text that needs no quotes in a mapping or list of one line."""


@dataclass(frozen=True, slots=True)
class _Section:
    """A mapping in a recipe: its title, and the rules that it follows."""

    title: str
    rules: dict[str, Any]


def markdown(schema: dict[str, Any]) -> str:
    """The reference: a section for each mapping, in the order of the schema."""
    sections = _sections(_Section("Top level", schema), schema["$defs"], "")
    return "\n".join([PREFACE, *(_written(section, schema["$defs"]) for section in sections)])


def _sections(section: _Section, defs: dict[str, Any], path: str) -> Iterator[_Section]:
    """A mapping and those below it, each before what is in it."""
    if section.rules.get("properties"):
        yield section
    for name, rules in section.rules.get("properties", {}).items():
        inner = f"{path}.{name}".lstrip(".")
        yield from _below(inner, resolved(rules, defs), defs)


def _below(path: str, rules: dict[str, Any], defs: dict[str, Any]) -> Iterator[_Section]:
    """The mappings at a path: itself, its items, or what its free names stand for."""
    alternatives = list(_alternatives(rules))
    for key in alternatives:
        yield from _below(path, resolved(key, defs), defs)
    if alternatives:
        return
    if "properties" in rules:
        yield from _sections(_Section(_title(path, rules), rules), defs, path)
    if isinstance(names := rules.get("additionalProperties"), dict):
        yield from _below(f"{path}.NAME", resolved(names, defs), defs)
    if "items" in rules:
        yield from _below(f"{path}[]", resolved(rules["items"], defs), defs)


def _alternatives(rules: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rules that a mapping follows by what is in it: the branches of if, then and else."""
    for branch in rules.get("allOf", []):
        yield branch["then"]
    if "else" in rules:
        yield from _alternatives(rules["else"]) if "allOf" in rules["else"] else (rules["else"],)
        yield rules["then"]


def resolved(rules: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Rules with what they refer to by `$ref`; their own words go first."""
    if "$ref" not in rules:
        return rules
    own = {name: value for name, value in rules.items() if name != "$ref"}
    return {**resolved(defs[rules["$ref"].removeprefix("#/$defs/")], defs), **own}


def _title(path: str, rules: dict[str, Any]) -> str:
    """The path, and what chooses these rules among those that may stand there."""
    operation = rules["properties"].get("op", {}).get("const")
    if operation:
        return f"`{path}`: `op: {operation}`"
    chosen = next((name for name in ("hook", "kind") if name in rules.get("required", [])), None)
    return f"`{path}`: `{chosen}`" if chosen else f"`{path}`"


def _written(section: _Section, defs: dict[str, Any]) -> str:
    rules = section.rules
    lines = [f"## {section.title}", "", rules["description"], ""]
    lines += ["| key | value | default | meaning | example |", "|---|---|---|---|---|"]
    for name, unresolved in rules["properties"].items():
        key = resolved(unresolved, defs)
        cells = (
            f"`{name}`",
            _value(key),
            _default(name, key, rules),
            key["description"],
            _code(key["examples"][0]),
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _value(key: dict[str, Any]) -> str:
    if "const" in key:
        return _code(key["const"])
    if "enum" in key:
        return ", ".join(_code(member) for member in key["enum"])
    types = key["type"] if isinstance(key["type"], list) else [key["type"]]
    bounds = ""
    if "exclusiveMinimum" in key and "maximum" in key:
        bounds = f", above {key['exclusiveMinimum']}, at most {key['maximum']}"
    elif "minimum" in key and key.get("maximum", 2**31) < 2**31 - 1:
        bounds = f", {key['minimum']} to {key['maximum']}"
    elif "minimum" in key:
        bounds = f", {key['minimum']} or more"
    return " or ".join(_TYPES[name] for name in types if name != "null") + bounds


def _default(name: str, key: dict[str, Any], rules: dict[str, Any]) -> str:
    if name in rules.get("required", []) or "const" in key:
        return "required"
    return _code(key["default"]) if "default" in key else ""


def _code(value: Any) -> str:
    return f"`{flow(value)}`"


def flow(value: Any) -> str:
    """A value as a recipe writes it in one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow(k)}: {flow(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(flow(item) for item in value)}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and _is_text(value):
        return value
    return json.dumps(value)


def _is_text(text: str) -> bool:
    """Whether text without quotes is read as itself; some numbers are not read at all."""
    try:
        return plain_value(text) == text
    except ValueError:
        return False
