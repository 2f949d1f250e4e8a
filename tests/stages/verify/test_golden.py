"""Digests in verify.json, of the engine and of golden outputs: the same for the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.model.nets import WEIGHT, mlp, save
from tests.stages.running import document_of, run_reference, run_verify, verify_context
from trtbuild.errors import StageError
from trtbuild.model.cases import CaseReader
from trtbuild.model.runner import open_model
from trtbuild.stages import verify
from trtbuild.store.digest import digest_of_bytes
from trtbuild.verify.digests import digest_of_array


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The reference of the small network on random values, and files as by the roles of verify."""
    path = save(mlp(), tmp_path / "exported.onnx")
    run_reference(tmp_path, {"onnx": path, "exported": path})
    engine = tmp_path / "engine.plan"
    engine.write_bytes(b"a plan")
    info = tmp_path / "build.json"
    info.write_text(json.dumps({"inputs": [{"name": "x"}], "tensor_types": {"float32": 3}}))
    return {"exported": path, "engine": engine, "info": info}


def source_digests(folder: Path) -> list[dict[str, str]]:
    return [
        {name: digest_of_array(values) for name, values in case.outputs.items()}
        for case in CaseReader(folder / "reference/reference.json")
    ]


def test_each_output_of_the_source_model_has_its_digest(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    document = run_verify(tmp_path, files)
    assert document["engine_digest"] == digest_of_bytes(b"a plan").text
    golden = document["golden"]
    assert [case["source"] for case in golden] == source_digests(tmp_path)
    assert {tuple(case["source"]) for case in golden} == {("logits",)}
    assert {"min", "opt", "max"} <= {case["kind"] for case in golden}
    assert all(case["engine"] is None for case in golden)  # no GPU was asked for
    assert run_verify(tmp_path, files) == document


def test_a_variant_that_fails_has_them_too(tmp_path: Path, files: dict[str, Path]) -> None:
    wrong = save(mlp(WEIGHT * np.float32(2)), tmp_path / "wrong.onnx")
    made = verify_context(tmp_path, {**files, "exported": wrong})
    with pytest.raises(StageError, match="does not pass"):
        verify.run(made)
    document = document_of(made)
    assert document["engine_digest"]
    assert [case["source"] for case in document["golden"]] == source_digests(tmp_path)


def test_what_the_engine_gives_has_digests_beside_them(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is a stand-in that gives the source's values, but for the last bit of one."""

    def run_engine(_: Path, __: str, cases: Iterator[Any], **___: Any) -> Iterator[Any]:
        runner = open_model(files["exported"])
        for number, values in enumerate(cases):
            outputs = dict(runner.run(values))
            if number == 1:
                outputs["logits"] = np.nextafter(outputs["logits"], np.float32(9))
            yield outputs

    monkeypatch.setattr("trtbuild.trt.runtime.run_engine", run_engine)
    document = run_verify(tmp_path, files, gpu=True)
    assert document["engine"] == "compared"
    same = [case["engine"] == case["source"] for case in document["golden"]]
    assert same == [number != 1 for number in range(len(same))]
    assert len(same) > 2


def test_no_two_tensors_share_a_digest() -> None:
    zeros = np.zeros((2, 3), np.float32)
    others = [
        zeros,
        zeros.reshape(3, 2),
        zeros.astype(np.int32),
        zeros.astype(ml_dtypes.bfloat16),
        zeros + 1,
        np.float32(0).reshape(()),
        zeros[:1, :1].reshape(1),
        np.zeros((0, 3), np.float32),
        np.zeros((3, 0), np.float32),
    ]
    assert len({digest_of_array(values) for values in others}) == len(others)
    turned = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert digest_of_array(turned) == digest_of_array(np.ascontiguousarray(turned))
