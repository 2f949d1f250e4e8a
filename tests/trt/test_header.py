"""Kind, version and size of an engine from its first bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.trt import nets
from trtbuild.errors import StageError
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.header import PlanHeader, parse_plan_header, read_plan_header
from trtbuild.trt.logger import recording


@pytest.fixture(scope="session")
def engine(rtx: Flavour, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real engine of TensorRT-RTX."""
    model = nets.digits(tmp_path_factory.mktemp("header") / "digits.onnx", batch=1)
    with recording(rtx) as log:
        builder = log.create("Builder")
        network = builder.create_network(0)
        parser = log.create("OnnxParser", network)
        assert parser.parse_from_file(str(model))
        return bytes(builder.build_serialized_network(network, builder.create_builder_config()))


def test_a_real_rtx_engine_says_its_version_and_its_size(
    rtx: Flavour, engine: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(engine)
    assert read_plan_header(path) == PlanHeader("tensorrt_rtx", rtx.version, len(engine))


def test_a_tensorrt_engine_says_its_version(tmp_path: Path) -> None:
    """The layout that NVIDIA's sampleEngines.cpp reads for --getPlanVersionOnly."""
    path = tmp_path / "engine.plan"
    path.write_bytes(b"ftrt" + bytes(20) + bytes([10, 16, 1, 11]) + bytes(100))
    assert read_plan_header(path) == PlanHeader("tensorrt", "10.16.1.11", None)


def test_a_cut_off_rtx_engine_is_refused_with_both_sizes(engine: bytes, tmp_path: Path) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(engine[:-1])
    with pytest.raises(StageError) as caught:
        read_plan_header(path)
    assert str(caught.value) == (
        f"{path}: the engine is cut off: {len(engine) - 1} of {len(engine)} bytes are there\n"
        "  hint: build it or copy it again"
    )


def test_an_engine_cut_off_within_its_header_is_refused(engine: bytes, tmp_path: Path) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(engine[:20])
    with pytest.raises(StageError, match="it ends after 20 bytes, within its header"):
        read_plan_header(path)


def test_ultralytics_metadata_in_front_of_an_engine_is_recognised(engine: bytes) -> None:
    metadata = json.dumps({"description": "Ultralytics YOLO", "stride": 32}).encode()
    wrapped = struct.pack("<I", len(metadata)) + metadata + engine
    header = parse_plan_header(wrapped[:4096], len(wrapped), "yolo.engine")
    assert (header.wrapper, header.offset) == ("ultralytics", 4 + len(metadata))
    assert header.size == len(engine)
    with pytest.raises(StageError, match="is cut off"):
        parse_plan_header(wrapped[:4096], len(wrapped) - 1, "yolo.engine")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04rest of it", "a zip archive, such as a PyTorch file"),
        (b"<html>", "a text document"),
        (b"\x08\x0a\x12\x07pytorch", "an ONNX model, it seems, or another protobuf"),
        (struct.pack("<I", 9) + b"not json" + b"ftrt", "another file"),
        (struct.pack("<I", 9) + b"{not json" + b"ftrt", "another file"),
        (bytes(64), "another file"),
    ],
)
def test_what_is_no_engine_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(content)
    with pytest.raises(StageError) as caught:
        read_plan_header(path)
    assert caught.value.what == f"this is no TensorRT engine but {what}"
    assert caught.value.where == str(path)


def test_a_missing_engine_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="cannot be read: No such file or directory"):
        read_plan_header(tmp_path / "engine.plan")
