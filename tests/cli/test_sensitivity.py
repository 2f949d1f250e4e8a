"""`trtbuild sensitivity`, and what verify says of a precision that loses too much."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from tests.project import Project

RECIPE = """\
trtbuild: 1
name: net
model: {onnx: net.onnx}
inputs:
  x: {dtype: float32, min: [1, 32], opt: [8, 32], max: [8, 32]}
precisions:
  fp32: {}
  int8:
build: {backend: tensorrt_rtx, optimization_level: 0}
calibration: {dataset: {npz: data.npz}, method: minmax}
verify:
  dataset: {npz: data.npz}
  tolerance: {int8: {snr_db: 30}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four products, the second of which has one input that dwarfs the rest."""
    project = Project(tmp_path)
    random = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for n in range(4):
        matrix = random.normal(0, 0.2, (32, 32)).astype(np.float32)
        if n == 0:
            matrix[:, 0] *= 400
        if n == 1:
            matrix[0] = 0
        weights.append(numpy_helper.from_array(matrix, f"w{n}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{n}"], [f"y{n}"], name=f"product{n}"))
        value = f"y{n}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", 32])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, str(project.folder / "net.onnx"))
    np.savez(project.folder / "data.npz", x=random.normal(size=(128, 32)).astype(np.float32))
    project.write("net.yaml", RECIPE)
    return project


def test_verify_names_the_layer_that_loses_most_and_the_line_to_try(project: Project) -> None:
    result = project.trtbuild("run", "net.yaml")
    assert result.code == 1
    assert "int8 does not pass: quantize: output 'y3' has snr_db" in result.err
    assert re.search(r"most is lost in .*product1 \(MatMul, \d", result.err)
    assert 'int8: {keep_fp32: ["product1"' in result.err
    report = next(project.folder.rglob("verify.failed.json"))
    document = json.loads(report.read_text())
    worst = document["losses"][0]
    assert (worst["node"], worst["type"]) == ("product1", "int8")
    assert [loss["snr_db"] for loss in document["losses"]] == sorted(
        loss["snr_db"] for loss in document["losses"]
    )
    assert document["keep_fp32"][0] == "product1"


def tried(text: str) -> str:
    """The line that a hint says to try."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith("try under `precisions:`"))
    return lines[at + 1].strip()


def test_the_line_to_try_holds_what_the_recipe_says_already(project: Project) -> None:
    given = "precisions:\n  int8: {base: fp16, per_channel: false, keep_fp32: [product3]}\n"
    recipe = RECIPE.replace(GIVEN, given).replace("snr_db: 30", "snr_db: 32")
    project.write("net.yaml", recipe)
    first = project.trtbuild("run", "net.yaml")
    assert first.code == 1
    line = tried(first.err)
    (options,) = yaml.safe_load(line).values()
    assert (options["base"], options["per_channel"]) == ("fp16", False)
    assert options["keep_fp32"][:2] == ["product3", "product1"]
    assert "`trtbuild sensitivity net.yaml --precision int8`" in first.err
    project.write("net.yaml", pasted(recipe, f"precisions:\n  {line}\n"))
    after = project.trtbuild("run", "net.yaml")
    assert after.code == 0, after.out + after.err


@pytest.mark.parametrize(
    ("options", "other"),
    [("int8: {exclude: [product3, product1, product0]}", "another `base` or precision"),
     ("fp16: {keep_fp32: [product3, product1, product0]}", "another precision")],
)  # fmt: skip
def test_to_keep_all_that_is_in_the_precision_is_never_suggested(
    project: Project, options: str, other: str
) -> None:
    recipe = RECIPE.replace("  int8:\n", f"  {options}\n").replace("int8: {snr", "NAME: {snr")
    name = options.partition(":")[0]
    project.write("net.yaml", recipe.replace("NAME", name).replace("snr_db: 30", "snr_db: 200"))
    result = project.trtbuild("run", "net.yaml", "--precision", name)
    assert result.code == 1
    assert "most is lost in product2 (MatMul, " in result.err
    assert f", and nothing else is in {name}: `trtbuild sensitivity` finds" in result.err
    assert result.err.count(f"else take {other}") == 1
    assert "try under" not in result.err
    report = next(project.folder.rglob("verify.failed.json"))
    assert json.loads(report.read_text())["keep_fp32"] == []


def test_the_lines_it_gives_make_verify_pass(project: Project) -> None:
    found = project.trtbuild("sensitivity", "net.yaml", "--precision", "int8", "--json")
    assert found.code == 0, found.err
    document = found.json
    assert document["complete"]
    assert document["probes"][0]["node"] == "product1"
    assert document["keeping"] == {"nodes": ["product1"], "enough": True, "settled": True}
    project.write("net.yaml", pasted(RECIPE, document["yaml"]))
    after = project.trtbuild("run", "net.yaml")
    assert after.code == 0, after.out + after.err


def pasted(recipe: str, lines: str) -> str:
    """The recipe with its `precisions:` replaced by the lines that were printed."""
    start = recipe.index("precisions:")
    return recipe[:start] + lines.rstrip() + recipe[recipe.index("\nbuild:") :]


GIVEN = "precisions:\n  fp32: {}\n  int8:\n"


@pytest.mark.parametrize(
    ("precisions", "options"),
    [
        ("precisions: [fp32, int8]\n", {}),
        (
            "precisions:\n  int8: {base: fp16, per_channel: false, keep_fp32: [product3]}\n",
            {"base": "fp16", "per_channel": False},
        ),
    ],
)
def test_the_lines_hold_what_the_recipe_says_already(
    project: Project, precisions: str, options: dict[str, object]
) -> None:
    recipe = RECIPE.replace(GIVEN, precisions)
    project.write("net.yaml", recipe)
    found = project.trtbuild("sensitivity", "net.yaml", "--precision", "int8", "--json")
    assert found.code == 0, found.out + found.err
    lines = yaml.safe_load(found.json["yaml"])["precisions"]
    kept = lines["int8"].pop("keep_fp32")
    assert lines["int8"] == options
    assert "product1" in kept
    assert ("product3" in kept) == bool(options)
    project.write("net.yaml", pasted(recipe, found.json["yaml"]))
    after = project.trtbuild("run", "net.yaml", "--precision", "int8")
    assert after.code == 0, after.out + after.err


@pytest.mark.slow
def test_an_interrupt_keeps_the_probes_that_were_made(project: Project) -> None:
    """A deep net of slow products, so that there is time to interrupt."""
    size, depth = 768, 120
    weight = np.random.default_rng(0).normal(0, size**-0.5, (size, size)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [f"y{n}", "w"], [f"y{n + 1}"], name=f"product{n}")
        for n in range(depth)
    ]
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("y0", TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info(f"y{depth}", TensorProto.FLOAT, ["n", size])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]),
        str(project.folder / "net.onnx"),
    )
    data = np.random.default_rng(1).normal(size=(128, size)).astype(np.float32)
    np.savez(project.folder / "data.npz", y0=data)
    text = RECIPE.replace("x: {dtype: float32, min: [1, 32], opt: [8, 32], max: [8, 32]}", "y0: {}")
    shapes = f"{{dtype: float32, min: [1, {size}], opt: [128, {size}], max: [128, {size}]}}"
    project.write("net.yaml", text.replace("y0: {}", f"y0: {shapes}"))
    command = ("sensitivity", "net.yaml", "--precision", "int8")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with project.started(*command, **pipes) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "sensitivity:int8" in line:
                break
        while not list(project.cache.rglob("sensitivity.json")) and process.poll() is None:
            time.sleep(0.02)  # until the stage has written the first probes
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    (file,) = (project.root / "cache/shared/sensitivity").iterdir()
    made = len(json.loads(file.read_text())["probes"])
    assert 0 < made < depth
    again = project.trtbuild(
        "sensitivity", "net.yaml", "--precision", "int8", "--json", "--seconds", "0.001"
    )
    assert again.json["reused"] == made


