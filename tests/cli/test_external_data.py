"""Models whose weights lie in a file beside them: what is said where that is missing or a link."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.project import Project


@pytest.fixture
def data(project: Project) -> Path:
    """The data file of the tiny project's model."""
    project.tiny()
    path = project.folder / "tiny.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="tiny.data", size_threshold=0)
    return project.folder / "tiny.data"


def test_validate_says_what_a_run_would(project: Project, data: Path, tmp_path: Path) -> None:
    assert project.trtbuild("validate", "tiny.yaml").code == 0
    target = data.rename(tmp_path / "elsewhere.data")
    missing = project.trtbuild("validate", "tiny.yaml")
    assert missing.code == 2
    assert "tiny.yaml:3:9 model.onnx: the model's data is missing: there is no tiny.data" in (
        missing.err
    )
    data.symlink_to(target)  # as DVC and git-annex do
    linked = project.trtbuild("validate", "tiny.yaml", "--json")
    assert linked.code == linked.json["exit_code"] == 2
    assert "outside the model's folder" in linked.json["errors"][0]
    assert "must be a copy" in linked.json["errors"][0]


def test_inspect_says_that_data_is_missing(project: Project, data: Path) -> None:
    size = data.stat().st_size
    whole = project.trtbuild("inspect", "tiny.onnx")
    assert (whole.code, f"tiny.data: {size} bytes" in whole.out) == (0, True)
    data.unlink()
    lacking = project.trtbuild("inspect", "tiny.onnx")
    assert lacking.code == 1
    assert "tiny.data: MISSING: it belongs beside the model" in lacking.out
    assert project.trtbuild("inspect", "tiny.onnx", "--json").json["exit_code"] == 1
