"""What TensorRT says: routed to the work at hand, written down, noise left out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.trt import nets
from trtbuild.errors import StageError, UsageError
from trtbuild.trt.flavour import Flavour, load_backend
from trtbuild.trt.logger import Log, recording
from trtbuild.trt.parser import parse_onnx

NOISE = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient "
    "for CUDA runtime version))",
    "[checkMacros.cpp::catchCudaError::229] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:229)",
    "ModelImporter.cpp:1071: Make sure input input_ids has Int64 binding.",
)


def say(log: Log) -> None:
    """Make TensorRT log an error of its own: a level below 0 is refused in words only."""
    builder = log.create("Builder")
    config = builder.create_builder_config()
    config.builder_optimization_level = -1


def test_errors_are_remembered_and_everything_is_written(rtx: Flavour, tmp_path: Path) -> None:
    path = tmp_path / "build.log"
    with recording(rtx, path) as log:
        parse_onnx(log, nets.digits(tmp_path / "digits.onnx"))
        say(log)
    assert len(log.errors) == 1
    assert "condition: level >= 0" in log.errors[0]
    text = path.read_text()
    assert f"[ERROR] {log.errors[0]}" in text
    assert "[VERBOSE] " in text
    assert "[INFO] Input filename:" in text


@pytest.mark.parametrize("severity", ["ERROR", "WARNING"])
@pytest.mark.parametrize("text", NOISE)
def test_noise_is_written_and_not_remembered(
    rtx: Flavour, tmp_path: Path, severity: str, text: str
) -> None:
    path = tmp_path / "build.log"
    with recording(rtx, path) as log:
        log.hear(severity, text)
    assert (log.errors, log.warnings) == ((), ())
    assert path.read_text() == f"[{severity}] {text}\n"


def test_a_cuda_error_that_is_not_the_missing_driver_is_no_noise(rtx: Flavour) -> None:
    with recording(rtx) as log:
        log.hear("ERROR", NOISE[0].replace("cudaError 35", "cudaError 2"))
    assert len(log.errors) == 1


def test_what_is_said_twice_is_remembered_once_and_in_order(rtx: Flavour) -> None:
    with recording(rtx) as log:
        for text in ("a", "b", "a"):
            log.hear("WARNING", text)
    assert log.warnings == ("a", "b")


def test_each_recording_hears_its_own_work_through_the_one_native_logger(rtx: Flavour) -> None:
    with recording(rtx) as first:
        say(first)
    with recording(rtx) as second:
        log_of_builder = second.create("Builder").logger
        assert second.errors == ()
        say(second)
    assert len(first.errors) == len(second.errors) == 1
    assert second.warnings == ()  # TensorRT warns of a second logger
    assert log_of_builder is not None


def test_an_outer_recording_goes_on_after_an_inner_one(rtx: Flavour) -> None:
    with recording(rtx) as outer:
        with recording(rtx) as inner:
            say(inner)
        assert outer.errors == ()
        say(outer)
    assert len(outer.errors) == 1


def test_what_tensorrt_says_between_recordings_is_nobodys(rtx: Flavour) -> None:
    with recording(rtx) as log:
        builder = log.create("Builder")
    builder.create_builder_config().builder_optimization_level = -1
    assert log.errors == ()


def test_a_log_that_cannot_be_opened_is_an_error_with_its_path(
    rtx: Flavour, tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "build.log"
    with pytest.raises(StageError) as caught, recording(rtx, path):
        pass
    assert str(caught.value) == (
        f"{path}: TensorRT's log cannot be written: No such file or directory"
    )


def test_a_disk_that_fills_up_under_the_log_is_an_error_after_the_work(rtx: Flavour) -> None:
    heard = []

    def work() -> None:
        with recording(rtx, Path("/dev/full")) as log:
            log.hear("INFO", "does not fit")
            log.hear("ERROR", "is remembered all the same")
            heard.extend(log.errors)

    with pytest.raises(StageError, match="No space left on device"):
        work()
    assert heard == ["is remembered all the same"]


LIBRARY = (
    "createInferBuilder: Error Code 6: API Usage Error (Unable to load library: "
    "libnvinfer_builder_resource.so.10.7.0: cannot open shared object file: No such file)"
)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("CUDA initialization failure with error: 35", "tensorrt_rtx builds without either"),
        ("something that nobody knows", "tensorrt_rtx builds without either"),
        (LIBRARY, "install this TensorRT again"),
    ],
)
def test_a_factory_that_gives_nothing_says_what_is_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    """As the real bindings do when the native library returns NULL; here it says why before."""
    (tmp_path / "tensorrt.py").write_text(
        "__version__ = '10.3.0'\n"
        "class ILogger:\n"
        "    class Severity: __members__ = {'ERROR': 1}\n"
        "class Builder:\n"
        "    def __init__(self, logger):\n"
        f"        logger.log(1, {said!r})\n"
        "        raise TypeError('pybind11::init(): factory function returned nullptr')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    flavour = load_backend("tensorrt")
    with recording(flavour) as log, pytest.raises(UsageError) as caught:
        log.create("Builder")
    assert caught.value.what == f"TensorRT 10.3.0 could not make a Builder\n  {said}"
    assert hint in caught.value.hint


def test_a_wrong_call_stays_a_bug(rtx: Flavour) -> None:
    with recording(rtx) as log, pytest.raises(TypeError, match="incompatible constructor"):
        log.create("OnnxParser", "no network")
