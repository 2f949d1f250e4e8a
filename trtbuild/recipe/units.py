"""Numbers as exact values: sizes and durations with units, integers written as floats."""

from __future__ import annotations

import re
from typing import Any

BYTES = {
    "B": 1,
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), 1)},
    **{unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB"), 1)},
}
MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000}

_QUANTITY = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,9}))? ?([A-Za-z]+)")


def whole(value: Any) -> Any:
    """The value with 17.0 as 17, at any depth: JSON Schema calls both integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


def bytes_of(text: str) -> int | None:
    """The bytes of "1GiB" or "1.5 GB": at least one, and whole. None for what is no such size."""
    size = _quantity(text, BYTES)
    if size is None or size[0] == 0 or size[0] % size[1]:
        return None
    return size[0] // size[1]


def milliseconds_of(text: str) -> float | None:
    """The milliseconds of "200ms", "3s" or "1.5 m". None for what is no such duration."""
    duration = _quantity(text, MILLISECONDS)
    return None if duration is None else duration[0] / duration[1]


def _quantity(text: str, units: dict[str, int]) -> tuple[int, int] | None:
    """A quantity in the smallest of its units, as numerator and denominator."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[3] not in units:
        return None
    fraction = match[2] or ""
    return int(match[1] + fraction) * units[match[3]], 10 ** len(fraction)
