"""A recipe in the making: what the options of a call have said so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trtbuild.recipe.trtexec.precision import Types
from trtbuild.recipe.trtexec.shapes import Asked, Ports


@dataclass(slots=True)
class Made:
    """A recipe in the making: dotted keys with values, and notes, each about one option."""

    backend: str
    ports: Ports | None
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    types: Types = field(default_factory=Types)
    inputs: dict[str, Any] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    measured: bool = True

    def put(self, key: str, value: Any) -> None:
        """Set a dotted key; lists of the same key grow."""
        old = self.values.get(key)
        self.values[key] = [*old, *value] if isinstance(old, list) else value
