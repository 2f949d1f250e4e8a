"""Environment variables that the user's code reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.discovery.watched import read, run
from trtbuild.discovery.names import UNSET, variable_state


@pytest.fixture(autouse=True)
def _tests_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("GAIN", "5")


@pytest.mark.parametrize(
    "asks",
    [
        "os.environ['GAIN']",
        "os.environ.get('GAIN', '1')",
        "os.getenv('GAIN')",
        "'GAIN' in os.environ",
        "os.environ.setdefault('GAIN', '1')",
        "os.environ.pop('GAIN', None)",
        "os.environb.get(b'GAIN')",
        "os.path.expandvars('$GAIN')",
        "[os.environ[name] for name in os.environ if name == 'GAIN']",
    ],
)
def test_a_variable_is_noted_by_name(tmp_path: Path, asks: str) -> None:
    found = read(tmp_path / "project", f"import os\ndef make():\n    {asks}\n")
    assert found == {"env:GAIN"}


def test_one_that_is_not_set_is_noted_too(tmp_path: Path) -> None:
    text = "import os\ndef make():\n    assert os.environ.get('NO_SUCH') is None\n"
    assert read(tmp_path / "project", text) == {"env:NO_SUCH"}


def test_what_python_libraries_and_trtbuild_ask_for_is_not_noted(tmp_path: Path) -> None:
    text = """
        import os, pathlib, shutil, tempfile
        def make():
            os.environ["MINE"] = "1"
            os.environ["MINE"]
            os.environ["PYTHONHASHSEED"], os.environ["CUDA_VISIBLE_DEVICES"]
            os.path.expanduser("~"), pathlib.Path.home()
            shutil.which("python"), tempfile.gettempdir()
            import numpy, torch
        """
    execution = run(tmp_path / "project", text, {"CUDA_VISIBLE_DEVICES": "GPU-1"})
    assert not [name for name in execution.discovered if name.startswith("env:")]


@pytest.mark.parametrize(
    "copies",
    [
        "dict(os.environ)",
        "os.environ.copy()",
        "{**os.environ}",
        "list(os.environ.items())",
        "{name: value for name, value in os.environ.items()}",
    ],
)
def test_taking_all_of_them_is_warned_of(tmp_path: Path, copies: str) -> None:
    execution = run(tmp_path / "project", f"import os\ndef make():\n    assert {copies}\n" * 2)
    assert execution.discovered == ("factory.py",)
    (warning,) = execution.warnings
    assert warning.startswith("factory.py:6 takes all environment variables, which are no inputs")


def test_torch_traces_code_that_reads_one(tmp_path: Path) -> None:
    text = """
        import os, torch
        def scaled(x):
            return x * float(os.environ.get("GAIN", "1")) if "FOO" not in os.environ else x
        def make():
            x = torch.ones(2)
            assert torch.compile(scaled, fullgraph=True, backend="eager")(x)[0] == 5
            scaled(x)
        """
    assert {"env:GAIN", "env:FOO"} <= read(tmp_path / "project", text)


def test_a_state_tells_no_value_and_no_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("OTHER", "secret")
    state = variable_state("TOKEN")
    assert "secret" not in state
    assert len(state) == len(variable_state("PATH"))
    assert state != variable_state("OTHER"), "two variables with one value do not look alike"
    monkeypatch.setenv("TOKEN", "")
    assert variable_state("TOKEN") not in (state, UNSET)
    monkeypatch.delenv("TOKEN")
    assert variable_state("TOKEN") == UNSET
