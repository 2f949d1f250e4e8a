"""Files that native code opens, and what is read by other processes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch

from tests.discovery.watched import read, run
from tests.project import write_tiny_model

HERE = "import pathlib\nHERE = pathlib.Path(__file__).parent\n"


@pytest.fixture(autouse=True)
def _tests_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def write(folder: Path) -> None:
    """A file of every kind."""
    folder.mkdir()
    safetensors.numpy.save_file({"a": np.ones(2, np.float32)}, folder / "w.safetensors")
    linear = torch.nn.Linear(2, 2)
    torch.jit.trace(linear, torch.ones(1, 2)).save(str(folder / "script.pt"))
    torch.save(linear.state_dict(), folder / "w.pth")
    torch.export.save(torch.export.export(linear, (torch.ones(1, 2),)), folder / "program.pt2")
    write_tiny_model(folder / "tiny.onnx")
    onnx.save(
        onnx.load(folder / "tiny.onnx"),
        str(folder / "large.onnx"),
        save_as_external_data=True,
        location="large.data",
        size_threshold=0,
    )
    sqlite3.connect(folder / "w.db").close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("loads", "files"),
    [
        ("import safetensors.torch as s; s.load_file(HERE / 'w.safetensors')", {"w.safetensors"}),
        ("import safetensors.numpy as s; s.load_file(HERE / 'w.safetensors')", {"w.safetensors"}),
        (
            "from safetensors import safe_open\n"
            "    with safe_open(str(HERE / 'w.safetensors'), framework='np') as f:\n"
            "        assert isinstance(f, safe_open)\n"
            "        assert f.get_tensor('a').sum() == 2",
            {"w.safetensors"},
        ),
        ("import torch; torch.jit.load(HERE / 'script.pt')", {"script.pt"}),
        ("import torch; torch.load(HERE / 'w.pth', mmap=True)", {"w.pth"}),
        ("import torch; torch.export.load(HERE / 'program.pt2')", {"program.pt2"}),
        (
            "import onnxruntime as o; o.InferenceSession(str(HERE / 'large.onnx'))",
            {"large.onnx", "large.data"},
        ),
        (
            "import onnxruntime as o; o.InferenceSession(path_or_bytes=HERE / 'tiny.onnx')",
            {"tiny.onnx"},
        ),
        ("import onnx; onnx.load(HERE / 'large.onnx')", {"large.onnx", "large.data"}),
        ("import sqlite3; sqlite3.connect(HERE / 'w.db').close()", {"w.db"}),
        ("import sqlite3; sqlite3.connect(f'file:{HERE}/w.db?mode=ro', uri=True)", {"w.db"}),
        ("import numpy; numpy.fromfile(HERE / 'w.db')", {"w.db"}),
    ],
)
def test_a_file_that_native_code_opens(tmp_path: Path, loads: str, files: set[str]) -> None:
    write(tmp_path / "project")
    found = read(tmp_path / "project", f"{HERE}def make():\n    {loads}\n")
    written = {path.name for path in (tmp_path / "project").iterdir()}
    assert found & written == files


def test_nothing_is_imported_to_be_watched(tmp_path: Path) -> None:
    text = """
        import sys
        def make():
            heavy = {"torch", "onnxruntime", "safetensors", "onnx", "numpy"}
            assert not heavy & sys.modules.keys()
        """
    run(tmp_path / "project", text)


@pytest.mark.parametrize(
    "runs",
    [
        "subprocess.run(['true'])",
        "subprocess.check_output('true', shell=True)",
        "os.system('true')",
    ],
)
def test_another_process_is_warned_of_once(tmp_path: Path, runs: str) -> None:
    execution = run(
        tmp_path / "project",
        f"import os, subprocess\ndef make():\n    for _ in range(2):\n        {runs}\n",
    )
    (warning,) = execution.warnings
    assert warning.startswith("factory.py:4 runs ")
    assert "model.torch.files" in warning


def test_a_process_of_workers_is_warned_of(tmp_path: Path) -> None:
    text = """
        import torch
        def make():
            list(torch.utils.data.DataLoader([1, 2], num_workers=1))
        """
    (warning,) = run(tmp_path / "project", text).warnings
    assert "num_workers=0" in warning


def test_a_library_that_runs_a_program_is_not(tmp_path: Path) -> None:
    text = "import platform\ndef make():\n    platform.processor()\n"
    assert run(tmp_path / "project", text).warnings == ()
