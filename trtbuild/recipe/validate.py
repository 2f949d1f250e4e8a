"""Compares a recipe with its schema, and says in plain words where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtbuild.recipe.model import JSONValue
from trtbuild.recipe.precision_section import DEFAULTS, no_such_option
from trtbuild.recipe.problems import Key, Problem, did_you_mean, shown
from trtbuild.recipe.schema import validator

if TYPE_CHECKING:
    from jsonschema import ValidationError

SHOWN_KEYS = 12

UNBOUNDED = 2**31 - 1
"""A maximum that keeps numbers sane, and that no message needs to mention."""

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True)
class _Difference:
    """What jsonschema found: a value that breaks one keyword of some rules."""

    key: Key
    got: Any
    keyword: str
    wanted: Any  # the keyword's value
    rules: dict[str, Any]


def validate(data: JSONValue) -> list[Problem]:
    """Every difference between a recipe's data and the schema, each once."""
    differences = (_difference(error) for error in validator().iter_errors(data))
    found = (problem for difference in differences for problem in _problems(difference))
    return list(dict.fromkeys(found))


def _problems(found: _Difference) -> Iterator[Problem]:
    """The schema has one list of options for all precisions, of which each has some only."""
    if found.key[:1] == ("precisions",) and len(found.key) > 2:
        name, option = found.key[1:3]
        if option not in DEFAULTS.get(str(name), {option: None}):
            yield no_such_option(str(name), str(option))
            return
    yield from _TRANSLATE.get(found.keyword, _unexpected)(found)


def _difference(error: ValidationError) -> _Difference:
    got: Any = error.instance
    rules: Any = error.schema
    key: Key = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        key = (*key, got)
    return _Difference(key, got, str(error.validator), error.validator_value, rules)


def _unknown_keys(found: _Difference) -> Iterator[Problem]:
    known = found.rules["properties"]
    precision = str(found.key[1]) if found.key[:1] == ("precisions",) and found.key[1:] else ""
    for name in found.got:
        if name not in known and precision in DEFAULTS:
            yield no_such_option(precision, name)
        elif name not in known:
            near = did_you_mean(name, known)
            hint = "" if near else _keys(known)
            yield Problem(found.key, f"unknown key '{name}'{near}", hint, spoils=(*found.key, name))


def _keys(known: Iterable[str]) -> str:
    names = list(known)
    if len(names) > SHOWN_KEYS:
        return f"docs/recipe.md and `trtbuild schema` describe the {len(names)} keys here"
    return f"the keys here are {', '.join(names)}"


def _missing_keys(found: _Difference) -> Iterator[Problem]:
    for name in found.wanted:
        if name not in found.got:
            yield Problem(found.key, f"required key '{name}' is missing")


def _no_member(found: _Difference) -> Iterator[Problem]:
    if "x-expected" in found.rules or not isinstance(found.got, str | int | float):
        yield from _unexpected(found)
        return
    members = [str(member) for member in found.wanted]
    if len(members) == 1:
        yield Problem(found.key, f"expected {members[0]}, got {shown(found.got)}", spoils=found.key)
        return
    near = did_you_mean(str(found.got), members)
    text = f"{shown(found.got)} is not one of {', '.join(members)}{near}"
    yield Problem(found.key, text, spoils=found.key)


def _unexpected(found: _Difference) -> Iterator[Problem]:
    text = f"expected {_expected(found)}, got {shown(found.got)}"
    hint = found.rules.get("x-hint") or _remedy(found)
    yield Problem(found.key, text, hint, spoils=found.key)


def _empty(found: _Difference) -> Iterator[Problem]:
    yield Problem(found.key, "must not be empty", spoils=found.key)


def _too_short(found: _Difference) -> Iterator[Problem]:
    return _unexpected(found) if found.got else _empty(found)


def _too_long(found: _Difference) -> Iterator[Problem]:
    if not isinstance(found.got, str):
        yield from _unexpected(found)
        return
    text = f"{len(found.got)} characters are too many; at most {found.wanted} are allowed"
    yield Problem(found.key, text, spoils=found.key)


def _twice(found: _Difference) -> Iterator[Problem]:
    for index, item in enumerate(found.got):
        if item in found.got[:index]:
            text = f"{shown(item)} is given twice"
            yield Problem((*found.key, index), text, spoils=found.key)


_TRANSLATE: dict[str, Callable[[_Difference], Iterator[Problem]]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "enum": _no_member,
    "minItems": _too_short,
    "minLength": _empty,
    "minProperties": _empty,
    "maxLength": _too_long,
    "uniqueItems": _twice,
}


def _expected(found: _Difference) -> str:
    rules = found.rules
    if "x-expected" in rules:
        return str(rules["x-expected"])
    if "enum" in rules:
        return f"one of {', '.join(str(member) for member in rules['enum'])}"
    types = rules.get("type", [])
    types = [types] if isinstance(types, str) else types
    return " or ".join(_TYPES[name] for name in types) + _bounds(rules)


def _bounds(rules: dict[str, Any]) -> str:
    low, high, above = (rules.get(key) for key in ("minimum", "maximum", "exclusiveMinimum"))
    if above is not None:
        return f" above {above}" + (f" and of at most {high}" if high is not None else "")
    if low is not None and high is not None and high < UNBOUNDED:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""


def _remedy(found: _Difference) -> str:
    """What to write instead, where a value has merely the wrong form."""
    got, types = found.got, found.wanted
    if found.keyword != "type":
        return ""
    if types == "boolean" and isinstance(got, str):
        return "write true or false, without quotes"
    if types in ("integer", "number") and isinstance(got, str) and _is_number(got):
        return "write the number without quotes"
    if types == "string" and isinstance(got, int | float) and not isinstance(got, bool):
        return f"put it in quotes: '{got}'"
    single = found.rules.get("minItems", 1) < 2
    if types == "array" and single and isinstance(got, str | int | float):
        return f"write a list: [{got}]"
    if got is None and "object" in types:
        return "indent its keys below it, or write {} for none"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
