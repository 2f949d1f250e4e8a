"""Calibration through whole runs, and what is said of what does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.precision.nets import images, make, residual, weights
from tests.project import Project, Result

pytest.importorskip("tensorrt_rtx", reason="the recipes build with TensorRT-RTX")

RECIPE = """\
trtbuild: 1
name: net
model: {onnx: net.onnx}
inputs:
  x: {dtype: float32, min: [1, 16, 8, 8], opt: [8, 16, 8, 8], max: [16, 16, 8, 8], range: [0, 1]}
precisions: PRECISIONS
build: {backend: tensorrt_rtx, optimization_level: 0}
calibration: CALIBRATION
"""

GENERATOR = """\
import numpy as np

def samples(count):
    random = np.random.default_rng(1)
    for _ in range(count):
        yield {"x": random.random((16, 8, 8), np.float32)}
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A residual net, 128 samples of data for it, and a cache that is reused."""
    project = Project(tmp_path_factory.mktemp("calibration"))
    folder = project.folder
    onnx.save(residual(), str(folder / "net.onnx"))
    random = np.random.default_rng(0)
    values = random.random((128, 16, 8, 8), np.float32)
    np.savez(folder / "data.npz", x=values)
    project.write("data.py", GENERATOR)
    return project


def run(project: Project, calibration: str, precisions: str = "[int8]") -> Result:
    text = RECIPE.replace("PRECISIONS", precisions).replace("CALIBRATION", calibration)
    project.write("net.yaml", text)
    return project.trtbuild("run", "net.yaml")


def table(project: Project) -> dict[str, Any]:
    path = project.folder / "build/net/calibrate/calibration.json"
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.parametrize(
    ("calibration", "source", "samples"),
    [
        ("{dataset: {npz: data.npz}}", "npz", 128),
        ('{dataset: {python: "data.py:samples", options: {count: 110}}}', "python", 110),
        ("{random: {seed: 0}}", "random", 128),
        ("{random: {seed: 0}, samples: 200, method: minmax}", "random", 200),
    ],
)
def test_what_the_recipe_calibrates_on_becomes_an_int8_engine(
    prepared: Project, calibration: str, source: str, samples: int
) -> None:
    result = run(prepared, calibration)
    assert result.code == 0, result.out + result.err
    found = table(prepared)
    assert (found["source"], found["samples"]) == (source, samples)
    assert found["tensors"].keys() == {"x", "r1", "s", "f"}
    assert found["tensors"]["x"]["amax"] == pytest.approx(1.0, abs=0.01)
    assert ("ranges are those of noise" in result.out) == (source == "random")
    assert (prepared.folder / "build/net/int8/engine.plan").stat().st_size > 10_000


def test_excluding_nodes_or_another_base_does_not_calibrate_again(prepared: Project) -> None:
    calibration = "{dataset: {npz: data.npz}, method: minmax}"
    assert run(prepared, calibration).code == 0
    for precisions in ("{int8: {exclude: [conv2]}}", "{int8: {base: fp16}}", "[fp8]"):
        text = RECIPE.replace("PRECISIONS", precisions).replace("CALIBRATION", calibration)
        prepared.write("net.yaml", text)
        result = prepared.trtbuild("run", "net.yaml", "--json")
        assert result.code == 0, result.err
        assert result.verdicts()["calibrate"] == "UP_TO_DATE"


def test_a_cache_of_tensorrt_is_taken_and_foreign_names_are_told(prepared: Project) -> None:
    head = "TRT-8601-EntropyCalibration2\n"
    prepared.write("old.cache", f"{head}x: 3c010204\nr1: 3d010204\nfoo: 3c010204\n")
    result = run(prepared, "{table: old.cache}")
    assert result.code == 0, result.out + result.err
    assert "1 names of the calibration table are not in the graph: 'foo'" in result.out
    assert "2 tensors that could be quantized are not in the calibration table" in result.out
    assert table(prepared)["tensors"] == {
        "x": {"amax": pytest.approx(1.0)},
        "r1": {"amax": pytest.approx(4.0)},
    }


@pytest.mark.parametrize("precision", ["int8: {}", "int4: {block_size: 16}"])
@pytest.mark.parametrize(
    "dataset",
    [
        "npz: named.npz",
        "npy: samples, input: x, fill: {z: 0}",
        '"python": "named.py:samples", options: {count: 32}',
        "random: {seed: 0}",
    ],
)
def test_data_has_the_names_of_the_recipe_where_surgery_renames_inputs(
    prepared: Project, tmp_path: Path, precision: str, dataset: str
) -> None:
    copy = prepared.copy_to(tmp_path)
    random = np.random.default_rng(0)
    data = {name: random.random((32, 16), np.float32) for name in ("x", "z")}
    onnx.save(swapped(), str(copy.folder / "net.onnx"))
    np.savez(copy.folder / "named.npz", **data)
    (copy.folder / "samples").mkdir()
    for index in range(32):
        np.save(copy.folder / f"samples/{index}.npy", data["x"][index])
    both = GENERATOR.replace('{"x": ', '{"z": np.zeros(16, np.float32), "x": ')
    copy.write("named.py", both.replace("(16, 8, 8)", "16"))
    fixed = "shape: [1, 16]" if "fill" in dataset else "min: [1, 16], opt: [8, 16], max: [16, 16]"
    copy.write(
        "net.yaml",
        f"""\
