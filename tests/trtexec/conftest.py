from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    found = Project(tmp_path).tiny()
    for name in ("a.so", "old.cache", "x.bin", "net.onnx"):
        found.write(name, "")
    (found.folder / "net.onnx").write_bytes((found.folder / "tiny.onnx").read_bytes())
    monkeypatch.chdir(found.folder)
    return found
