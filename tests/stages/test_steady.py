"""A stage runs the same whatever is set in a user's shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.discovery.watched import run
from tests.project import Project
from trtbuild.stages.steady import stage_environment

BUILD = "trtbuild.stages.build"


@pytest.mark.parametrize("module", [BUILD, "trtbuild.stages.export"])
@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize(
    "name", ["NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTHONOPTIMIZE"]
)
def test_what_changes_numbers_or_code_is_not_passed_on(
    module: str, backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    assert name not in stage_environment(module, backend)


@pytest.mark.parametrize(
    "name",
    ["NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "PYTHONPATH", "LD_LIBRARY_PATH"],
)
def test_what_says_where_things_are_is_passed_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "0")
    assert stage_environment(BUILD, "tensorrt_rtx")[name] == "0"


def test_assertions_of_the_users_code_hold_and_text_is_utf8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name, value in (("PYTHONOPTIMIZE", "2"), ("PYTHONUTF8", "0"), ("LC_ALL", "en_US")):
        monkeypatch.setenv(name, value)
    text = """
        import sys
        def make():
            if sys.flags.optimize or not sys.flags.utf8_mode:
                raise ValueError(sys.flags)
        """
    run(tmp_path / "project", text)


def test_an_option_of_the_compiler_is_in_the_key_of_an_engine(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()

    def keys(**env: str) -> dict[str, str]:
        plan = project.trtbuild("run", "tiny.yaml", "--json", "--only", "build", **env)
        return {task["id"]: task["key"] for task in plan.json["recipes"][0]["tasks"]}

    plain, tuned = keys(), keys(__LUNOWUD="-x=1")
    assert {name for name in plain if plain[name] != tuned[name]} == {"build:fp32"}