trtbuild: 1
name: net
model: {{onnx: net.onnx}}
inputs:
  x: {{dtype: float32, min: [1, 16], opt: [8, 16], max: [16, 16], range: [0, 1]}}
  z: {{dtype: float32, {fixed}, range: [0, 1]}}
surgery:
  - {{op: rename, tensors: {{x: y, y: out}}}}
precisions: {{{precision}}}
build: {{backend: tensorrt_rtx, optimization_level: 0}}
calibration: {{dataset: {{{dataset}}}, samples: 32}}
verify: {{dataset: {{{dataset}}}, samples: 8}}
""",
    )
    result = copy.trtbuild("run", "net.yaml")
    assert result.code == 0, result.out + result.err


def swapped() -> onnx.ModelProto:
    """Two inputs that are added, and a product; x is to take the name of the output, y."""
    return make(
        [
            helper.make_node("Add", ["x", "z"], ["s"], "add"),
            helper.make_node("MatMul", ["s", "w"], ["y"], "matmul"),
        ],
        {"x": ["n", 16], "z": ["m", 16]},
        ["y"],
        {"w": weights(16, 16)},
    )


def image(folder: Path) -> None:
    (folder / "bad").mkdir()
    (folder / "bad/a.png").write_bytes(b"")


def nan(folder: Path) -> None:
    (folder / "bad").mkdir()
    for name, value in (("a", 0.0), ("b", np.nan)):
        np.save(folder / f"bad/{name}.npy", np.full((16, 8, 8), value, np.float32))


def saved(**arrays: Any) -> Callable[[Path], None]:
    return lambda folder: np.savez(folder / "bad.npz", **arrays)


def cache(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "bad.cache").write_text(text)  # type: ignore[func-returns-value]


NPZ = "{dataset: {npz: bad.npz}}"

BAD: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "name": (
        saved(y=images()["x"]),
        NPZ,
        ("net.yaml:8:1 calibration", "bad.npz: the dataset has no 'x'", "its arrays are y"),
    ),
    "shape": (
        saved(x=np.zeros((8, 16, 8, 9), np.float32)),
        NPZ,
        ("bad.npz, samples 0 to 7: input 'x' has the shape [8, 16, 8, 9]: axis 3 is 9",),
    ),
    "type": (
        saved(x=np.zeros((8, 16, 8, 8), np.int64)),
        NPZ,
        ("input 'x' is float32, but the data is int64", "hint: store the data as float32"),
    ),
    "infinity": (
        saved(x=np.full((8, 16, 8, 8), np.inf, np.float32)),
        NPZ,
        ("input 'x' holds inf, at [0, 0, 0, 0]", "hint: clean the data"),
    ),
    "NaN": (nan, "{dataset: {npy: bad}}", ("bad/b.npy: input 'x' holds nan, at [0, 0, 0, 0]",)),
    "empty image": (
        image,
        "{dataset: {images: bad}}",
        ("bad/a.png: the image cannot be read", "hint: the file is empty, cut off or no image"),
    ),
    "too few samples": (
        saved(x=np.zeros((8, 16, 8, 8), np.float32)),
        "{dataset: {npz: bad.npz}, samples: 64}",
        ("calibration.samples: 64 samples are asked for, but the dataset gives 8", "ask for fewer"),
    ),
    "another model's table": (
        cache("TRT-8601-EntropyCalibration2\nimage: 3c008912\n"),
        "{table: bad.cache}",
        ("the calibration table is of another model", "'x', 'r1', 's', 'f'"),
    ),
    "no table": (
        cache("hello\n"),
        "{table: bad.cache}",
        ("bad.cache: this is no calibration cache of TensorRT", "its first line begins with TRT-"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_calibration_that_does_not_fit_fails_with_place_and_remedy(
    prepared: Project, tmp_path: Path, case: str
) -> None:
    prepare, calibration, texts = BAD[case]
    copy = prepared.copy_to(tmp_path)
    prepare(copy.folder)
    assert_said(run(copy, calibration), 1, "calibrate failed", "net.yaml:8:1 calibration", *texts)


def assert_said(result: Result, code: int, *texts: str) -> None:
    said = result.out + result.err
    assert result.code == code, said
    assert "Traceback" not in said
    for text in texts:
        assert text in said


@pytest.mark.parametrize(
    ("precisions", "texts"),
    [
        (
            '{fp16: {keep_fp32: ["conv9*"]}}',
            ("keep_fp32: 'conv9*' matches no node", "did you mean"),
        ),
        ("{int8: {keep_fp32: [nope]}}", ("keep_fp32: 'nope' matches no node", "operators are")),
        ("{int4: {keep_fp32: [nope]}}", ("keep_fp32: 'nope' matches no node", "operators are")),
        ("{int8: {exclude: [Softmax]}}", ("exclude: 'Softmax' matches no node", "operators are")),
        ("{int8: {op_types: [MaxPool]}}", ("op_types: the model has no MaxPool", "are Add")),
        ("{int4: {}}", ("input channels that 128 does not divide", "change block_size")),
    ],
)
def test_a_precision_that_fits_no_node_fails_at_its_key(
    prepared: Project, precisions: str, texts: tuple[str, ...]
) -> None:
    result = run(prepared, "{dataset: {npz: data.npz}, method: minmax}", precisions)
    assert_said(result, 1, "quantize:", "net.yaml:6:14 precisions.", *texts)


def test_a_variant_with_nothing_in_its_precision_fails_with_the_shares(prepared: Project) -> None:
    result = run(prepared, "{dataset: {npz: data.npz}}", '{fp16: {keep_fp32: ["*"]}}')
    texts = ("fp16 does not pass: none of the tensors", " in fp32", "for `recipe` keep fewer nodes")
    assert_said(result, 1, *texts)


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_a_precision_that_a_target_lacks_is_known_before_anything_is_built(
    prepared: Project, command: str
) -> None:
    text = RECIPE.replace("PRECISIONS", "[fp8, bf16]").replace("CALIBRATION", "{random: {}}")
    build = "optimization_level: 0, compute_capabilities: [75, 86]"
    prepared.write("old.yaml", text.replace("optimization_level: 0", build))
    assert_said(
        prepared.trtbuild(command, "old.yaml"),
        2,
        "old.yaml:6:1 precisions.fp8: fp8 needs compute capability 8.9 with tensorrt_rtx, but the "
        "engine is to run on 8.6",
        "precisions.bf16: bf16 needs compute capability 8.0 with tensorrt_rtx, but the engine is "
        "to run on 7.5",
        "hint: leave this precision out, or that GPU out of build.compute_capabilities",
        "3 problems found",
    )


@pytest.mark.parametrize("precision", ["int8", "fp8", "int4"])
def test_without_data_nothing_is_calibrated_on_noise(prepared: Project, precision: str) -> None:
    text = RECIPE.replace("PRECISIONS", f"[{precision}]").replace("calibration: CALIBRATION\n", "")
    prepared.write("none.yaml", text)
    assert_said(
        prepared.trtbuild("run", "none.yaml"),
        2,
        f"none.yaml:6:1 precisions: {precision} needs data to calibrate on, and the recipe has no "
        "`calibration`",
        "to try it out on noise, calibration: {random: {seed: 0}}",
    )
