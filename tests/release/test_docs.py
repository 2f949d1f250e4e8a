"""What docs/release.md shows is true: the consumer's example, the commands, the workflow."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from trtbuild.cli import parser

TEXT = (Path(__file__).parents[2] / "docs/release.md").read_text()


def block(language: str) -> str:
    """The first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def example() -> dict[str, Any]:
    """The consumer's example, executed as a module."""
    names: dict[str, Any] = {}
    exec(compile(block("python"), "docs/release.md", "exec"), names)  # noqa: S102 - ours
    return names


def test_the_consumer_s_example_has_no_more_than_40_lines_and_needs_no_trtbuild() -> None:
    assert len(block("python").splitlines()) <= 40
    assert "trtbuild" not in block("python")


def test_the_consumer_s_example_finds_the_engine_and_checks_it(made: Path, tmp_path: Path) -> None:
    bundle = made / "unsigned"
    variant, plan = example()["choose"](bundle, "89")
    assert plan == (bundle / "tiny/fp32/engine.plan").read_bytes()
    assert [item["name"] for item in variant["inputs"]] == ["x"]
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["recipes"][0]["variants"][0]["targets"]["compute_capabilities"] = ["86"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "tiny/fp32").mkdir(parents=True)
    (tmp_path / "tiny/fp32/engine.plan").write_bytes(plan + b"\0")
    with pytest.raises(SystemExit, match="no engine for compute capability 89"):
        example()["choose"](tmp_path, "89")
    with pytest.raises(SystemExit, match=r"engine\.plan was changed"):
        example()["choose"](tmp_path, "86")


def test_the_commands_in_the_text_exist() -> None:
    workflow = yaml.safe_load(block("yaml"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    lines = [*block("sh").splitlines(), *(step.get("run", "") for step in steps)]
    commands = [line.partition("#")[0] for line in lines if line.startswith("trtbuild ")]
    assert len(commands) >= 8
    for line in commands:
        arguments = shlex.split(line)[1:]
        parser(asked=arguments[0]).parse_args(arguments)  # exits where it does not know one
