"""The reference artifact: what is written is read, and its bytes depend on its content only."""

from __future__ import annotations

import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from trtbuild.errors import StageError
from trtbuild.model.cases import Case, CaseReader, CaseWriter


def write(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "reference.json"
    with CaseWriter(path) as writer:
        for kind in ("opt", "data"):
            inputs = {"x": np.arange(6, dtype=np.float32).reshape(2, 3).T, "flag": np.array(True)}
            outputs = {"y": np.arange(3).astype(ml_dtypes.bfloat16), "empty": np.zeros((0, 2))}
            extras = {"label": np.array([1, 2])} if kind == "data" else {}
            writer.add(kind, Case(inputs, outputs, extras))
        writer.finish("onnx", {"kind": "npz", "note": "some"})
    return path


def test_cases_are_read_as_they_were_written(tmp_path: Path) -> None:
    reader = CaseReader(write(tmp_path))
    assert [reader.kind(index) for index in range(len(reader))] == ["opt", "data"]
    case = reader[1]
    np.testing.assert_array_equal(case.inputs["x"], np.arange(6).reshape(2, 3).T)
    assert case.inputs["flag"].shape == ()
    assert case.outputs["y"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(case.outputs["y"].astype(np.float32), [0, 1, 2])
    assert case.outputs["empty"].shape == (0, 2)
    np.testing.assert_array_equal(case.extras["label"], [1, 2])
    assert reader.output_names() == ("y", "empty")
    assert reader.names(0) == {"x", "flag"}
    assert reader.names(1) == {"x", "flag", "label"}
    assert reader.counted() == (1,)
    reader.close()


def test_the_bytes_do_not_depend_on_time_or_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "a")
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    second = write(tmp_path / "b")
    for suffix in (".json", ".npz"):
        assert first.with_suffix(suffix).read_bytes() == second.with_suffix(suffix).read_bytes()


@pytest.mark.parametrize("damage", ["reference.json", "reference.npz"])
def test_a_damaged_artifact_is_refused(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path)
    (tmp_path / damage).write_bytes((tmp_path / damage).read_bytes()[:40])
    with pytest.raises(StageError, match="cannot be read") as error:
        CaseReader(path)
    assert error.value.where == str(path)
    assert "--rebuild reference" in error.value.hint
