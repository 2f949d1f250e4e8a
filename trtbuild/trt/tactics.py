"""Which kernel each operation of a network runs by: written down, taken again, or held to.

TensorRT times kernels while it builds, so that two builds choose differently. An editable timing
cache has one entry per operation: its key, the hash of the tactic that was chosen, and the time
that this took. Hashes are compared, never the bytes of a cache, which hold the times too
(NVIDIA/TensorRT, samples/sampleEditableTimingCache).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from trtbuild.errors import StageError
from trtbuild.recipe.build_table import option
from trtbuild.trt.settings import check_taken, require

if TYPE_CHECKING:
    from trtbuild.trt.flavour import Flavour
    from trtbuild.trt.logger import Log

KEY = "timing_cache.tactics"

Mode: TypeAlias = Literal["record", "replay", "verified"]

Tactics: TypeAlias = Mapping[str, str]
"""The hash of the tactic by the key of the operation, both in hexadecimal as TensorRT logs them."""

FLAGS = ("EDITABLE_TIMING_CACHE", "DISABLE_COMPILATION_CACHE")
"""BuilderFlags of all modes: compiled kernels are of no use where only the choice is kept."""

MISS = "ERROR_ON_TIMING_CACHE_MISS"
"""The BuilderFlag of `verified`. It did not stop every miss in 11.0, so the result is compared."""


@dataclass(frozen=True, slots=True)
class Change:
    """An operation whose tactic is another; `before` or `after` is "" where it has none there."""

    key: str
    before: str
    after: str

    def text(self, names: Mapping[str, str]) -> str:
        """In words, by the operation's name where the log told it."""
        operation = f"'{names[self.key]}'" if self.key in names else f"operation {self.key}"
        if not self.before:
            return f"{operation} is new and runs {self.after}"
        if not self.after:
            return f"{operation}, which ran {self.before}, is gone"
        return f"{operation} runs {self.after}, not {self.before}"


def mode_of(settings: Mapping[str, Any]) -> Mode | None:
    """What a build's options say of tactics."""
    return cast("Mode | None", settings.get("timing_cache", {}).get("tactics"))


def pin(flavour: Flavour, config: Any, mode: Mode) -> None:
    """Make the timing cache of a builder config one that decides the tactics.

    Raises StageError where this TensorRT has no such cache or does not take a flag.
    """
    row = option(KEY)
    require(flavour, row)
    for name in (*FLAGS, MISS) if mode == "verified" else FLAGS:
        flag = getattr(flavour.module.BuilderFlag, name)
        config.set_flag(flag)
        check_taken(flavour, row, True, bool(config.get_flag(flag)))


def tactics_of(cache: Any) -> dict[str, str]:
    """The tactics that a timing cache holds, sorted by key."""
    found = {}
    for key in cache.queryKeys():
        entry = cache.query(key)
        found[str(key)] = f"{entry.tacticHash:#x}"
    return dict(sorted(found.items()))


def changes(before: Tactics, after: Tactics) -> tuple[Change, ...]:
    """Every operation whose tactic was added, removed or changed, by key."""
    return tuple(
        Change(key, before.get(key, ""), after.get(key, ""))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def hold(log: Log, mode: Mode, before: Tactics, after: Tactics) -> str:
    """What a build says of its tactics, once it is done.

    Raises StageError where it is `verified` and any differs from those that it began with.
    """
    if mode == "record":
        return f"the tactics of {len(after)} operations"
    found = changes(before, after)
    if not found:
        return f"the tactics of {len(after)} operations, all as recorded"
    told = f"{len(found)} of {len(before)} recorded tactics do not hold: {found[0].text(log.tuned)}"
    if mode == "verified":
        raise StageError(
            told,
            where=f"build.{KEY}",
            hint="the network, TensorRT or the GPU is another than when they were recorded: "
            "record them again (tactics: record), and put timing.cache in the file's place",
        )
    log.hear("WARNING", told)
    return told


def tactics_document(tactics: Tactics, names: Mapping[str, str]) -> dict[str, Any]:
    """As build.json has them: by key the tactic and, where the log told it, the operation."""
    return {
        key: {"tactic": tactic, **({"operation": names[key]} if key in names else {})}
        for key, tactic in tactics.items()
    }


def tactics_in(document: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The tactics of a build.json, and the names of operations in it, both by key."""
    found: Any = document.get("tactics", {})
    names = {key: item["operation"] for key, item in found.items() if "operation" in item}
    return {key: item["tactic"] for key, item in found.items()}, names
