"""What one option of the builder is: its key, its call, where it exists, and what is said of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}

Kind: TypeAlias = Literal[
    "flag", "unflag", "flags", "pool", "attribute", "choice", "tactic", "preview", "parser", "own"
]
"""How an option is set. `trtbuild.trt.settings` has a writer and a reader for each but `own`."""

_CALLS: dict[str, str] = {
    "flag": "config.set_flag(BuilderFlag.{member})",
    "unflag": "config.clear_flag(BuilderFlag.{member})",
    "flags": "config.set_flag(BuilderFlag...)",
    "pool": "config.set_memory_pool_limit(MemoryPoolType.{member}, bytes)",
    "attribute": "config.{member}",
    "choice": "config.{member}",
    "tactic": "config.set_tactic_sources(1 << int(TacticSource.{member}) | ...)",
    "preview": "config.set_preview_feature(PreviewFeature.{member}, ...)",
    "parser": "parser.set_flag(OnnxParserFlag.{member})",
}
_NEEDS: dict[str, str] = {
    "flag": "BuilderFlag.{member}",
    "unflag": "BuilderFlag.{member}",
    "pool": "MemoryPoolType.{member}",
    "attribute": "IBuilderConfig.{member}",
    "choice": "IBuilderConfig.{member}",
    "tactic": "TacticSource.{member}",
    "preview": "PreviewFeature.{member}",
    "parser": "OnnxParserFlag.{member}",
}


@dataclass(frozen=True, slots=True)
class Where:
    """The versions that have something, as the bindings of 10.0 to 11.4 and RTX 1.4 to 1.7 show.

    `tensorrt` holds spans: the first version with it, and the first without it again or None.
    `rtx` is the first version of TensorRT-RTX, None where it has none. `why` and `instead` go
    into the message to who asks for it where no version of the backend has it.
    """

    tensorrt: tuple[tuple[str, str | None], ...] = (("10.0", None),)
    rtx: str | None = "1.4"
    why: str = "has no such option"
    instead: str = "leave it out"

    def never(self, backend: str) -> bool:
        """Whether no version of a backend has it."""
        return not self.tensorrt if backend == "tensorrt" else self.rtx is None

    def has(self, backend: str, version: str) -> bool:
        """Whether this version of a backend has it."""
        number = numbers(version)
        if backend == "tensorrt_rtx":
            return self.rtx is not None and number >= numbers(self.rtx)
        return any(
            number >= numbers(first) and (until is None or number < numbers(until))
            for first, until in self.tensorrt
        )

    @property
    def text(self) -> str:
        """ "TensorRT from 10.4, TensorRT-RTX"."""
        spans = [
            (f"from {first}" if first != "10.0" else "")
            + (" " if first != "10.0" and until else "")
            + (f"before {until}" if until else "")
            for first, until in self.tensorrt
        ]
        parts = [f"TensorRT {' and '.join(spans)}".strip()] if spans else []
        if self.rtx is not None:
            parts.append("TensorRT-RTX" + (f" from {self.rtx}" if self.rtx != "1.4" else ""))
        return ", ".join(parts)


EVERYWHERE = Where()


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an enumerated option: the member that it stands for, and where that exists."""

    member: str
    where: Where = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Option:
    """One key below `build`, dotted where it lies in a group.

    `rules` is its JSON Schema without words. `values` are all that it may be, `items` what is not
    everywhere among those that a list may hold. `default` is what TensorRT does anyway: a key with
    this value is no part of an action. `on_rtx` says what TensorRT-RTX needs a GPU and one
    compute capability for; `requires` names a key that must be given too.
    """

    key: str
    meaning: str
    rules: Mapping[str, Any]
    examples: tuple[Any, ...]
    kind: Kind = "own"
    member: str = ""
    enum: str = ""
    where: Where = EVERYWHERE
    values: Mapping[str, Value] = field(default_factory=dict)
    items: Mapping[str, Value] = field(default_factory=dict)
    default: Any = None
    own_call: str = ""
    own_needs: tuple[str, ...] = ()
    on_rtx: str = ""
    requires: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The key in parts, below `build`."""
        return tuple(self.key.split("."))

    @property
    def call(self) -> str:
        """The call of TensorRT's Python API."""
        return self.own_call or _CALLS.get(self.kind, "").format(member=self.member)

    @property
    def needs(self) -> tuple[str, ...]:
        """The members of the module without which the option does not exist."""
        needs = _NEEDS.get(self.kind)
        return self.own_needs or ((needs.format(member=self.member),) if needs else ())

    @property
    def schema(self) -> dict[str, Any]:
        """The option's JSON Schema, words and all."""
        source = f" `{self.call}`: {self.where.text}." if self.call else ""
        rules: dict[str, Any] = {"description": f"{self.meaning}{source}", **self.rules}
        if self.values:
            rules["enum"] = list(self.values)
        if self.default is not None:
            rules["default"] = self.default
        return {**rules, "examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class Group:
    """A mapping of options below one key."""

    key: str
    meaning: str
    example: Mapping[str, Any]


def numbers(version: str) -> tuple[int, ...]:
    """(10, 14, 1, 48) for "10.14.1.48.post1"."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def value_at(build: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What a build section says under a path; None where it says nothing."""
    value: Any = build
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def build_rules(options: tuple[Option, ...], groups: tuple[Group, ...]) -> dict[str, Any]:
    """The `properties` of the schema's `build`, in the order of the table."""
    properties: dict[str, Any] = {}
    by_key = {group.key: group for group in groups}
    for option in options:
        first, *rest = option.path
        if not rest:
            properties[first] = option.schema
            continue
        group = by_key[first]
        mapping = properties.setdefault(
            first,
            {
                "description": group.meaning,
                "type": "object",
                "additionalProperties": False,
                "properties": {},
                "examples": [dict(group.example)],
            },
        )
        mapping["properties"][rest[0]] = option.schema
    return properties