def test_what_was_measured_before_is_not_measured_again(project: Project) -> None:
    command = ("sensitivity", "net.yaml", "--precision", "int8", "--json")
    hasty = project.trtbuild(*command, "--seconds", "0.000001")
    assert hasty.code == 1  # nothing could be measured, and so no answer is called one
    assert not hasty.json["complete"]
    first = project.trtbuild(*command)
    assert (first.code, first.json["complete"], first.json["reused"]) == (0, True, 0)
    again = project.trtbuild(*command)
    assert again.json["reused"] == len(again.json["probes"]) == 4
    assert again.json["probes"] == first.json["probes"]
    other = project.trtbuild(*command, "--cases", "2")
    assert other.json["reused"] == 0


def test_it_prints_a_table_and_lines_to_paste(project: Project) -> None:
    result = project.trtbuild("sensitivity", "net.yaml", "--precision", "int8")
    assert "4 of 4 nodes measured, each alone in int8:" in result.out
    assert (
        "With 1 more in fp32 every case is within the tolerance (the fewest found)." in result.out
    )
    assert 'precisions:\n  fp32: {}\n  int8:\n    keep_fp32:\n      - "product1"\n' in result.out


def test_a_precision_that_the_recipe_lacks_is_measured_with_its_defaults(project: Project) -> None:
    result = project.trtbuild("sensitivity", "net.yaml", "--precision", "fp8", "--json")
    assert result.json["precision"] == "fp8"
    assert result.json["complete"]


@pytest.mark.parametrize(
    ("precision", "said"),
    [("fp32", "'fp32' changes no node"), ("int7", "'int7' is no precision")],
)
def test_what_is_no_low_precision_is_refused(project: Project, precision: str, said: str) -> None:
    result = project.trtbuild("sensitivity", "net.yaml", "--precision", precision)
    assert result.code == 2
    assert said in result.err
    assert "give one of fp16, bf16, int8, fp8, int4" in result.err


def test_int8_without_calibration_is_told(project: Project) -> None:
    text = RECIPE.replace("  int8:\n", "").replace("  tolerance: {int8: {snr_db: 30}}\n", "")
    project.write(
        "net.yaml",
        "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith("calibration")
        ),
    )
    result = project.trtbuild("sensitivity", "net.yaml", "--precision", "int8")
    assert result.code == 2
    assert "int8 needs data to calibrate on" in result.err


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("option", ["exclude", "keep_fp32"])
def test_a_pattern_that_matches_nothing_is_named_at_its_line(
    project: Project, option: str, precision: str
) -> None:
    project.replace("net.yaml", "  int8:\n", f"  {precision}: {{{option}: [nope]}}\n")
    if precision == "int4":
        project.replace("net.yaml", "{int8: {snr_db: 30}}", "{}")
    result = project.trtbuild("sensitivity", "net.yaml", "--precision", precision)
    assert result.code == 1, result.out + result.err
    place = f"net.yaml:8:10 precisions.{precision}.{option}: 'nope' matches no node"
    assert place in result.err
