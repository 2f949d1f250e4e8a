"""The user's modules run from source, installed ones from byte code as ever."""

from __future__ import annotations

import os
import py_compile
from pathlib import Path

import pytest

from tests.discovery.watched import run


@pytest.mark.parametrize("outside", [False, True])
def test_stale_byte_code_of_the_users_is_not_run(
    tmp_path: Path, outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("elsewhere" if outside else "project")
    path = os.pathsep.join((str(tmp_path / "elsewhere"), str(Path(__file__).parents[2])))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    folder.mkdir()
    helper = folder / "helper.py"
    helper.write_text("GAIN = 1\n")
    status = helper.stat()
    compiled = Path(py_compile.compile(str(helper), doraise=True) or "")
    code = compiled.read_bytes()
    helper.write_text("GAIN = 2\n")
    os.utime(helper, ns=(status.st_atime_ns, status.st_mtime_ns))
    run(tmp_path / "project", "import helper\ndef make():\n    assert helper.GAIN == 2\n")
    assert compiled.read_bytes() == code


def test_installed_modules_keep_their_byte_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "installed.py").write_text("")
    path = os.pathsep.join((str(library), str(Path(__file__).parents[2])))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    run(tmp_path / "project", "import installed\ndef make(): pass\n")
    assert (library / "__pycache__").exists()
