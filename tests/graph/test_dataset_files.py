"""Datasets that are folders, from the recipe to the verdicts: every file is an input."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.project import Project

Image = pytest.importorskip("PIL.Image", reason="Pillow reads and writes the images")

RECIPE = """\
trtbuild: 1
name: {kind}
model: {{onnx: model.onnx}}
inputs:
  x: {{dtype: float32, min: {low}, opt: {opt}, max: {high}}}
precisions: [int8]
build: {{backend: tensorrt_rtx, optimization_level: 0}}
calibration:
  dataset: {{{kind}: data/samples, {options}}}
  method: minmax
verify:
  dataset: {{{kind}: data/samples, order: shuffle, {options}}}
"""


def model(path: Path, shape: list[int]) -> None:
    """A graph that multiplies the last axis by a matrix, which int8 can quantize."""
    width = shape[-1]
    weights = np.random.default_rng(0).normal(size=(width, width)).astype(np.float32)
    dims = ["n", *shape]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), str(path))


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def recording(path: Path, seed: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        values = np.random.default_rng(seed).integers(-30000, 30000, 64, np.int16)
        file.writeframes(values.tobytes())


def array(path: Path, seed: int) -> None:
    np.save(path, np.random.default_rng(seed).normal(size=16).astype(np.float32))


KINDS = {
    "images": ("png", picture, [3, 8, 8], "crop: [8, 8], std: [0.5, 0.5, 0.5]"),
    "audio": ("wav", recording, [16], "frame: 16, rate: 16000"),
    "npy": ("npy", array, [16], "seed: 0"),
}


def project_of(kind: str, root: Path) -> Project:
    suffix, write, shape, options = KINDS[kind]
    project = Project(root)
    samples = project.folder / "data/samples/more"
    samples.mkdir(parents=True)
    for seed in range(6):
        write(
            samples.parent / ("" if seed < 5 or kind == "npy" else "more") / f"{seed}.{suffix}",
            seed,
        )
    model(project.folder / "model.onnx", shape)
    text = RECIPE.format(
        kind=kind, low=[1, *shape], opt=[2, *shape], high=[8, *shape], options=options
    )
    if kind == "npy":
        text = text.replace(", seed: 0}\n  method", "}\n  method")
    project.write("recipe.yaml", text)
    return project


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_samples_calibrates_and_verifies_and_each_file_is_an_input(
    kind: str, tmp_path: Path
) -> None:
    suffix, write, _, _ = KINDS[kind]
    project = project_of(kind, tmp_path)
    first = project.trtbuild("run", "recipe.yaml", "--json")
    assert first.code == 0, first.out + first.err
    assert first.verdicts()["calibrate"] == "EXECUTED"
    assert set(project.trtbuild("run", "recipe.yaml", "--json").verdicts().values()) == {
        "UP_TO_DATE"
    }

    samples = project.folder / "data/samples"
    project.write("data/samples/README", "no sample")
    project.write(f"data/samples/.hidden.{suffix}", "no sample")
    assert set(project.trtbuild("run", "recipe.yaml", "--json").verdicts().values()) == {
        "UP_TO_DATE"
    }
    data = ("calibrate", "reference")
    edits = {
        "changed": lambda: write(samples / f"0.{suffix}", 77),
        "added": lambda: write(samples / f"9.{suffix}", 9),
        "renamed": lambda: (samples / f"1.{suffix}").rename(samples / f"8.{suffix}"),
        "removed": (samples / f"2.{suffix}").unlink,
    }
    for name, edit in edits.items():
        edit()
        after = project.trtbuild("run", "recipe.yaml", "--json")
        assert after.code == 0, after.out + after.err
        assert {after.verdicts()[task] for task in data} == {"EXECUTED"}, name
        assert after.verdicts()["export"] == "UP_TO_DATE", name


def test_preprocessing_is_part_of_the_key(tmp_path: Path) -> None:
    project = project_of("images", tmp_path)
    assert project.trtbuild("run", "recipe.yaml", "--json").code == 0
    text = (project.folder / "recipe.yaml").read_text()
    project.write("recipe.yaml", text.replace("crop: [8, 8]", "crop: [8, 8], colour: bgr", 1))
    after = project.trtbuild("run", "recipe.yaml", "--json")
    assert after.verdicts()["calibrate"] == "EXECUTED"
    assert after.verdicts()["reference"] == "UP_TO_DATE"
    assert "colour" in after.task("calibrate")["reasons"][0]["text"]


def test_a_damaged_image_is_named_and_the_earlier_results_stay(tmp_path: Path) -> None:
    project = project_of("images", tmp_path)
    assert project.trtbuild("run", "recipe.yaml").code == 0
    engine = next(project.folder.rglob("engine.plan"))
    before = engine.read_bytes()
    damaged = project.folder / "data/samples/3.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    after = project.trtbuild("run", "recipe.yaml")
    assert after.code == 1
    assert "the image cannot be read" in after.out + after.err
    assert "3.png" in after.out + after.err
    assert "Traceback" not in after.out + after.err
    assert engine.read_bytes() == before


def test_fewer_samples_than_asked_for_are_told(tmp_path: Path) -> None:
    project = project_of("audio", tmp_path)
    text = (project.folder / "recipe.yaml").read_text()
    project.write("recipe.yaml", text.replace("method: minmax", "samples: 1000\n  method: minmax"))
    result = project.trtbuild("run", "recipe.yaml", "--json")
    assert result.code == 1
    error = result.task("calibrate")["error"]
    assert "1000" in error
    assert "24" in error
