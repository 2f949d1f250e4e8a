"""Names that the user may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str]) -> str:
    """` (did you mean 'x' or 'y'?)` where candidates look like the name, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(set(candidates))}
    near = difflib.get_close_matches(name.lower(), by_lower, n=2, cutoff=0.6)
    return (
        f" (did you mean {' or '.join(repr(by_lower[match]) for match in near)}?)" if near else ""
    )
