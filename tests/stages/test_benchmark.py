"""The benchmark stage where there is no GPU; tests/gpu has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtbuild.cuda.probe import probe
from trtbuild.errors import StageError
from trtbuild.recipe.model import Options
from trtbuild.stages import benchmark
from trtbuild.stages.base import StageContext

without_gpu = pytest.mark.skipif(bool(probe().devices), reason="there is a GPU")


class Silent:
    """A reporter that nobody listens to."""

    def progress(self, text: str, fraction: float | None = None) -> None: ...

    def warn(self, text: str) -> None: ...


def context(folder: Path, **options: object) -> StageContext:
    engine = folder / "engine.plan"
    engine.write_bytes(b"vtrt" + bytes(60))
    given: Options = {"backend": "tensorrt_rtx", **options}  # type: ignore[dict-item] # JSON
    return StageContext(given, {"engine": engine}, folder, folder, Silent())


@without_gpu
def test_without_a_gpu_the_stage_says_so_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no CUDA device"):
        benchmark.run(context(tmp_path))
    assert not (tmp_path / "benchmark.json").exists()


def test_settings_are_checked_before_a_gpu_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="streams is 0, it must be 1 or more"):
        benchmark.run(context(tmp_path, streams=0))


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = context(tmp_path)
    (tmp_path / "engine.plan").unlink()
    with pytest.raises(StageError, match="the engine cannot be read") as caught:
        benchmark.run(given)
    assert caught.value.where == str(tmp_path / "engine.plan")
