"""Tactics that are recorded, replayed and held to, by what a timing cache holds of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trtbuild.errors import StageError
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import Log, recording
from trtbuild.trt.tactics import (
    Change,
    Mode,
    changes,
    hold,
    mode_of,
    pin,
    tactics_document,
    tactics_in,
    tactics_of,
)
from trtbuild.trt.timing_cache import TimingPlan, begin, finish

RECORDED = {"0x0a": "0x665ded9abbf88", "0x0b": "0x393e4e", "0x0c": "0x1"}
TUNED = (
    "Autotuning op matMul1(key: 0x0a):",
    "Autotuning op conv (1)(key: 0x0d): 12 tactics",
    "Sorted table of all evaluated tactics:",
)


@dataclass(frozen=True)
class Entry:
    """What a timing cache tells of a key; TensorRT's own fills in a time as well."""

    tacticHash: int  # noqa: N815 - TensorRT's name


@dataclass
class Cache:
    """The part of ITimingCache that is read, over tactics that a GPU would have chosen."""

    tactics: dict[str, str]

    def queryKeys(self) -> list[str]:  # noqa: N802
        return sorted(self.tactics, reverse=True)

    def query(self, key: str) -> Entry:
        return Entry(int(self.tactics[key], 16))

    def serialize(self) -> bytes:
        return repr(self.tactics).encode()


@dataclass
class Config:
    """A builder config whose cache is the file's, and which chooses `chosen` while it builds."""

    chosen: dict[str, str]
    flags: set[Any] = field(default_factory=set)
    cache: Cache | None = None

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def get_flag(self, flag: Any) -> bool:
        return flag in self.flags

    def create_timing_cache(self, content: bytes) -> Cache:
        return Cache(dict(RECORDED) if content else {})

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return True

    def get_timing_cache(self) -> Cache:
        return Cache(self.chosen)


def build(log: Log, mode: Mode, folder: Path, chosen: dict[str, str]) -> tuple[Any, set[str]]:
    """What a build does with its timing cache, and the flags that it sets."""
    file = None if mode == "record" else folder / "recorded.cache"
    if file is not None:
        file.write_bytes(b"recorded")
    plan = TimingPlan(file, shared=False, export=folder / "timing.cache", tactics=mode)
    config = Config(chosen)
    begun = begin(log, config, plan)
    return finish(log, config, plan, begun), {flag.name for flag in config.flags}


def test_recording_keeps_the_cache_and_what_was_chosen(rtx: Flavour, tmp_path: Path) -> None:
    with recording(rtx) as log:
        kept, flags = build(log, "record", tmp_path, RECORDED)
    assert kept.tactics == RECORDED
    assert kept.told == "timing cache: the tactics of 3 operations"
    assert flags == {"EDITABLE_TIMING_CACHE", "DISABLE_COMPILATION_CACHE"}
    assert (tmp_path / "timing.cache").read_bytes() == repr(RECORDED).encode()


@pytest.mark.parametrize("mode", ["replay", "verified"])
def test_a_build_that_chooses_what_was_recorded_passes(
    rtx: Flavour, tmp_path: Path, mode: Mode
) -> None:
    with recording(rtx) as log:
        kept, flags = build(log, mode, tmp_path, dict(reversed(RECORDED.items())))
        assert log.warnings == ()
    assert kept.told == "timing cache: the tactics of 3 operations, all as recorded"
    assert ("ERROR_ON_TIMING_CACHE_MISS" in flags) == (mode == "verified")


OTHERS = {
    "another": ({**RECORDED, "0x0a": "0x2"}, "'matMul1' runs 0x2, not 0x665ded9abbf88"),
    "new": ({**RECORDED, "0x0d": "0x7"}, "'conv (1)' is new and runs 0x7"),
    "gone": ({"0x0a": "0x665ded9abbf88", "0x0b": "0x393e4e"}, "operation 0x0c, which ran 0x1, is"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_choice_fails_where_it_is_verified_and_is_a_warning_where_replayed(
    rtx: Flavour, tmp_path: Path, kind: str
) -> None:
    chosen, told = OTHERS[kind]
    with recording(rtx) as log:
        for message in TUNED:
            log.hear("VERBOSE", message)
        with pytest.raises(StageError) as caught:
            build(log, "verified", tmp_path, chosen)
        assert f"1 of 3 recorded tactics do not hold: {told}" in str(caught.value)
        assert caught.value.where == "build.timing_cache.tactics"
        assert "tactics: record" in caught.value.hint
        assert log.warnings == ()
        kept, _ = build(log, "replay", tmp_path, chosen)
        assert told in log.warnings[0]
        assert kept.tactics == dict(sorted(chosen.items()))


def test_the_names_of_operations_are_those_that_the_log_tells(rtx: Flavour) -> None:
    with recording(rtx) as log:
        for message in TUNED:
            log.hear("VERBOSE", message)
        document = tactics_document(RECORDED, log.tuned)
    assert document["0x0a"] == {"tactic": "0x665ded9abbf88", "operation": "matMul1"}
    assert document["0x0b"] == {"tactic": "0x393e4e"}
    assert tactics_in({"tactics": document}) == (RECORDED, {"0x0a": "matMul1"})
    assert tactics_in({}) == ({}, {})


def test_changes_are_those_of_hashes_by_key() -> None:
    assert changes(RECORDED, dict(RECORDED)) == ()
    other = {"0x0a": "0x2", "0x0b": "0x393e4e", "0x0d": "0x3"}
    assert changes(RECORDED, other) == (
        Change("0x0a", "0x665ded9abbf88", "0x2"),
        Change("0x0c", "0x1", ""),
        Change("0x0d", "", "0x3"),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_flags_and_the_cache_of_tensorrt_itself_are_taken(rtx: Flavour) -> None:
    """TensorRT-RTX has the calls and times nothing, so that its cache has no operations."""
    with recording(rtx) as log:
        config = log.create("Builder").create_builder_config()
        pin(rtx, config, "verified")
        known = rtx.module.BuilderFlag
        assert config.get_flag(known.EDITABLE_TIMING_CACHE)
        assert config.get_flag(known.DISABLE_COMPILATION_CACHE)
        assert config.get_flag(known.ERROR_ON_TIMING_CACHE_MISS)
        cache = config.create_timing_cache(b"")
        assert config.set_timing_cache(cache, False)
        assert tactics_of(config.get_timing_cache()) == {}
        assert hold(log, "verified", {}, {}) == "the tactics of 0 operations, all as recorded"
        key = rtx.module.TimingCacheKey.parse("0x1814870c44ff0f8574df6e3dda04cbd7")
        assert str(key) == "0x1814870c44ff0f8574df6e3dda04cbd7"


def test_a_flag_that_is_not_taken_is_an_error(rtx: Flavour) -> None:
    class Deaf(Config):
        def set_flag(self, flag: Any) -> None:
            """TensorRT's setters refuse in the log only."""

    with pytest.raises(StageError, match="does not take True: it is False instead"):
        pin(rtx, Deaf({}), "record")


def test_the_mode_is_in_the_options_of_the_timing_cache() -> None:
    assert mode_of({}) is None
    assert mode_of({"timing_cache": {"error_on_miss": True}}) is None
    assert mode_of({"timing_cache": {"tactics": "replay"}}) == "replay"
