"""`trtbuild inspect`: what a file is, and what made it, with what is known of it anywhere."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

from tests.project import RECIPE, Project, write_tiny_model
from tests.trt import nets

ENGINE = "build/tiny/fp32/engine.plan"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("inspect")).tiny()
    assert project.run("--only", "build").code == 0
    return project


def test_an_engine_is_known_by_its_header_and_its_content(built: Project) -> None:
    found = built.trtbuild("inspect", ENGINE, "--json").json
    content = (built.folder / ENGINE).read_bytes()
    assert found["kind"] == "engine"
    assert found["backend"] == "tensorrt_rtx"
    assert found["version"].count(".") == 3
    assert found["size_bytes"] == found["stated_size"] == len(content)
    assert found["sha256"] == hashlib.sha256(content).hexdigest() == found["plan_sha256"]
    assert (found["offset"], found["wrapper"]) == (0, None)
    assert found["build"]["precision"] == "fp32"
    if "error" in found["gpu"]:
        assert found["gpu"]["error"].startswith("not looked into: no CUDA device")


def test_the_recipe_and_the_inputs_that_made_an_engine_are_found(built: Project) -> None:
    made = built.trtbuild("inspect", ENGINE, "--json").json["made_by"]
    model = (built.folder / "build/tiny/surgery/model.onnx").read_bytes()
    assert made["recipe"] == "tiny"
    assert made["output"] == "engine.plan"
    assert made["action"]["stage"] == "build"
    assert hashlib.sha256(model).hexdigest() in made["action"]["inputs"]["model/model.onnx"]


def test_a_copy_elsewhere_is_found_in_the_cache_by_content(built: Project, tmp_path: Path) -> None:
    copy = tmp_path / "renamed.engine"
    copy.write_bytes((built.folder / ENGINE).read_bytes())
    found = built.trtbuild("inspect", copy, "--json").json
    assert found["made_by"]["action"]["stage"] == "build"
    assert found["made_by"]["recipe"] is None
    assert found["build"] is None
    other = built.trtbuild("inspect", copy, "--json", "--cache", tmp_path / "none").json
    assert other["made_by"] is None


def test_an_engine_in_another_tools_wrapping_is_recognised(built: Project, tmp_path: Path) -> None:
    metadata = json.dumps({"task": "detect", "stride": 32}).encode()
    plan = (built.folder / ENGINE).read_bytes()
    wrapped = tmp_path / "yolo.engine"
    wrapped.write_bytes(struct.pack("<I", len(metadata)) + metadata + plan)
    found = built.trtbuild("inspect", wrapped, "--json").json
    assert found["wrapper"] == "ultralytics"
    assert found["offset"] == 4 + len(metadata)
    assert found["made_by"]["action"]["stage"] == "build"  # by the plan in it
    text = built.trtbuild("inspect", wrapped).out
    assert "wrapped by ultralytics" in text
    assert "TensorRT's own runtime does not skip them" in text


@pytest.mark.parametrize(
    "version", [(8, 6, 1, 6), (10, 3, 0, 26), (10, 16, 1, 11), (11, 4, 0, 106)]
)
def test_an_engine_of_tensorrt_proper_is_known_without_it(
    built: Project, tmp_path: Path, version: tuple[int, ...]
) -> None:
    plan = tmp_path / "old.plan"
    plan.write_bytes(b"ftrt" + bytes(20) + bytes(version) + bytes(100))
    found = built.trtbuild("inspect", plan, "--json").json
    assert (found["backend"], found["version"]) == ("tensorrt", ".".join(map(str, version)))
    assert found["made_by"] is None
    assert "unknown to this cache" in built.trtbuild("inspect", plan).out


def test_an_onnx_file_is_described_and_the_parser_asked(built: Project, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny.onnx")
    found = built.trtbuild("inspect", tmp_path / "tiny.onnx", "--json").json
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "dims": ["n", 4], "dynamic": True}]
    assert found["operators"] == {"MatMul": 1, "Add": 1, "Relu": 1}
    assert found["opsets"] == {"": 20}
    assert found["weights"] == {"count": 2, "bytes": 60}
    assert found["parser"]["accepted"] is True
    text = built.trtbuild("inspect", tmp_path / "tiny.onnx").out
    assert "input     x float32 [n, 4]" in text
    assert "takes it" in text


def test_what_the_parser_refuses_is_told_with_the_reason(built: Project, tmp_path: Path) -> None:
    parser = built.trtbuild("inspect", nets.refused(tmp_path / "a.onnx"), "--json").json["parser"]
    assert parser["accepted"] is False
    assert any("Foo (2 nodes: 'first', 'second')" in line for line in parser["refusals"])
    assert "surgery" in parser["hint"]
    text = built.trtbuild("inspect", tmp_path / "a.onnx").out
    assert "Foo (2 nodes: 'first', 'second'): the operator is not supported" in text


def test_a_backend_that_is_not_installed_is_told(built: Project, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny.onnx")
    arguments = ("inspect", tmp_path / "tiny.onnx", "--backend", "tensorrt", "--json")
    assert "TensorRT is not installed" in built.trtbuild(*arguments).json["parser"]["error"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.plan", b"hello, world, this is no engine", "this is no TensorRT engine but another"),
        ("a.pt", b"PK\x03\x04" + bytes(100), "a zip archive"),
        ("a.cache", b"ptrt" + bytes(100), "a timing cache of TensorRT, or an engine of a version"),
        ("b.cache", b"TRT-8601-EntropyCalibration2\n", "a calibration cache of TensorRT"),
        ("a.onnx", b"<html>", "a text document"),
        ("a.plan", b"vtrt" + bytes(10), "the engine is cut off"),
    ],
)
def test_another_file_is_refused_with_what_it_is(
    built: Project, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    result = built.trtbuild("inspect", tmp_path / name)
    assert result.code == 1
    assert told in result.err


def test_a_file_that_is_not_there_is_refused(built: Project) -> None:
    assert built.trtbuild("inspect", "nothing.plan").code == 2


def test_each_profile_of_an_engine_is_told_without_a_gpu(tmp_path: Path) -> None:
    sizes = ((1, 1), (2, 8))
    ranges = [f"{{x: {{min: [{n}, 4], opt: [{n}, 4], max: [{m}, 4]}}}}" for n, m in sizes]
    level = "optimization_level: 0"
    recipe = RECIPE.replace(level, f"{level}, profiles: [{', '.join(ranges)}]")
    project = Project(tmp_path).tiny(recipe)
    done = project.run("--only", "build")
    assert done.code == 0, done.err
    told = project.trtbuild("inspect", ENGINE).out
    assert "input     x float32\n" in told
    assert "profile 0 x [1, 4] [1, 4] [1, 4]" in told
    assert "profile 1 x [2, 4] [2, 4] [8, 4]" in told


@pytest.mark.parametrize("lost", ["precision", "layers", "inputs", "outputs", "min"])
def test_a_record_beside_an_engine_that_lacks_something_is_passed_over(
    built: Project, tmp_path: Path, lost: str
) -> None:
    for name in ("engine.plan", "build.json"):
        (tmp_path / name).write_bytes((built.folder / ENGINE).with_name(name).read_bytes())
    record = json.loads((tmp_path / "build.json").read_text())
    (record["inputs"][0] if lost == "min" else record).pop(lost)
    (tmp_path / "build.json").write_text(json.dumps(record))
    result = built.trtbuild("inspect", tmp_path / "engine.plan")
    assert result.code == 0, result.err
    assert "layers before the build" not in result.out
