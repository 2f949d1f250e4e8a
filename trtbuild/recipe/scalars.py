"""What plain YAML text means: the core schema of YAML 1.2, without its octal and hexadecimal."""

from __future__ import annotations

import functools
import math
import re

CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_BEGINS = frozenset("+-.0123456789")
# A leading zero makes no number: YAML 1.1 reads 010 as 8, and YAML 1.2 as 10.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+))"
)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@functools.lru_cache(maxsize=4096)  # the same keys and numbers are in every recipe
def plain_value(text: str) -> bool | int | float | str | None:
    """The value of unquoted text; "yes", "on", 1_000, 0x10 and dates are text.

    Raises ValueError, with a message for the user, for a number that JSON cannot hold.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if text[0] not in _NUMBER_BEGINS:
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > 100:
            raise ValueError(f"an integer of {len(text)} digits is too large")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is too large a number")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no finite number; a recipe has no infinity and no NaN")
    return text
