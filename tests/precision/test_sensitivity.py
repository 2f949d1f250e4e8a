"""Where precision is lost, what each node costs, and which few to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest

from tests.precision.nets import attention, images, linear, overflowing, residual, rows, snr_db
from tests.precision.test_qdq import Given, ground, run, table
from trtbuild.model.inputs import Arrays
from trtbuild.precision import int4
from trtbuild.precision.autocast import Low
from trtbuild.precision.choice import Wish
from trtbuild.precision.losses import (
    CEILING_DB,
    _Sums,
    choosing_nodes,
    leaves_some,
    measure_losses,
    suggest_keeping,
)
from trtbuild.precision.lowfloat import lower
from trtbuild.precision.pairs import activation_pair, cast_pair, weight_pair
from trtbuild.precision.prepare import prepare
from trtbuild.precision.quantized import quantize_activations
from trtbuild.precision.sensitivity import (
    Clock,
    Keeping,
    Probe,
    Trial,
    fewest_kept,
    probe_nodes,
    prove,
)
from trtbuild.precision.switchboard import open_switchboard, round_inputs

CASES = [images(seed=1), images(seed=2)]


def poor_table() -> dict[str, float]:
    """A table in which one range is far too large, so that one node loses much."""
    return {**table(), "r1": table()["r1"] * 40}


def test_a_node_that_gathers_by_what_is_computed_is_known_for_it() -> None:
    made = [
        onnx.helper.make_node("Shape", ["x"], ["size"], "size", start=0, end=1),
        onnx.helper.make_node("Gather", ["x", "size"], ["by_size"], "by_size"),
        onnx.helper.make_node("ArgMax", ["x"], ["index"], "best"),
        onnx.helper.make_node("Mul", ["index", "two"], ["place"], "place"),
        onnx.helper.make_node("Gather", ["w", "place"], ["y"], "by_value"),
    ]
    value = onnx.helper.make_tensor_value_info
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        made,
        "g",
        [value("x", float32, ["n", 4])],
        [value("y", float32, None), value("by_size", float32, None)],
        [
            onnx.numpy_helper.from_array(np.array(2), "two"),
            onnx.numpy_helper.from_array(np.ones((9, 4), np.float32), "w"),
        ],
    )
    opset = [onnx.helper.make_opsetid("", 20)]
    assert choosing_nodes(onnx.helper.make_model(graph, opset_imports=opset)) == {
        "place",
        "by_value",
    }


def test_losses_name_the_node_that_adds_most_noise() -> None:
    result = quantize_activations(residual(), Wish("int8"), poor_table(), ground())
    exact = residual()
    prepare(exact)
    losses = measure_losses(exact, result.model, CASES)
    assert losses[0].snr_db < 15
    assert losses == tuple(sorted(losses, key=lambda loss: (loss.snr_db, loss.tensor)))
    assert suggest_keeping(losses)[0] == "conv2"
    by_tensor = {loss.tensor: loss for loss in losses}
    assert by_tensor["c2"].type == "int8"
    assert by_tensor["r1"].snr_db > 25


def test_a_pass_through_node_adds_no_noise_of_its_own() -> None:
    result = quantize_activations(residual(), Wish("int8"), table(), ground())
    exact = residual()
    losses = {loss.node: loss for loss in measure_losses(exact, result.model, CASES)}
    assert losses["flatten"].snr_db == pytest.approx(losses["pool"].snr_db)
    assert losses["flatten"].own_db == 150


def test_what_is_left_in_the_precision_counts_fused_nodes_as_those_they_stand_for() -> None:
    result = quantize_activations(residual(), Wish("int8"), table(), ground())
    exact = residual()
    prepare(exact)
    assert leaves_some(exact, result.model, "int8", ("conv1", "conv2", "sum"))
    assert not leaves_some(exact, result.model, "int8", ("conv1", "conv2", "sum", "gemm"))
    assert not leaves_some(exact, result.model, "fp8", ())
    fused = residual()
    prepare(fused)
    fused.graph.node[-1].name = "made_of_gemm"
    assert not leaves_some(exact, fused, "fp32", {node.name for node in exact.graph.node})


@pytest.mark.parametrize(("low", "least", "most"), [("fp16", 50, 90), ("bf16", 35, 60)])
def test_losses_of_casts_are_small_and_measured_too(low: Low, least: float, most: float) -> None:
    lowered = lower(
        residual(),
        low,
        keep_io_types=False,
        keep_fp32=(),
        cases=Given(*CASES),
        progress=lambda *_: None,
    )
    losses = measure_losses(residual(), lowered.model, CASES)
    assert least < losses[0].snr_db < most
    assert {loss.type for loss in losses} == {low}


def test_switching_all_on_gives_the_quantized_model_and_all_off_the_exact_one() -> None:
    pair = activation_pair(residual(), Wish("int8"), table())
    result = quantize_activations(residual(), Wish("int8"), table(), ground())
    with open_switchboard(pair.exact, pair.rounded) as board:
        assert board.nodes == ("conv1", "conv2", "sum", "gemm")
        np.testing.assert_allclose(
            board.run((), CASES[0])["y"], run(residual(), CASES[0]), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            board.run(board.nodes, CASES[0])["y"], run(result.model, CASES[0]), rtol=1e-3, atol=1e-4
        )


def test_probes_rank_nodes_and_their_noises_add_up() -> None:
    pair = activation_pair(residual(), Wish("int8"), poor_table())
    with open_switchboard(pair.exact, pair.rounded) as board:
        probes = list(probe_nodes(board, CASES, Clock(60)))
        worst = max(probes, key=lambda probe: probe.noise)
        exact = np.concatenate([board.run((), case)["y"] for case in CASES])
        every = np.concatenate([board.run(board.nodes, case)["y"] for case in CASES])
    assert worst.node in ("conv2", "sum")  # both read r1
    total = -10 * math.log10(sum(probe.noise for probe in probes))
    assert total == pytest.approx(snr_db(exact, every), abs=3)


def test_known_probes_cost_nothing_and_no_time_means_no_new_ones() -> None:
    pair = activation_pair(residual(), Wish("int8"), table())
    known = {"conv1": Probe("conv1", 0.5)}
    with open_switchboard(pair.exact, pair.rounded) as board:
        assert list(probe_nodes(board, CASES, Clock(0), known=known)) == [known["conv1"]]
        (first, *_) = probe_nodes(board, CASES, Clock(60), first=("gemm",))
    assert first.node == "gemm"


def above(least: float) -> object:
    """Accepts outputs of at least so much signal to noise."""

    def accept(expected: Sequence[Arrays], got: Sequence[Arrays]) -> bool:
        exact = np.concatenate([case["y"] for case in expected])
        return snr_db(exact, np.concatenate([case["y"] for case in got])) >= least

    return accept


def test_the_fewest_nodes_that_reach_the_tolerance_are_kept() -> None:
    pair = activation_pair(residual(), Wish("int8"), poor_table())
    with open_switchboard(pair.exact, pair.rounded) as board:
        probes = list(probe_nodes(board, CASES, Clock(60)))
        keeping = fewest_kept(board, CASES, probes, above(30), Clock(60))
        assert set(keeping.nodes) == {"conv2", "sum"}
        assert keeping.enough
        assert keeping.settled
        assert fewest_kept(board, CASES, probes, above(0), Clock(60)).nodes == ()


def test_a_tolerance_that_float32_itself_misses_is_said() -> None:
    pair = activation_pair(residual(), Wish("int8"), table())
    with open_switchboard(pair.exact, pair.rounded) as board:
        keeping = fewest_kept(board, CASES, [], lambda *_: False, Clock(60))
    assert not keeping.enough


def test_an_overflow_of_float16_has_infinite_noise() -> None:
    cases = [{"x": np.ones((2, 8), np.float32)}]
    exact, rounded = overflowing(), overflowing()
    round_inputs(rounded, {node.name for node in exact.graph.node}, "fp16")
    with open_switchboard(exact, rounded) as board:
        probes = {probe.node: probe for probe in probe_nodes(board, cases, Clock(60))}
    assert probes["lift"].noise == math.inf
    assert probes["lift"].snr_db == -math.inf
    assert probes["matmul"].snr_db > 50


def test_a_cast_pair_rounds_only_what_would_be_cast() -> None:
    cases = Given({"x": np.ones((2, 8), np.float32)})
    pair = cast_pair(overflowing(), "fp16", ("relu",), cases, lambda *_: None)
    with open_switchboard(pair.exact, pair.rounded) as board:
        assert board.nodes == ("matmul", "add")


def test_a_cast_pair_of_bfloat16_saturates_the_mask_that_it_cannot_hold() -> None:
    case = {"scores": np.zeros((2, 4), np.float32), "keep": np.ones((2, 4), np.float32)}
    pair = cast_pair(attention(), "bf16", (), Given(case), lambda *_: None)
    with open_switchboard(pair.exact, pair.rounded) as board:
        assert board.run(board.nodes, case)["y"] == pytest.approx(0.25)


def test_a_weight_pair_switches_int4_layers() -> None:
    pair = weight_pair(linear(), int4.Wish("rtn", block=32), list)
    with open_switchboard(pair.exact, pair.rounded) as board:
        probes = list(probe_nodes(board, [rows()], Clock(60)))
    assert [probe.node for probe in probes] == ["query", "key", "out"]
    assert all(5 < probe.snr_db < 40 for probe in probes)


def test_values_of_a_mask_are_no_loss() -> None:
    sums = _Sums()
    sums.add(np.array([1.0, -3.4e38], np.float32), np.array([1.0, -np.inf], np.float32))
    assert sums.signal == 1.0
    assert sums.snr_db == CEILING_DB
    sums.add(np.array([7e4], np.float32), np.array([np.inf], np.float32))
    assert sums.snr_db == -math.inf


RANKED = ("a", "b", "c", "d", "e", "f")


def enough(accepted: bool) -> Trial:
    """A trial that leaves something in low precision."""
    return Trial.ENOUGH if accepted else Trial.TOO_FEW


@pytest.mark.parametrize(
    ("needed", "kept"), [({"b"}, ("b",)), ({"a"}, ("b", "a")), ({"d"}, ("b", "a", "c", "d"))]
)
def test_more_nodes_are_kept_until_every_case_is_accepted(
    needed: set[str], kept: tuple[str, ...]
) -> None:
    found = Keeping(("b",), enough=True, settled=True)
    proven = prove(found, RANKED, lambda nodes: enough(needed <= set(nodes)), Clock(60))
    assert proven == Keeping(kept, enough=True, settled=True)
    hasty = replace(found, settled=False)  # whose search on a few cases ran out of time
    assert not prove(hasty, RANKED, lambda _: Trial.ENOUGH, Clock(60)).settled


def test_a_proof_that_runs_out_of_time_is_not_settled() -> None:
    """The time is up once five nodes, one more than necessary, were found enough."""
    asked: list[tuple[str, ...]] = []

    class Ending(Clock):
        @property
        def over(self) -> bool:
            return any(len(nodes) == 5 for nodes in asked)

    def tried(nodes: tuple[str, ...]) -> Trial:
        asked.append(nodes)
        return enough("d" in nodes)

    found = Keeping(("b",), enough=True, settled=True)
    assert prove(found, RANKED, tried, Ending(60)) == Keeping(
        ("b", "a", "c", "d", "e"), True, False
    )


def test_what_was_found_is_proven_once_however_late_and_no_more_than_that() -> None:
    found = Keeping(("b",), enough=True, settled=True)
    asked: list[tuple[str, ...]] = []

    def tried(nodes: tuple[str, ...]) -> Trial:
        asked.append(nodes)
        return Trial.TOO_FEW

    assert prove(found, RANKED, tried, Clock(0)) == Keeping(("b",), enough=False, settled=False)
    assert asked == [("b",)]
    assert not prove(found, RANKED, tried, Clock(60)).enough
    assert asked[-1] == ("b", "a", "c", "d", "e")  # with "f" too there would be no variant


@pytest.mark.parametrize("nodes", [RANKED[:3], RANKED[:4], RANKED[:5], RANKED])
@pytest.mark.parametrize("found", [(), RANKED[:1], RANKED[:2]])
def test_every_number_of_nodes_is_reached_but_all_of_them(
    nodes: tuple[str, ...], found: tuple[str, ...]
) -> None:
    few = Keeping(found, enough=True, settled=True)
    for needed in range(len(found), len(nodes)):
        kept = prove(few, nodes, lambda kept, least=needed: enough(len(kept) >= least), Clock(60))
        assert (kept.nodes, kept.enough) == (nodes[:needed], True)
    assert prove(few, nodes, lambda _: Trial.TOO_FEW, Clock(60)) == Keeping(nodes[:-1], False, True)


def test_all_nodes_found_on_a_few_cases_are_proven_but_for_one() -> None:
    found = Keeping(RANKED, enough=True, settled=True)
    assert prove(found, RANKED, lambda _: Trial.ENOUGH, Clock(60)).nodes == RANKED[:-1]
    assert prove(Keeping((), True, True), (), lambda _: Trial.ENOUGH, Clock(60)).nodes == ()


@pytest.mark.parametrize("start", range(len(RANKED) + 1))
@pytest.mark.parametrize("least", range(len(RANKED)))
@pytest.mark.parametrize("nothing", range(1, len(RANKED)))
def test_numbers_that_leave_nothing_in_the_precision_are_not_stepped_over_to(
    start: int, least: int, nothing: int
) -> None:
    """Of `nothing` nodes and more none is left in the precision; it takes `least` at least."""

    def tried(nodes: tuple[str, ...]) -> Trial:
        return Trial.TOO_MANY if len(nodes) >= nothing else enough(len(nodes) >= least)

    found = Keeping(RANKED[:start], enough=True, settled=True)
    proven = prove(found, RANKED, tried, Clock(60))
    assert proven.settled
    assert proven.enough == (least < nothing)
    if proven.enough:
        assert tried(proven.nodes) is Trial.ENOUGH
