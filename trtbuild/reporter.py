"""How work in progress speaks to the person who waits for it."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Takes what running work has to say."""

    # One line of what is being done; `fraction` from 0 to 1 where it is known.
    def progress(self, text: str, fraction: float | None = None) -> None: ...

    # Something that does not stop the work, but that the user should know.
    def warn(self, text: str) -> None: ...
