"""Commands, scripts and logs of trtexec become recipes."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.project import Project
from trtbuild.cli import parser
from trtbuild.cli.bench_options import given_keys
from trtbuild.errors import UsageError
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.trtexec.convert import convert
from trtbuild.recipe.trtexec.read import call_of
from trtbuild.recipe.trtexec.write import recipe_text
from trtbuild.recipe.yaml import parse


def test_a_script_that_is_not_there_is_named(project: Project) -> None:
    for name in ("bench.sh", "logs/run.log"):
        result = project.trtbuild("import-trtexec", name)
        assert (result.code, result.out) == (2, "")
        assert f"{name}: there is no such file" in result.err


@pytest.mark.parametrize(
    ("file", "name"),
    [("ünï.onnx", "uni"), ("模型.onnx", "model"), ("a b (1).onnx", "a-b-1"), ("-x.onnx", "x")],
)
def test_a_recipe_is_named_like_its_model(file: str, name: str) -> None:
    call = call_of(["trtexec", f"--onnx={file}"])
    assert f"\nname: {name}\n" in recipe_text(call, convert(call, None))


def test_a_name_that_is_none_is_said_of_the_name(project: Project) -> None:
    project.tiny()
    result = project.trtbuild("import-trtexec", "--name", "bad name", "--", "--onnx=tiny.onnx")
    assert result.code == 2
    assert "'bad name' cannot be the name of a recipe" in result.err
    assert "trtexec refuses" not in result.err


def test_a_command_that_cannot_be_read_hides_no_other_one(project: Project) -> None:
    loop = "for B in 1 8; do trtexec --onnx=tiny.onnx --shapes=x:${B}x4; done\n"
    project.write("bench.sh", loop + "trtexec --onnx=tiny.onnx --shapes=x:${N:-2}x4\n")
    assert "shape: [2, 4]" in project.trtbuild("import-trtexec", "bench.sh", "--nth", "2").out
    first = project.trtbuild("import-trtexec", "bench.sh")
    assert first.code == 2
    assert "--shapes=x:${B}x4: its variable has no value here" in first.err


def test_a_value_that_is_no_part_of_its_option_is_told_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"'m\.onnx' stands alone") as caught:
        call_of(["trtexec", "--onnx", "m.onnx"])
    assert caught.value.hint == "if it is the value of --onnx: --onnx=m.onnx"


SHAPES = {
    "--optShapes=x:4x4": {"dtype": "float32", "shape": [4, 4]},
    "--shapes=x:2x4": {"dtype": "float32", "shape": [2, 4]},
    "--minShapes=x:1x4 --optShapes=x:4x4 --maxShapes=x:8x4": {
        "dtype": "float32",
        "min": [1, 4],
        "opt": [4, 4],
        "max": [8, 4],
    },
    "--minShapes=*:1x4 --maxShapes=x:8x4": {
        "dtype": "float32",
        "min": [1, 4],
        "opt": [8, 4],
        "max": [8, 4],
    },
}


def imported(project: Project, *words: str) -> tuple[dict[str, Any], str]:
    """The data of the recipe that a command becomes, and its text; it must be valid."""
    result = project.trtbuild("import-trtexec", "-o", "made.yaml", *words)
    assert (result.code, result.err) == (0, "")
    text = (project.folder / "made.yaml").read_text()
    (project.folder / "made.yaml").unlink()
    (project.folder / "copy.yaml").write_text(text)
    load_recipes([project.folder / "copy.yaml"])
    data = parse(text.encode()).data
    assert data is not None
    return data, text


@pytest.mark.parametrize("words", [words for words in SHAPES if "*" not in words])
def test_shapes_are_completed_as_trtexec_completes_them(project: Project, words: str) -> None:
    data, _ = imported(project, "--", "--onnx=tiny.onnx", *words.split())
    assert data["inputs"] == {"x": SHAPES[words]}


def test_a_dynamic_input_without_shapes_is_told(project: Project) -> None:
    data, text = imported(project, "--", "--onnx=tiny.onnx")
    assert data["inputs"] == {"x": {"dtype": "float32", "shape": [1, 4]}}
    assert "trtexec takes 1 for each" in text


def test_several_profiles_and_formats_become_the_keys_of_the_build(project: Project) -> None:
    data, _ = imported(
        project,
        "--",
        "--onnx=tiny.onnx",
        *(
            "--profile=0",
            "--minShapes=x:1x4",
            "--maxShapes=x:2x4",
            "--profile=1",
            "--optShapes=x:8x4",
        ),
        "--minShapes=x:1x4",
        "--maxShapes=x:8x4",
        "--inputIOFormats=fp32:chw32+chw",
    )
    assert data["inputs"]["x"]["max"] == [8, 4]
    assert len(data["build"]["profiles"]) == 2
    assert data["build"]["io_formats"] == {"x": ["chw32", "linear"]}


def test_what_is_obsolete_is_said_with_what_replaces_it(project: Project) -> None:
    words = "--onnx=tiny.onnx --optShapes=x:1x4 --fp16 --workspace=64 --calib=c.bin --batch=4"
    data, text = imported(project, f"trtexec {words} --minTiming=2 --saveEngine=m.plan --uff=m.uff")
    flat = " ".join(text.replace("#", " ").split())
    assert data["precisions"] == ["fp16"]
    assert data["build"] == {
        "backend": "tensorrt",
        "workspace": "64MiB",
        "avg_timing_iterations": 8,
    }
    for told in (
        "--workspace=64: obsolete: build.workspace has a unit",
        "--fp16: obsolete: precisions: [fp16] puts it into the graph",
        "--calib=c.bin: obsolete: calibration by TensorRT is gone since 11.0",
        "--batch=4: obsolete: implicit batch is gone since TensorRT 10.0",
        "--minTiming=2: obsolete: gone since TensorRT 10.0: build.avg_timing_iterations is left",
        "--saveEngine=m.plan: the engine is build/tiny/PRECISION/engine.plan",
        "--uff=m.uff: obsolete: UFF and Caffe models are gone",
    ):
        assert told in flat


def test_int8_without_data_is_calibrated_on_noise_and_that_is_said(project: Project) -> None:
    data, text = imported(project, "--", "--onnx=tiny.onnx", "--optShapes=x:4x4", "--best")
    assert data["precisions"] == {"fp32": {}, "fp16": {}, "int8": {"base": "fp16"}, "best": {}}
    assert data["calibration"] == {"random": {"seed": 0}}
    assert "calibration on noise is good for measuring the speed" in text


def test_a_recipe_for_rtx_leaves_out_what_it_never_has(project: Project) -> None:
    words = "--onnx=tiny.onnx --optShapes=x:1x4 --computeCapabilities=86 --useDLACore=0"
    data, text = imported(project, "--", *words.split())
    assert data["build"] == {"backend": "tensorrt_rtx", "compute_capabilities": [86]}
    assert "build.dla.core: 0 is left out: TensorRT-RTX has no DLA" in text
    assert "\n# tensorrt_rtx --onnx=tiny.onnx" in text


def test_an_imported_recipe_runs(project: Project) -> None:
    words = "--onnx=tiny.onnx --optShapes=x:2x4 --computeCapabilities=86 --noTF32 --skipInference"
    result = project.trtbuild(
        "import-trtexec", "-o", "made.yaml", "--name", "m", "--", *words.split()
    )
    assert result.code == 0
    assert project.trtbuild("run", "made.yaml").code == 0
    assert (project.folder / "build/m/fp32/engine.plan").stat().st_size > 1000
    again = project.trtbuild("import-trtexec", "-o", "made.yaml", "--", *words.split())
    assert again.code == 2
    assert "this file is there already" in again.err


def test_a_command_without_a_model_is_refused(project: Project) -> None:
    result = project.trtbuild("import-trtexec", "--", "--fp16")
    assert result.code == 2
    assert "no option names a model" in result.err
    assert "hint: add --onnx=FILE" in result.err


def test_an_engine_is_measured_without_a_recipe(project: Project) -> None:
    words = (
        "--loadEngine=m.plan --shapes=x:2x4 --warmUp=50 --duration=0.5 --useCudaGraph --device=0 "
        "--percentile=50,99.9 --exportTimes=t.json --loadInputs=x:x.bin --noDataTransfers --threads"
    )
    result = project.trtbuild("import-trtexec", "--", *words.split())
    assert result.code == 2
    command = result.err.strip().partition("to measure it: trtbuild ")[2]
    (project.folder / "x.bin").write_bytes(bytes(32))
    options = parser("bench").parse_args(shlex.split(command))
    given = given_keys(options)
    assert (options.shapes, options.device) == (["x:2x4"], 0)
    assert options.input == ["x=x.bin"]
    assert (given["warmup"], given["duration"], given["percentiles"]) == (
        "50ms",
        "0.5s",
        [50, 99.9],
    )
    assert (given["cuda_graph"], given["transfers"], given["spin_wait"]) == (True, False, False)
    assert given["export"] == ["times"]
    words = "--loadEngine=m.plan --getPlanVersionOnly"
    told = project.trtbuild("import-trtexec", "--", *words.split()).err
    assert "`trtbuild inspect m.plan`" in told


def test_a_script_of_several_commands_lets_one_choose(project: Project) -> None:
    script = (
        "trtexec --onnx=a.onnx\ntensorrt_rtx --onnx=other.onnx --computeCapabilities=86 > log\n"
    )
    project.write("bench.sh", script)
    result = project.trtbuild("import-trtexec", "bench.sh", "--nth", "2")
    assert "compute_capabilities: [86]" in result.out
    assert "command 2 of 2" in result.err
    assert project.trtbuild("import-trtexec", "bench.sh", "--nth", "3").code == 2


def test_a_long_command_is_no_name_of_a_file(project: Project) -> None:
    command = f"trtexec --onnx=tiny.onnx --optShapes=x:1x4 --saveEngine={'e' * 300}.plan"
    assert project.trtbuild("import-trtexec", command).code == 0


def test_a_path_is_named_as_a_recipe_names_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    words = [r"--onnx=C:\models\net.onnx", "--staticPlugins=~/a.so", "--optShapes=x:1x4"]
    (project.folder / "sub").mkdir()
    words += [r"--loadInputs=x:D:\x.bin"]
    assert project.trtbuild("import-trtexec", "-o", "sub/made.yaml", "--", *words).code == 0
    data = parse((project.folder / "sub/made.yaml").read_bytes()).data
    assert data is not None
    assert data["model"] == {"onnx": "C:/models/net.onnx"}
    assert data["build"]["plugins"] == {"static": ["/home/ada/a.so"]}
    assert data["benchmark"]["inputs"] == {"files": {"x": "D:/x.bin"}}
