"""`precisions: best`: the candidates are built, and the best that passes is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.project import Project, Result
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.graph.choose import Candidate, Choice
from trtbuild.graph.session import Session
from trtbuild.recipe.load import load_recipes

RECIPE = """\
trtbuild: 1
name: net
model: {onnx: net.onnx}
inputs:
  x: {dtype: float32, min: [1, 256], opt: [8, 256], max: [8, 256]}
precisions: best
build: {backend: tensorrt_rtx, optimization_level: 0}
calibration: {dataset: {npz: data.npz}, method: minmax}
verify:
  dataset: {npz: data.npz}
  tolerance: {int8: {snr_db: 20}, fp16: {snr_db: 40}, fp8: {snr_db: 10}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A net whose weights are most of its engine, so that fewer bits are fewer bytes."""
    project = Project(tmp_path)
    random = np.random.default_rng(0)
    matrix = random.normal(0, 0.1, (256, 1024)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("MatMul", ["r", "v"], ["y"], name="second"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(matrix, "w"), numpy_helper.from_array(matrix.T.copy(), "v")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, str(project.folder / "net.onnx"))
    np.savez(project.folder / "data.npz", x=random.normal(size=(128, 256)).astype(np.float32))
    project.write("net.yaml", RECIPE)
    return project


def best(result: Result) -> dict[str, Any]:
    """What was chosen, of the first recipe."""
    found: dict[str, Any] = result.json["recipes"][0]["best"]
    return found


def test_without_a_gpu_the_smallest_that_passes_is_kept_and_said(project: Project) -> None:
    result = project.trtbuild("run", "net.yaml", "--json")
    assert result.code == 0, result.out + result.err
    found = best(result)
    sizes = {c["variant"]: c["size_bytes"] for c in found["candidates"] if c["passed"]}
    assert set(sizes) == {"fp32", "fp16", "int8", "fp8"}
    assert found["variant"] == min(sizes, key=lambda name: sizes[name])
    assert found["by"] == "size"
    assert "the smallest of 4 that pass" in found["text"]
    folder = project.folder / "build/net"
    chosen = (folder / found["variant"] / "engine.plan").read_bytes()
    assert (folder / "best/engine.plan").read_bytes() == chosen
    assert json.loads((folder / "best/best.json").read_text()) == found


def test_a_candidate_that_does_not_pass_is_not_chosen_and_fails_nothing(project: Project) -> None:
    first = project.trtbuild("run", "net.yaml", "--json")
    smallest = best(first)["variant"]
    assert smallest != "fp32"
    project.write("net.yaml", RECIPE.replace(f"{smallest}: {{snr_db: ", f"{smallest}: {{snr_db: 3"))
    second = project.trtbuild("run", "net.yaml", "--json")
    assert second.code == 0, second.out + second.err
    assert best(second)["variant"] not in (smallest, "fp32")
    lost = next(c for c in best(second)["candidates"] if c["variant"] == smallest)
    assert not lost["passed"]
    assert "snr_db" in lost["why"]
    executed = {name for name, verdict in second.verdicts().items() if verdict == "EXECUTED"}
    assert executed == {f"verify:{smallest}"}  # another tolerance builds nothing
    third = project.trtbuild("run", "net.yaml", "--json")
    assert set(third.verdicts().values()) == {"UP_TO_DATE"}  # a failed candidate is a result
    assert best(third) == best(second)


def test_a_candidate_that_is_asked_for_alone_must_pass(project: Project) -> None:
    project.write("net.yaml", RECIPE.replace("int8: {snr_db: 20}", "int8: {snr_db: 400}"))
    for again in range(2):  # also where all is up to date
        alone = project.trtbuild("run", "net.yaml", "--precision", "int8")
        assert alone.code == 1, again
        assert "net: int8 does not pass: " in alone.err
        assert "snr_db" in alone.err
    assert project.trtbuild("run", "net.yaml", "--precision", "fp16").code == 0
    both = project.trtbuild("run", "net.yaml", "--precision", "best", "--json")
    assert both.code == 0, both.err
    assert best(both)["variant"] in ("fp16", "fp8")
    compared = project.trtbuild("compare", "net.yaml:best", "net.yaml:fp32", "--json")
    assert compared.json["accuracy"], compared.err
    kept = project.folder / "build/net/best/engine.plan"
    assert project.trtbuild("compare", kept, "net.yaml:fp32", "--json").json["accuracy"]
    which = project.trtbuild("compare", "net.yaml", "net.yaml:fp32")
    assert which.code == 2
    assert "net.yaml is a recipe: which of its variants?" in which.err


def test_results_that_are_removed_before_the_choice_are_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, cache = project.folder / "net.yaml", project.cache
    assert project.trtbuild("run", "net.yaml").code == 0
    settle = Session._all_up_to_date

    def removed(session: Session) -> bool:
        found = settle(session)
        (project.folder / "build/net/fp16/verify.json").unlink()
        return found

    monkeypatch.setattr(Session, "_all_up_to_date", removed)
    assert main(["run", str(recipe), "--cache", str(cache)]) is ExitCode.FAILED
    error = capsys.readouterr().err
    assert "verify.json: cannot be read any more" in error
    assert "hint: leave the output folder alone while a run goes on" in error


def test_where_none_passes_the_run_fails_and_the_earlier_choice_is_gone(project: Project) -> None:
    text = RECIPE.replace("precisions: best", "precisions: [best, fp16, int8]")
    text = text.replace(", fp8: {snr_db: 10}", "")
    project.write("net.yaml", text)
    assert project.trtbuild("run", "net.yaml").code == 0
    assert (project.folder / "build/net/best/engine.plan").exists()
    project.write("net.yaml", text.replace("snr_db: 20", "snr_db: 400").replace("40}", "400}"))
    result = project.trtbuild("run", "net.yaml")
    assert result.code == 1
    assert "net: none of the 2 candidates passes" in result.out
    assert not (project.folder / "build/net/best/engine.plan").exists()


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        ("fp16: {keep_fp32: [zzz]}", "keep_fp32: 'zzz' matches no node"),
        ("int8: {exclude: [zzz]}", "exclude: 'zzz' matches no node"),
        ("int8: {op_types: [Conv]}", "op_types: the model has no Conv"),
        ("int8: {exclude: [MatMul]}", "no node is left to quantize to int8"),
        ("int4: {exclude: [MatMul], method: rtn}", "is left to quantize to int4"),
    ],
)
def test_a_mistake_in_a_candidates_options_fails_the_run_whatever_passes(
    project: Project, candidate: str, said: str
) -> None:
    project.write("net.yaml", given(f"{{best: , fp32: {{}}, {candidate}}}"))
    for _ in range(2):  # a second run has nothing else to do
        result = project.trtbuild("run", "net.yaml", "--json")
        assert best(result)["variant"] == "fp32"
        failed = [name for name, verdict in result.verdicts().items() if verdict == "FAILED"]
        assert failed == [f"quantize:{candidate.partition(':')[0]}"]
        assert said in result.out + result.err
        assert result.code == 1


def test_a_candidate_that_the_model_is_not_made_for_fails_nothing(project: Project) -> None:
    project.write("net.yaml", given("{best: , fp32: {}, int4: {block_size: 48, method: rtn}}"))
    result = project.trtbuild("run", "net.yaml", "--json")
    assert result.verdicts()["quantize:int4"] == "FAILED"
    assert "input channels that 48 does not divide" in result.out
    assert (best(result)["variant"], result.code) == ("fp32", 0)


def given(precisions: str) -> str:
    """The recipe with other candidates, and no tolerance that names those that are gone."""
    text = RECIPE.replace("precisions: best", f"precisions: {precisions}")
    return text[: text.index("  tolerance:")]


def test_candidates_are_those_beside_best(project: Project) -> None:
    text = RECIPE.replace("precisions: best", "precisions: [best, fp32, fp16]")
    text = text.replace("int8: {snr_db: 20}, ", "").replace(", fp8: {snr_db: 10}", "")
    project.write("net.yaml", text)
    (recipe,) = load_recipes([project.folder / "net.yaml"])
    assert (list(recipe.precisions), recipe.best) == (["fp32", "fp16"], True)


def test_one_precision_alone_is_no_choice(project: Project) -> None:
    result = project.trtbuild("run", "net.yaml", "--precision", "fp32", "--json")
    assert result.code == 0, result.err
    assert result.json["recipes"][0]["best"] is None


def test_a_wrong_word_for_best_is_told(project: Project) -> None:
    project.write("net.yaml", RECIPE.replace("precisions: best", "precisions: fastest"))
    result = project.trtbuild("validate", "net.yaml")
    assert result.code == 2
    assert "net.yaml:6:1 precisions: expected a list of precisions" in result.err + result.out
    project.write(
        "net.yaml", RECIPE.replace("precisions: best", "precisions: {best: {base: fp16}}")
    )
    result = project.trtbuild("validate", "net.yaml")
    assert "best has no options" in result.err + result.out


def test_the_text_says_what_it_was_chosen_by() -> None:
    timed = Candidate("fp16", passed=True, why="", size_bytes=9, latency_ms=0.5)
    choice = Choice("fp16", "latency", (timed,))
    assert choice.text == "fp16, the fastest of 1 that pass"
