"""Strict YAML: one mapping of JSON values, and the place where each key is written.

Stricter than YAML: keys are text, given once; a file is one document; merge keys (`<<`), infinity,
NaN and tags but those of texts, lists and mappings are refused. Anchors and aliases are read.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from trtbuild.recipe.model import JSONValue, Position
from trtbuild.recipe.problems import Key, Problem
from trtbuild.recipe.scalars import plain_value
from trtbuild.recipe.syntax import syntax_problem

MOST_VALUES = 100_000
"""A recipe's values, aliases counted as what they stand for: a few lines can mean billions."""

DEEPEST = 100
"""Levels of nesting; far below where Python's recursion ends."""

# libyaml reads ten times as fast, and gives the same events.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML's own set, which libyaml reports without a place; compiled once, with PyYAML.
_FORBIDDEN = yaml.reader.Reader.NON_PRINTABLE
_CORE = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Text:
    """A parsed file; `data` is None where it could not be read as a mapping."""

    data: dict[str, JSONValue] | None = None
    positions: dict[Key, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Stop(Exception):  # noqa: N818 - control flow of this module, never seen outside
    """The rest of the file cannot be understood."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def parse(content: bytes) -> Text:
    """What a recipe's bytes say, and all that is wrong with them as YAML."""
    result = Text()
    try:
        text = _decoded(content)
        result.data = _Reader(text, result).document()
    except _Stop as stop:
        result.problems.append(stop.problem)
    except yaml.YAMLError as error:
        result.problems.append(syntax_problem(error, text))
    return result


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        raise _Stop(
            Problem(
                (),
                f"byte 0x{content[error.start]:02x} is not UTF-8",
                "save the recipe as UTF-8 text",
                position_in(before),
            )
        ) from None
    wrong = _FORBIDDEN.search(text)
    if wrong is not None:
        place = position_in(text[: wrong.start()])
        message = f"control character U+{ord(wrong[0]):04X} is not allowed"
        raise _Stop(
            Problem((), message, "a recipe is text; models and data are named in it", place)
        )
    return text


def position_in(before: str) -> Position:
    """The place of what comes after some text."""
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Reader:
    """Builds values from the parser's events, since PyYAML's own constructor loses places."""

    def __init__(self, text: str, result: Text) -> None:
        self._next = LOADER(text).get_event
        self._positions = result.positions
        self._problems = result.problems
        self._anchors: dict[str, tuple[JSONValue, int]] = {}
        self._values = 0

    def document(self) -> dict[str, JSONValue]:
        """The one mapping of the file."""
        self._next()  # the start of the stream
        if type(self._next()) is yaml.StreamEndEvent:
            raise _Stop(Problem((), "the recipe is empty", "see `trtbuild schema` for its keys"))
        event = self._next()
        self._positions[()] = _position(event)
        data = self._value(event, (), 0)
        self._next()  # the end of the document
        event = self._next()
        if type(event) is not yaml.StreamEndEvent:
            text = "a second document begins here; a recipe is one"
            raise _Stop(Problem((), text, position=_position(event)))
        if not isinstance(data, dict):
            what = {type(None): "nothing", list: "a list"}.get(type(data), "a single value")
            raise _Stop(Problem((), f"expected a mapping of keys to values, got {what}"))
        return data

    def _value(self, event: Any, key: Key, depth: int) -> JSONValue:
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event, key)
        before = self._values
        self._count(1, event)
        value: JSONValue
        if kind is yaml.ScalarEvent:
            value = self._scalar(event, key)
        else:
            if depth == DEEPEST:
                text = f"nested deeper than {DEEPEST} levels"
                raise _Stop(Problem((), text, position=_position(event)))
            if kind is yaml.MappingStartEvent:
                value = self._mapping(event, key, depth + 1)
            else:
                value = self._sequence(event, key, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._values - before
        return value

    def _mapping(self, event: Any, key: Key, depth: int) -> dict[str, JSONValue]:
        self._check_tag(event, key, f"{_CORE}map")
        found: dict[str, JSONValue] = {}
        while type(head := self._next()) is not yaml.MappingEndEvent:
            name = self._name(head, key, depth, found)
            if name is None:
                self._skip(self._next(), key, depth)
                continue
            inner = (*key, name)
            self._positions[inner] = _position(head)
            found[name] = self._value(self._next(), inner, depth)
        return found

    def _sequence(self, event: Any, key: Key, depth: int) -> list[JSONValue]:
        self._check_tag(event, key, f"{_CORE}seq")
        found: list[JSONValue] = []
        while type(item := self._next()) is not yaml.SequenceEndEvent:
            inner = (*key, len(found))
            self._positions[inner] = _position(item)
            found.append(self._value(item, inner, depth))
        return found

    def _name(self, event: Any, key: Key, depth: int, found: dict[str, JSONValue]) -> str | None:
        """The text of a key, or None where its value must be skipped."""
        if type(event) is not yaml.ScalarEvent:
            self._note(event, key, "a key must be text")
            if type(event) is not yaml.AliasEvent:
                self._skip(event, key, depth)
            return None
        name: str = event.value
        if event.implicit[0]:
            if name == "<<":
                hint = "repeat the keys, or give the whole value an anchor"
                self._note(event, key, "merge keys ('<<') are not read", hint, spoils=key)
                return None
            if not name:
                self._note(event, key, "a ':' has no key before it")
                return None
            if not _is_text(name):
                self._note(event, key, f"key {name} is not text", f"put it in quotes: '{name}'")
        if name in found:
            first = self._positions[(*key, name)]
            self._note(
                event, key, f"key '{name}' is given twice; the first is on line {first.line}"
            )
            return None
        return name

    def _skip(self, event: Any, key: Key, depth: int) -> None:
        """Read a value that has no place in the result: its problems spoil nothing."""
        positions, self._positions = self._positions, {}
        known = len(self._problems)
        self._value(event, key, depth)
        self._problems[known:] = [replace(p, spoils=None) for p in self._problems[known:]]
        self._positions = positions

    def _scalar(self, event: Any, key: Key) -> JSONValue:
        text: str = event.value
        if event.tag is None and event.implicit[0]:
            try:
                return plain_value(text)
            except ValueError as error:
                self._note(event, key, str(error), spoils=key)
                return None
        self._check_tag(event, key, f"{_CORE}str")
        return text

    def _alias(self, event: Any, key: Key) -> JSONValue:
        if event.anchor not in self._anchors:
            text = f"alias '*{event.anchor}' has no anchor '&{event.anchor}' before it"
            self._note(event, key, text, spoils=key)
            return None
        value, values = self._anchors[event.anchor]
        self._count(values, event)
        return value

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            text = f"the recipe has more than {MOST_VALUES} values"
            raise _Stop(Problem((), text, "an alias counts as all it stands for", _position(event)))

    def _check_tag(self, event: Any, key: Key, allowed: str) -> None:
        if event.tag not in (None, "!", allowed):
            tag = event.tag.replace(_CORE, "!!")
            self._note(event, key, f"tag '{tag}' is not read", "leave it out", spoils=key)

    def _note(
        self, event: Any, key: Key, text: str, hint: str = "", *, spoils: Key | None = None
    ) -> None:
        self._problems.append(Problem(key, text, hint, _position(event), spoils))


def _position(event: Any) -> Position:
    mark = event.start_mark
    return Position(mark.line + 1, mark.column + 1)


@functools.lru_cache(maxsize=1024)
def _is_text(name: str) -> bool:
    try:
        return isinstance(plain_value(name), str)
    except ValueError:
        return False
