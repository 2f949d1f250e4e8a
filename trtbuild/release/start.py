"""What a release was begun with: it is of that, whatever is changed while it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtbuild.errors import ReleaseError
from trtbuild.graph.accepted import FILE as ACCEPTED
from trtbuild.release.locked import LockGuard, compare
from trtbuild.release.source import SourceState, commit_of

LARGEST = 64 << 20
"""Bytes of a recipe or a lock; what is larger is refused by whoever reads it."""

AGAIN = "release it again"


@dataclass(frozen=True, slots=True)
class Start:
    """The documents of one recipe, None where one is not there, and the commit."""

    documents: Mapping[str, tuple[Path, bytes | None]]  # by role in a bundle
    commit: str | None

    def content(self, role: str) -> bytes | None:
        """The bytes of a document."""
        return self.documents[role][1]


def start_of(recipe: Path) -> Start:
    """To be called before the recipe is read, so that what is read later is not older."""
    paths = {
        "recipe": recipe,
        "lock": recipe.with_suffix(".lock"),
        "accepted": recipe.parent / ACCEPTED,
    }
    return Start(
        {role: (path, _content(path)) for role, path in paths.items()}, commit_of(recipe.parent)
    )


def require_unchanged(
    guards: Sequence[LockGuard], starts: Sequence[Start], states: Sequence[SourceState]
) -> None:
    """Raise a ReleaseError where a document, the commit or an input is not what it was."""
    for guard, start, state in zip(guards, starts, states, strict=True):
        recipe = guard.rebuilder.recipe
        for path, content in start.documents.values():
            if _content(path) != content:
                raise ReleaseError(
                    "was changed while the release was made", where=str(path), hint=AGAIN
                )
        if state.commit != start.commit:
            raise ReleaseError(
                "another commit was checked out while the release was made: "
                f"{_brief(start.commit)} -> {_brief(state.commit)}",
                where=str(recipe.folder),
                hint=AGAIN,
            )
        if found := compare(guard.rebuilder, guard.lock):
            lines = "".join(f"\n  {text}" for text in found)
            raise ReleaseError(
                f"inputs were changed while the release was made:{lines}",
                where=str(recipe.path),
                hint=AGAIN,
            )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.stat().st_size <= LARGEST else None
    except (OSError, ValueError):
        return None


def _brief(commit: str | None) -> str:
    return commit[:12] if commit else "none"
