"""What the ONNX parser refuses, grouped by operator and with node names; broken files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.trt import nets
from tests.trt.marks import since_1_7
from trtbuild.errors import StageError
from trtbuild.trt.errors import PARSER_CAUSES
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import recording
from trtbuild.trt.parser import Parsed, parse_onnx

INNER_REFUSAL = """g (bool c, float[3, 3] x) => (float y) {
    y = If (c) <then_branch = det () => (float a) { a = Det(x) },
                else_branch = sum () => (float b) { b = ReduceSum <keepdims = 0> (x) }>
}"""

RANK_BY_INPUT = "g (float[1, 4] x, int64[K] s) => (float[A, B] y) { y = Expand(x, s) }"


def parsed(rtx: Flavour, path: Path) -> Parsed:
    with recording(rtx) as log:
        return parse_onnx(log, path)


def refusal(rtx: Flavour, path: Path) -> StageError:
    with pytest.raises(StageError) as caught:
        parsed(rtx, path)
    return caught.value


def lines(rtx: Flavour, path: Path) -> list[str]:
    """What is refused, without the heading."""
    return [line.strip() for line in refusal(rtx, path).what.splitlines()[1:]]


def test_a_model_becomes_a_strongly_typed_network(rtx: Flavour, tmp_path: Path) -> None:
    network = parsed(rtx, nets.digits(tmp_path / "digits.onnx")).network
    assert network.get_flag(rtx.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert [network.get_input(0).name, network.get_output(0).name] == ["image", "logits"]


def test_refused_nodes_are_all_told_by_operator_and_name(rtx: Flavour, tmp_path: Path) -> None:
    error = refusal(rtx, nets.refused(tmp_path / "model.onnx"))
    assert error.what == (
        f"the ONNX parser of {rtx.title} refuses 4 nodes of the model:\n"
        "  Foo (2 nodes: 'first', 'second'): the operator is not supported\n"
        "  Bar (1 node: the one that makes 'd'): the operator is not supported\n"
        "  Det (1 node: 'determinant'): the operator is not supported"
    )
    assert "surgery hook" in error.hint
    assert "{op: set_outputs, outputs: [...]}" in error.hint
    assert "another opset" in error.hint


def test_what_the_parser_says_twice_is_told_once_in_its_own_words(
    rtx: Flavour, tmp_path: Path
) -> None:
    told = lines(rtx, nets.dilated(tmp_path / "model.onnx"))
    assert told == [
        "MaxPool (2 nodes: 'inner', 'outer'): This version of TensorRT does not support dilations "
        "other than 1."
    ]


def test_a_node_within_a_branch_is_told_with_what_is_around_it(
    rtx: Flavour, tmp_path: Path
) -> None:
    told = lines(rtx, nets.written(tmp_path / "model.onnx", INNER_REFUSAL))
    assert told == [
        "Det (1 node: node number 0 in node_of_y (If), det (then_branch)): the operator is not "
        "supported"
    ]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            nets.mixed,
            "Add (1 node: 'add'): its inputs have different types, Float and Half; networks are "
            "strongly typed",
        ),
        (nets.dangling, "Add (1 node: 'add'): a tensor that it reads is made by no node"),
        (
            nets.old,
            "as a whole: operators of an opset below 7, which broadcasts in another way, are not "
            "supported",
        ),
        (
            lambda path: nets.identity(path, onnx.TensorProto.STRING),
            "input 'x' (string): its element type does not exist in TensorRT",
        ),
        (
            lambda path: nets.identity(path, onnx.TensorProto.INT16),
            "input 'x' (int16): its element type does not exist in TensorRT",
        ),
        (
            lambda path: nets.written(path, RANK_BY_INPUT),
            "Expand (1 node: the one that makes 'y'): the rank of its output depends on the "
            "length of an input",
        ),
    ],
)
def test_a_refusal_says_what_is_meant(
    rtx: Flavour, tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    assert lines(rtx, make(tmp_path / "model.onnx")) == [told]


def test_every_cause_of_a_refusal_is_in_these_tests(rtx: Flavour, tmp_path: Path) -> None:
    models = [
        nets.refused(tmp_path / "refused.onnx"),
        nets.mixed(tmp_path / "mixed.onnx"),
        nets.dangling(tmp_path / "dangling.onnx"),
        nets.old(tmp_path / "old.onnx"),
        nets.identity(tmp_path / "string.onnx", onnx.TensorProto.STRING),
        nets.written(tmp_path / "rank.onnx", RANK_BY_INPUT),
    ]
    hints = [refusal(rtx, path).hint for path in models]
    assert sorted(hints) == sorted(cause.remedy for cause in PARSER_CAUSES)


def test_external_data_is_found_beside_the_model(rtx: Flavour, tmp_path: Path) -> None:
    path = nets.with_external_data(tmp_path)
    assert (tmp_path / "weights.bin").stat().st_size > 20_000
    assert parsed(rtx, path).network.num_layers == 11


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the ONNX file is empty"),
        (b"\x00\x01garbage" * 50, "the ONNX file is cut off or no ONNX at all (450 bytes)"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
    ],
)
def test_a_file_that_is_no_onnx_is_refused_though_the_parser_takes_it(
    rtx: Flavour, tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    error = refusal(rtx, path)
    assert what in error.what
    assert error.where == str(path)


@pytest.mark.parametrize("cut", [30, 1000, 20_000])
def test_a_truncated_model_is_refused_with_its_name(rtx: Flavour, tmp_path: Path, cut: int) -> None:
    path = nets.digits(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:-cut])
    error = refusal(rtx, path)
    assert "cut off" in error.what
    assert error.where == str(path)


def test_a_missing_model_is_refused_with_its_name(rtx: Flavour, tmp_path: Path) -> None:
    error = refusal(rtx, tmp_path / "missing.onnx")
    assert "cannot be read: No such file" in error.what
    assert error.where == str(tmp_path / "missing.onnx")


def test_external_data_that_is_missing_is_refused_with_its_name(
    rtx: Flavour, tmp_path: Path
) -> None:
    path = nets.with_external_data(tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert "'weights.bin'" in refusal(rtx, path).what


@since_1_7  # before, it builds an engine of what lies behind the end of the file
def test_external_data_that_is_cut_off_is_refused_with_its_name(
    rtx: Flavour, tmp_path: Path
) -> None:
    path = nets.with_external_data(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"too little")
    assert "'weights.bin'" in refusal(rtx, path).what


def test_a_model_without_outputs_is_refused(rtx: Flavour, tmp_path: Path) -> None:
    path = nets.digits(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    del model.graph.output[:]
    onnx.save(model, str(path))
    error = refusal(rtx, path)
    assert error.what == "the model has no outputs"
    assert "set_outputs" in error.hint
