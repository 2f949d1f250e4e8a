"""Timings that builds share: a file per version, GPU and family of options, merged safely."""

from __future__ import annotations

import multiprocessing
import warnings
from pathlib import Path
from typing import Any

import pytest

from trtbuild.errors import StageError
from trtbuild.trt.flavour import Flavour, load_backend
from trtbuild.trt.logger import recording
from trtbuild.trt.timing_cache import (
    TimingPlan,
    Timings,
    begin,
    cache_name,
    combined,
    finish,
    merge,
)

PROCESSES, ROUNDS = 8, 25


def union(old: bytes, new: bytes) -> bytes:
    """Timings as lines, both of them."""
    return b"".join(sorted({*old.splitlines(keepends=True), *new.splitlines(keepends=True)}))


def write_lines(path: Path, number: int, start: Any) -> None:
    """What one build process does, many times over."""
    start.wait()
    for turn in range(ROUNDS):
        merge(path, f"kernel {number}.{turn}\n".encode() * 200, union)


def write_native(path: Path, start: Any) -> None:
    """The same with the cache object of TensorRT-RTX, which holds no timings without a GPU."""
    flavour = load_backend("tensorrt_rtx")
    warnings.simplefilter("ignore", DeprecationWarning)
    with recording(flavour) as log:
        builder = log.create("Builder")
        config = builder.create_builder_config()
        content = bytes(config.create_timing_cache(b"").serialize())
        start.wait()
        for _ in range(ROUNDS):
            merge(path, content, lambda old, new: combined(config, old, new))


def together(target: Any, arguments: list[tuple[Any, ...]]) -> None:
    """Run processes that begin at the same moment; all of them must end well."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(arguments))
    processes = [context.Process(target=target, args=(*given, start)) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0


def test_eight_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shared.cache"
    together(write_lines, [(path, number) for number in range(PROCESSES)])
    wanted = {f"kernel {p}.{t}" for p in range(PROCESSES) for t in range(ROUNDS)}
    assert set(path.read_text().split("\n")) - {""} == wanted
    assert sorted(file.name for file in tmp_path.iterdir()) == ["shared.cache", "shared.cache.lock"]


def test_eight_processes_merge_caches_of_tensorrt_itself(tmp_path: Path) -> None:
    path = tmp_path / "shared.cache"
    together(write_native, [(path,) for _ in range(PROCESSES)])
    assert path.read_bytes().startswith(b"ptrt")


def test_a_process_that_is_killed_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "shared.cache"
    path.write_bytes(b"kernel a\n")

    def dies(_: bytes, __: bytes) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(path, b"kernel b\n", dies)
    assert path.read_bytes() == b"kernel a\n"
    merge(path, b"kernel b\n", union)
    assert path.read_bytes() == b"kernel a\nkernel b\n"


def test_a_name_tells_version_gpu_and_family_apart() -> None:
    plain = cache_name("10.16.1.11", "NVIDIA H100 80GB HBM3", {"tf32": True})
    assert plain.startswith("10.16.1.11-NVIDIA-H100-80GB-HBM3-")
    others = [
        cache_name("10.16.1.12", "NVIDIA H100 80GB HBM3", {"tf32": True}),
        cache_name("10.16.1.11", "NVIDIA L4", {"tf32": True}),
        cache_name("10.16.1.11", "NVIDIA H100 80GB HBM3", {"tf32": False}),
        cache_name("10.16.1.11", "NVIDIA H100 80GB HBM3", {"tf32": True, "sparsity": True}),
    ]
    assert len({plain, *others}) == 5
    shapes = {"tf32": True, "workspace": 1 << 30, "optimization_level": 5}
    assert cache_name("10.16.1.11", "NVIDIA H100 80GB HBM3", shapes) == plain


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_build_begins_with_a_file_and_adds_to_it(rtx: Flavour, tmp_path: Path) -> None:
    path, own = tmp_path / "timing" / "shared.cache", tmp_path / "timing.cache"
    with recording(rtx) as log:
        builder = log.create("Builder")
        config = builder.create_builder_config()
        plan = TimingPlan(path, shared=True, export=own)
        begun = begin(log, config, plan)
        assert begun == Timings(0, "")
        kept = finish(log, config, plan, begun)
    assert kept.told == "timing cache: 0 timings were known, 0 were missing and measured"
    assert path.read_bytes() == own.read_bytes()


class Refusing:
    """A builder config of a version and GPU that the file is not for."""

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        return not cache


def test_shared_timings_of_something_else_are_not_used_and_that_is_told(
    rtx: Flavour, tmp_path: Path
) -> None:
    (tmp_path / "a.cache").write_bytes(b"of another GPU")
    with recording(rtx) as log:
        begun = begin(log, Refusing(), TimingPlan(tmp_path / "a.cache", shared=True))
    assert begun == Timings(None, "it is of another version or GPU")


def test_timings_in_the_repository_that_cannot_be_used_are_an_error(
    rtx: Flavour, tmp_path: Path
) -> None:
    (tmp_path / "a.cache").write_bytes(b"of another GPU")
    with recording(rtx) as log, pytest.raises(StageError) as caught:
        begin(log, Refusing(), TimingPlan(tmp_path / "a.cache", shared=False))
    assert "the timing cache cannot be used: it is of another version or GPU" in str(caught.value)
    assert "take timing.cache" in caught.value.hint
