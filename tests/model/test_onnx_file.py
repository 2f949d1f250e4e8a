"""ONNX files: loading damaged ones, external data, bytes that depend on the model only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.model.nets import mlp, save
from trtbuild.errors import StageError
from trtbuild.model import onnx_file
from trtbuild.model.onnx_file import (
    canonicalise,
    check_model,
    external_files,
    input_types,
    load_model,
    output_types,
    save_model,
)


@pytest.fixture
def large() -> onnx.ModelProto:
    """A model with one tensor of 40 kB."""
    return mlp(np.arange(40000, dtype=np.float32).reshape(4, 10000))


@pytest.fixture
def external(tmp_path: Path, large: onnx.ModelProto) -> Path:
    """Its file, with the tensor in big.data beside it."""
    path = tmp_path / "model.onnx"
    onnx.save(large, path, save_as_external_data=True, location="big.data", size_threshold=100)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(StageError) as error:
        load_model(path)
    assert str(path) == error.value.where
    return error.value.what


def test_a_missing_model_is_refused_with_its_name(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.onnx")


def test_an_empty_model_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.write_bytes(b"")
    assert refusal(path) == "the ONNX file is empty"


def test_a_model_truncated_anywhere_is_refused_with_its_name(tmp_path: Path) -> None:
    path = save(mlp(), tmp_path / "cut.onnx")
    content = path.read_bytes()
    for kept in range(1, len(content)):
        path.write_bytes(content[:kept])
        assert refusal(path) == f"the ONNX file is cut off or no ONNX at all ({kept} bytes)"


def test_a_model_cut_off_before_its_graph_is_refused(tmp_path: Path) -> None:
    model = mlp()
    model.ClearField("graph")
    assert "cut off" in refusal(save(model, tmp_path / "cut.onnx"))


@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        (b"PK\x03\x04....", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!doctype html>", "a text document"),
        (b"\x00\xff" * 50, "cut off or no ONNX"),
    ],
)
def test_what_is_no_onnx_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, meaning: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert meaning in refusal(path)


def test_external_data_is_read_into_the_model(external: Path) -> None:
    weight = numpy_helper.to_array(load_model(external).graph.initializer[0])
    np.testing.assert_array_equal(weight, np.arange(40000).reshape(4, 10000))
    assert external_files(external) == ("big.data",)


def test_a_missing_external_file_is_named(external: Path) -> None:
    (external.parent / "big.data").unlink()
    assert "external data file 'big.data' cannot be read" in refusal(external)


def test_a_truncated_external_file_is_named_with_the_tensor_it_lacks(external: Path) -> None:
    data = external.parent / "big.data"
    os.truncate(data, 1000)
    assert "'big.data' does not hold tensor 'w': 160000 bytes are needed" in refusal(external)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "a/../../b"])
def test_external_data_outside_of_the_folder_is_refused(external: Path, location: str) -> None:
    model = onnx.load(external, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    external.write_bytes(model.SerializeToString())
    assert "outside the model's folder" in refusal(external)
    with pytest.raises(StageError, match="outside the model's folder"):
        external_files(external)


def test_external_data_behind_a_link_to_another_folder_is_refused(
    external: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = external.parent / "big.data"
    target = data.rename(tmp_path_factory.mktemp("elsewhere") / "big.data")
    data.symlink_to(target)
    assert "outside the model's folder" in refusal(external)


@pytest.mark.parametrize(("key", "value"), [("offset", "-5"), ("length", "many"), ("length", "-1")])
def test_an_impossible_place_of_external_data_is_refused(
    external: Path, key: str, value: str
) -> None:
    model = onnx.load(external, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    external.write_bytes(model.SerializeToString())
    assert "impossible place" in refusal(external)


def test_a_small_model_is_one_file(tmp_path: Path, large: onnx.ModelProto) -> None:
    save_model(large, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_weights_above_the_limit_go_to_one_file_beside_it(
    tmp_path: Path, large: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "INLINE_LIMIT", 1000)
    large.graph.initializer.append(
        helper.make_tensor("typed", TensorProto.INT64, [200], range(200))  # no raw_data
    )
    save_model(large, tmp_path / "model.onnx")
    assert external_files(tmp_path / "model.onnx") == ("model.onnx.data",)
    loaded = load_model(tmp_path / "model.onnx")
    weights = [numpy_helper.to_array(tensor) for tensor in loaded.graph.initializer]
    np.testing.assert_array_equal(weights[0].reshape(-1), np.arange(40000))
    np.testing.assert_array_equal(weights[1], np.arange(200))
    onnxs = onnx.load(tmp_path / "model.onnx").graph.initializer  # onnx itself reads it, too
    assert [t.raw_data for t in onnxs] == [t.raw_data for t in loaded.graph.initializer]


@pytest.mark.slow
def test_a_model_above_two_gigabytes_is_saved_checked_and_loaded(tmp_path: Path) -> None:
    size = 2_160_000_000
    save_model(with_tensor_of(size), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 1000
    assert (tmp_path / "model.onnx.data").stat().st_size == size
    check_model(tmp_path / "model.onnx")
    assert len(load_model(tmp_path / "model.onnx").graph.initializer[1].raw_data) == size


def with_tensor_of(size: int) -> onnx.ModelProto:
    """A model with an unused tensor; only in place does protobuf take one of more than 2 GiB."""
    model = mlp()
    unused = model.graph.initializer.add(name="unused", data_type=TensorProto.UINT8, dims=[size])
    unused.raw_data = bytes(size)
    return model


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"cannot be written: No such file") as error:
        save_model(mlp(), tmp_path / "none" / "model.onnx")
    assert "none/model.onnx" in error.value.where


def decorated(path: str) -> onnx.ModelProto:
    """What an exporter run from `path` leaves of itself in a model with a subgraph."""
    model = mlp()
    branch = mlp().graph
    del branch.input[:]
    model.graph.node.append(
        helper.make_node("If", ["w"], ["y"], then_branch=branch, else_branch=branch)
    )
    model.producer_name, model.producer_version, model.doc_string = "pytorch", path, path
    parts = [model, model.graph, *model.graph.node, *model.graph.input, *model.graph.initializer]
    inner = model.graph.node[-1].attribute[0].g
    for part in [*parts, inner, inner.node[0], inner.initializer[0], inner.output[0]]:
        part.doc_string = path
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=path)
        part.metadata_props.add(key="namespace", value=path)
    model.metadata_props.add(key="character", value="abc")
    return model


def test_where_a_model_was_exported_does_not_change_its_bytes() -> None:
    here, there = decorated("/home/a/model.py"), decorated("/home/b/model.py")
    assert here.SerializeToString() != there.SerializeToString()
    canonicalise(here)
    canonicalise(there)
    assert here.SerializeToString(deterministic=True) == there.SerializeToString(deterministic=True)
    assert b"/home" not in here.SerializeToString()


def test_metadata_that_is_not_the_exporters_is_kept() -> None:
    model = decorated("/home/a")
    model.graph.node[0].metadata_props.add(key="mine", value="kept")
    canonicalise(model)
    assert [(p.key, p.value) for p in model.metadata_props] == [("character", "abc")]
    assert [(p.key, p.value) for p in model.graph.node[0].metadata_props] == [("mine", "kept")]


def test_an_invalid_model_is_refused_with_the_words_of_onnx(tmp_path: Path) -> None:
    model = mlp()
    model.graph.node[1].input[0] = "nowhere"
    for given in (model, save(model, tmp_path / "model.onnx")):
        with pytest.raises(StageError, match=r"onnx.checker refuses the model: .*nowhere"):
            check_model(given)


def test_types_have_numpys_names_and_initializers_are_no_inputs() -> None:
    model = mlp()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.BFLOAT16, None))
    model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.DOUBLE, []))
    model.graph.output.append(helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, [1]))
    assert [(t.name, t.dtype, t.dims) for t in input_types(model)] == [
        ("x", "float32", ("batch", 4)),
        ("b", "bfloat16", None),
        ("s", "float64", ()),
    ]
    assert [(t.name, t.dtype, t.dims) for t in output_types(model)] == [
        ("logits", "float32", ("batch", 3)),
        ("q", "sequence", None),
    ]
