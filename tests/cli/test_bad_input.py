"""Bad input gives one clear message, the right exit code, no traceback, and loses nothing."""

from __future__ import annotations

import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project import RECIPE, Project, Result


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has been run; tests copy it."""
    project = Project(tmp_path_factory.mktemp("built")).tiny()
    result = project.run()
    assert result.code == 0, result.err + result.out
    return project


@pytest.fixture
def copy(built: Project, tmp_path: Path) -> Project:
    """A project with an earlier engine to lose."""
    return built.copy_to(tmp_path)


def engine(project: Project) -> bytes:
    return (project.folder / "build/tiny/fp32/engine.plan").read_bytes()


def assert_clear(result: Result, code: int, *texts: str) -> None:
    """The exit code, the texts, and nothing that a user should not have to see."""
    everything = result.out + result.err
    assert result.code == code, everything
    assert "Traceback" not in everything
    for text in texts:
        assert text in everything, everything


def run(project: Project) -> Result:
    return project.trtbuild("run", "tiny.yaml")


def test_a_truncated_model_is_refused_and_the_earlier_engine_stays(copy: Project) -> None:
    before = engine(copy)
    model = copy.folder / "tiny.onnx"
    model.write_bytes(model.read_bytes()[:100])
    assert_clear(run(copy), 1, "export failed", "tiny.onnx")
    assert engine(copy) == before


def test_an_input_that_the_model_lacks_is_named(copy: Project) -> None:
    copy.replace("tiny.yaml", "  x: {", "  xs: {")
    assert_clear(run(copy), 1, "inputs.xs: the model has no such input", "did you mean 'x'?")


def test_an_empty_dataset_is_named(copy: Project) -> None:
    import numpy as np

    np.savez(copy.folder / "data.npz", x=np.zeros((0, 4), np.float32))
    assert_clear(run(copy), 1, "reference failed")


def test_a_dataset_of_the_wrong_shape_is_named(copy: Project) -> None:
    import numpy as np

    np.savez(copy.folder / "data.npz", x=np.zeros((4, 5), np.float32))
    assert_clear(run(copy), 1, "reference failed", "x")


def test_a_hook_that_returns_nothing_is_named_with_its_place(copy: Project) -> None:
    copy.write("hooks.py", "def tidy(graph):\n    graph.cleanup()\n")
    copy.replace("tiny.yaml", "  - op: fold_constants", '  - hook: "hooks.py:tidy"')
    assert_clear(run(copy), 1, "surgery failed", "hooks.py")


def test_a_hook_that_raises_is_named_with_its_line(copy: Project) -> None:
    copy.write("hooks.py", "def tidy(graph):\n    return graph.tensors()['nope']\n")
    copy.replace("tiny.yaml", "  - op: fold_constants", '  - hook: "hooks.py:tidy"')
    assert_clear(run(copy), 1, "hooks.py:2", "nope")


def test_a_tolerance_that_is_not_met_fails_with_the_step_and_the_value(copy: Project) -> None:
    copy.write(
        "hooks.py",
        "def half(graph):\n    graph.nodes[0].inputs[1].values *= 0.5\n    return graph\n",
    )
    copy.replace("tiny.yaml", "  - op: fold_constants", '  - hook: "hooks.py:half"')
    assert_clear(run(copy), 1, "verify:fp32 failed", "surgery", "cosine")
    assert (copy.folder / "build/tiny/fp32/verify.failed.json").exists()


def test_all_problems_of_a_recipe_come_at_once_with_their_places(copy: Project) -> None:
    text = RECIPE.replace("opt: [2, 4]", "opt: [20, 4]").replace("precisions", "precison")
    copy.write("tiny.yaml", text)
    result = run(copy)
    assert_clear(result, 2, "tiny.yaml:5:", "is larger than max", "Did you mean 'precisions'?")
    assert "problems found" in result.err


def test_a_missing_recipe_is_usage(project: Project) -> None:
    assert_clear(project.trtbuild("run", "nothing.yaml"), 2, "nothing.yaml", "no such file")


def test_an_unknown_precision_and_stage_are_usage(copy: Project) -> None:
    assert_clear(copy.trtbuild("run", "tiny.yaml", "--precision", "fp61"), 2, "fp61", "fp32")
    assert_clear(copy.trtbuild("run", "tiny.yaml", "--only", "biuld"), 2, "biuld")
    assert_clear(copy.trtbuild("explain", "tiny.yaml", "build:fp61"), 2, "build:fp32")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("run", "tiny.yaml", "-j", "0"), "'0' is not a whole number of 1 or more"),
        (("run", "tiny.yaml", "-j", "two"), "'two' is not a whole number of 1 or more"),
        (("rebuild", "--check", "tiny.yaml", "--rounds", "1001"), "'1001' is more than 1000"),
        (
            ("sensitivity", "tiny.yaml", "--precision", "fp16", "--seconds", "nan"),
            "'nan' is not a number of seconds above 0",
        ),
    ],
)
def test_a_number_that_is_none_is_usage(
    copy: Project, arguments: tuple[str, ...], text: str
) -> None:
    assert_clear(copy.trtbuild(*arguments), 2, text)


def test_an_output_folder_that_is_a_file_is_named(copy: Project) -> None:
    (copy.folder / "taken").write_text("")
    result = copy.trtbuild("run", "tiny.yaml", "--out", "taken")
    assert_clear(result, 1, "taken", "move it away")


def test_a_cache_that_is_a_file_is_named(copy: Project) -> None:
    (copy.root / "file").write_text("")
    result = copy.trtbuild("run", "tiny.yaml", "--out", "elsewhere", "--cache", copy.root / "file")
    assert_clear(result, 1, str(copy.root / "file"))


def test_an_unwritable_output_folder_is_named(copy: Project) -> None:
    # Not even root may make a folder there.
    result = copy.trtbuild("run", "tiny.yaml", "--out", "/sys/kernel/out")
    assert_clear(result, 1, "/sys/kernel/out", "make the folder writable")


def test_a_full_disk_while_storing_loses_nothing(copy: Project) -> None:
    """A limit on the size of files stands for a full disk: the kernel refuses the same write."""
    before = engine(copy)
    copy.replace("tiny.yaml", "optimization_level: 0", "optimization_level: 1")
    limit = 64 * 1024  # below the engine's size, above every other file's

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = subprocess.run(
        copy.command("run", "tiny.yaml"),
        cwd=copy.folder,
        capture_output=True,
        text=True,
        preexec_fn=limit_files,
    )
    result = Result(process.returncode, process.stdout, process.stderr)
    assert_clear(result, 1, "build:fp32 failed")
    assert engine(copy) == before
    after = copy.run()
    assert after.code == 0, after.err
    assert after.verdicts()["build:fp32"] == "EXECUTED"


def test_a_requirement_that_cannot_be_met_fails_instead_of_being_skipped(copy: Project) -> None:
    recipe = RECIPE + "benchmark: {warmup: 200ms, duration: 1s}\n"
    copy.write("tiny.yaml", recipe)
    skipped = copy.run()
    if skipped.verdicts()["benchmark:fp32"] != "SKIPPED":
        pytest.skip("this machine has a CUDA device")
    assert skipped.code == 0
    assert skipped.task("benchmark:fp32")["reasons"][0]["text"] == "no CUDA device"
    required = copy.trtbuild("run", "tiny.yaml", "--require", "benchmark")
    assert_clear(required, 1, "benchmark:fp32 failed", "no CUDA device")


def test_a_verification_without_its_engine_says_so_and_is_not_what_is_required(
    copy: Project,
) -> None:
    done = copy.run()
    (variant,) = done.json["recipes"][0]["variants"]
    if variant["engine_ran"]:
        pytest.skip("this machine has a CUDA device")
    assert (done.code, variant["engine_ran"]) == (0, False)
    assert variant["verified"] == "passed (engine not run: no CUDA device)"
    required = copy.trtbuild("run", "tiny.yaml", "--require", "verify")
    assert_clear(required, 1, "verify:fp32 failed", "the engine cannot be run here: no CUDA device")
    shutil.rmtree(copy.folder / "build")
    told = copy.trtbuild("run", "tiny.yaml")
    assert "passed (engine not run: no CUDA device)" in told.out


def test_a_required_stage_that_the_recipe_does_not_have_is_named(copy: Project) -> None:
    for option in ("--only", "--require"):
        result = copy.trtbuild("run", "tiny.yaml", option, "benchmark")
        assert_clear(result, 2, "tiny.yaml has no stage benchmark", "it has export, surgery")


def test_gates_of_a_benchmark_that_was_skipped_are_unclear_and_fail_nothing(copy: Project) -> None:
    copy.write("tiny.yaml", RECIPE + "benchmark: {gates: {p99: 5ms, regression: 5%}}\n")
    skipped = copy.run("--junit", "gates.xml")
    if skipped.verdicts()["benchmark:fp32"] != "SKIPPED":
        pytest.skip("this machine has a CUDA device")
    assert skipped.code == 0
    gates = skipped.json["recipes"][0]["gates"]
    assert [gate["outcome"] for gate in gates] == ["unclear", "unclear"]
    assert gates[0]["message"] == "the benchmark was skipped: no CUDA device"
    assert 'tests="2" failures="0" skipped="2"' in (copy.folder / "gates.xml").read_text()
    told = copy.trtbuild("run", "tiny.yaml")
    assert "1 skipped (no CUDA device)" in told.out
    assert "gate" not in told.out
    required = copy.trtbuild("run", "tiny.yaml", "--require", "benchmark", "--junit", "gates.xml")
    assert_clear(required, 1, "benchmark:fp32 failed", "no CUDA device")
    assert 'tests="2" failures="2" skipped="0"' in (copy.folder / "gates.xml").read_text()


@pytest.mark.parametrize("text", ["[]", "7", "[" * 100_000])
def test_a_damaged_record_of_a_task_is_none(copy: Project, text: str) -> None:
    (copy.folder / "build/tiny/.trtbuild/export.json").write_text(text)
    assert_clear(copy.trtbuild("explain", "tiny.yaml", "export"), 0, "no action is recorded")
    assert copy.run().verdicts()["export"] == "UP_TO_DATE"


def test_a_cache_below_a_relative_path_is_as_good(copy: Project) -> None:
    done = copy.trtbuild("run", "tiny.yaml", "--json", "--cache", "../another/cache")
    assert done.code == 0, done.out
    assert done.verdicts()["build:fp32"] == "EXECUTED"
