"""`trtbuild compare`: what it takes of two engines, results or variants, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.benchmark.documents import point, result
from tests.cli.plans import plan_file
from tests.project import Project, write_tiny_model
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.store.digest import digest_of_file


def test_two_engines_are_compared_with_what_lies_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = []
    for number, compute in enumerate((1.0, 2.0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        engines.append(plan_file(folder / "engine.plan", fill=number))
        document = result(point(compute=compute))
        document["engine"]["digest"] = digest_of_file(engines[-1]).text
        (folder / "benchmark.json").write_text(json.dumps(document))
        types = {"float32": 4 - number, "float16": number}
        (folder / "build.json").write_text(json.dumps({"tensor_types": types}))
    assert main(["compare", *map(str, engines), "--json"]) is ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["points"][0]["metrics"]["gpu_compute"]["median"]["ratio"] == pytest.approx(2)
    assert found["precision"]["float16"]["second"] == 25
    assert found["accuracy"] is None
    assert main(["compare", *map(str, engines)]) is ExitCode.DONE
    printed = capsys.readouterr().out
    assert "gpu_compute median ms" in printed
    assert "+100.00 %" in printed
    assert "not compared, for want of a result that both have: layers, accuracy" in printed


def test_the_result_of_another_engine_is_not_taken_for_this_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = plan_file(tmp_path / "engine.plan")
    engine.with_name("benchmark.json").write_text(json.dumps(result()))
    assert main(["compare", str(engine), str(engine), "--json"]) is ExitCode.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["points"] is None
    left_out = "benchmark.json is not about this engine, and left out: run it again"
    assert found["caveats"] == [f"{engine}: {left_out}"]


def test_the_accuracy_of_an_earlier_engine_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    assert project.run().code == 0
    old = shutil.copytree(project.folder / "build/tiny/fp32", tmp_path / "old") / "engine.plan"
    alike = project.trtbuild("compare", old, "tiny.yaml:fp32", "--json")
    assert alike.json["accuracy"], alike.err
    assert alike.json["caveats"] == []

    write_tiny_model(project.folder / "tiny.onnx", seed=5)
    assert project.run("--only", "build").code == 0
    # A run takes results of an earlier engine away; whoever moves files by hand may not.
    shutil.copy(old.with_name("verify.json"), project.folder / "build/tiny/fp32")
    found = project.trtbuild("compare", old, "tiny.yaml:fp32", "--json")
    assert found.json["accuracy"] is None, found.err
    assert found.json["caveats"] == [
        "tiny.yaml:fp32: verify.json is not about this engine, and left out: run it again"
    ]
    printed = project.trtbuild("compare", old, "tiny.yaml:fp32").out
    assert "warning: tiny.yaml:fp32: verify.json is not about this engine" in printed

    assert project.run().code == 0
    again = project.trtbuild("compare", old, "tiny.yaml:fp32", "--json")
    assert again.json["accuracy"]
    assert again.json["caveats"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is no JSON document"),
        ("[]", "this is no benchmark's result"),
        (json.dumps(result(format=2)), "this result has format 2, this trtbuild reads 1"),
        (json.dumps(result(points=[{}])), "this is no benchmark's result: points.0: "),
    ],
)
def test_what_is_no_result_is_refused(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text(text)
    assert main(["compare", str(tmp_path / "r.json"), str(tmp_path / "r.json")]) is ExitCode.FAILED
    assert message in capsys.readouterr().err


def test_what_is_neither_file_nor_variant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path).tiny()
    monkeypatch.chdir(project.folder)
    for first, code, text in (
        ("nothing", 2, "nothing is neither a file nor RECIPE:VARIANT"),
        ("tiny.yaml:fp8", 2, "tiny.yaml has no precision fp8"),
        ("tiny.yaml:fp32", 1, "tiny.yaml:fp32 is not built yet"),
    ):
        assert main(["compare", first, first]) == code
        assert text in capsys.readouterr().err
