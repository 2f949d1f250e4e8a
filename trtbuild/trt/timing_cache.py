"""Keeps the builder's timings between builds: one file per version, GPU and set of options."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.recipe.build_options import value_at
from trtbuild.store.digest import canonical_json
from trtbuild.store.files import file_lock, write_file
from trtbuild.trt.tactics import Mode, Tactics, hold, pin, tactics_of

if TYPE_CHECKING:
    from trtbuild.trt.logger import Log

FAMILY = (
    *("tf32", "sparsity", "direct_io", "strict_nans", "version_compatible", "weight_streaming"),
    *("hardware_compatibility", "runtime_platform", "engine_capability", "dla", "tactic_sources"),
    *("timing_cache.editable", "compilation_cache", "tiling_level", "preview", "build_route"),
)
"""Options that decide which kernels there are to be timed: builds that share them share a file."""


@dataclass(frozen=True, slots=True)
class TimingPlan:
    """Which timings a build begins with, and where its own go.

    `file` is read, where there is one; it is merged into where `shared`. `export` gets this
    build's own in any case. With `tactics` the file decides which kernels run.
    """

    file: Path | None
    shared: bool
    export: Path | None = None
    tactics: Mode | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """What a build began with: how many timings, where the version can count them."""

    known: int | None
    note: str  # "" or why those of the file were not used
    pinned: Tactics = field(default_factory=dict)


def cache_name(version: str, gpu: str, settings: Mapping[str, Any]) -> str:
    """The name of the file of a TensorRT version, a GPU and a family of options."""
    family = {key: value_at(settings, tuple(key.split("."))) for key in FAMILY}
    digest = hashlib.sha256(canonical_json(family)).hexdigest()[:12]
    return f"{version}-{re.sub(r'[^A-Za-z0-9.]+', '-', gpu)}-{digest}.cache"


def begin(log: Log, config: Any, plan: TimingPlan) -> Timings:
    """Give a builder config the timings of a file, none where it has none.

    Raises StageError where a file that the recipe names cannot be used.
    """
    before = len(log.warnings)
    if plan.tactics is not None:
        pin(log.flavour, config, plan.tactics)
    cache = config.create_timing_cache(_read(plan.file))
    note = ""
    if cache is None or not config.set_timing_cache(cache, False):
        note = "; ".join(log.warnings[before:]) or "it is of another version or GPU"
        if not plan.shared:
            raise StageError(
                f"the timing cache cannot be used: {note}",
                where=str(plan.file),
                hint="make it again: build without build.timing_cache.file, and take timing.cache",
            )
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return Timings(_count(cache), note, {} if plan.tactics is None else tactics_of(cache))


@dataclass(frozen=True, slots=True)
class Kept:
    """What a build did with its timings, in words; and its tactics, where they are kept."""

    told: str
    tactics: Tactics | None = None


def finish(log: Log, config: Any, plan: TimingPlan, begun: Timings) -> Kept:
    """Keep the timings of a build that is done, and its tactics where the plan says so.

    Raises StageError where the tactics must be those of the file, and are not.
    """
    cache = config.get_timing_cache()
    content = bytes(cache.serialize())
    if plan.export is not None:
        write_file(plan.export, content)
    if plan.shared:
        assert plan.file is not None  # noqa: S101 - what is shared is a file
        merge(plan.file, content, lambda old, new: combined(config, old, new))
    if plan.tactics is not None:
        chosen = tactics_of(cache)
        told = hold(log, plan.tactics, begun.pinned, chosen)
        return Kept(f"timing cache: {told}", chosen)
    known, now = begun.known, _count(cache)
    told = f"{len(content)} bytes; this version does not count its timings"
    if known is not None and now is not None:
        told = f"{known} timings were known, {now - known} were missing and measured"
    other = f"; others were not used: {begun.note}" if begun.note else ""
    return Kept(f"timing cache: {told}{other}")


def merge(path: Path, content: bytes, combine: Callable[[bytes, bytes], bytes]) -> None:
    """Put timings into a file that other processes write to as well.

    The file is locked, combined with what others have put there by now, and replaced as a whole:
    a reader never sees a part, and no process loses what another one found. Raises StoreError.
    """
    with file_lock(path.with_name(f"{path.name}.lock")):
        try:
            old = path.read_bytes()
        except FileNotFoundError:
            old = b""
        write_file(path, combine(old, content) if old else content)


def combined(config: Any, old: bytes, new: bytes) -> bytes:
    """Both timing caches as one; `new` alone where TensorRT cannot use the old one any more."""
    cache = config.create_timing_cache(new)
    other = config.create_timing_cache(old)
    if cache is None:
        return new
    if other is not None:
        cache.combine(other, False)
    return bytes(cache.serialize())


def _read(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StageError(
            f"the timing cache cannot be read: {error.strerror}", where=str(path)
        ) from error


def _count(cache: Any) -> int | None:
    """How many timings there are; None before 10.8, which cannot tell."""
    return len(cache.queryKeys()) if hasattr(cache, "queryKeys") else None
