"""Every message of the table, said by TensorRT itself where it can be made to say it here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trt import nets
from tests.trt.marks import since_1_7
from trtbuild.trt.errors import BUILD_CAUSES, CONTROL_FLOW, PARSER_CAUSES, explain
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import recording

Change = Callable[[Any, Any, Any], None]  # module, builder config, optimization profile

RECORDED = {
    "Error Code 10: Internal Error (Could not find any implementation for node "
    "{ForeignNode[onnx::Add...head]}. In computeCosts at optimizer.cpp:4040)": (
        "no implementation of {ForeignNode[onnx::Add...head]} could be used"
    ),
    "CUDA initialization failure with error: 35. Please check your CUDA installation": (
        "a GPU with a driver is needed and there is none"
    ),
    "MyelinCheckException: target_sm '90' does not have arch kind assigned": (
        "only on a GPU that it supports"
    ),
}
"""Messages of TensorRT proper, or of a machine with a GPU, and what must be said of them."""


def say(rtx: Flavour, model: Path, change: Change) -> tuple[str, ...]:
    """What the builder says of a model with nothing checked before."""
    with recording(rtx) as log:
        builder = log.create("Builder")
        network = builder.create_network(0)
        parser = log.create("OnnxParser", network)
        assert parser.parse_from_file(str(model))
        config, profile = builder.create_builder_config(), builder.create_optimization_profile()
        change(rtx.module, config, profile)
        config.add_optimization_profile(profile)
        assert builder.build_serialized_network(network, config) is None
    return log.errors


def digits_shapes(profile: Any) -> None:
    profile.set_shape("image", nets.IMAGE.min, nets.IMAGE.opt, nets.IMAGE.max)


def workspace(size: int) -> Change:
    def change(trt: Any, config: Any, profile: Any) -> None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
        digits_shapes(profile)

    return change


def capability(name: str) -> Change:
    def change(trt: Any, config: Any, profile: Any) -> None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, name), 0)
        digits_shapes(profile)

    return change


def flag(name: str) -> Change:
    def change(trt: Any, config: Any, profile: Any) -> None:
        config.set_flag(getattr(trt.BuilderFlag, name))
        digits_shapes(profile)

    return change


def shapes(**given: tuple[tuple[int, ...], ...]) -> Change:
    def change(_: Any, __: Any, profile: Any) -> None:
        for name, (low, opt, high) in given.items():
            profile.set_shape(name, low, opt, high)

    return change


CASES: dict[str, tuple[str | None, Change, str]] = {  # model (None: digits), change, meaning
    "workspace": (None, workspace(1 << 20), "the workspace is too small"),
    "no workspace": (None, workspace(0), "the workspace is too small"),
    "Turing": (None, capability("SM75"), "and 'head' is one"),
    "current": (None, capability("CURRENT"), "'current' needs the GPU that is meant"),
    "refit": (None, flag("REFIT"), "refittable and stripped engines only on a GPU"),
    "strip": (None, flag("STRIP_PLAN"), "refittable and stripped engines only on a GPU"),
    "version compatible": (None, flag("VERSION_COMPATIBLE"), "lean runtime"),
    "no shapes": (None, shapes(), "input 'image' has dynamic dimensions"),
    "invalid shapes": (
        None,
        shapes(image=((9, 1, 8, 8), (4, 1, 8, 8), (16, 1, 8, 8))),
        "an input has dynamic dimensions",
    ),
    "no values": (nets.RANGE, shapes(), "the values of input 'n' decide shapes"),
    "shared opt": (
        nets.SHARED,
        shapes(x=((1, 4), (2, 4), (8, 4)), z=((1, 4), (4, 4), (8, 4))),
        "inputs that share the dimension 'N' have different sizes",
    ),
    "shared bounds": (
        nets.SHARED,
        shapes(x=((1, 4), (2, 4), (4, 4)), z=((5, 4), (6, 4), (8, 4))),
        "inputs that share the dimension 'N' have min and max",
    ),
    "inner shapes": (
        nets.INNER,
        shapes(x=((1, 4), (2, 4), (8, 4)), z=((1, 4), (4, 4), (8, 4))),
        "the OPT shapes of the inputs do not fit the network: node_of_y: dimensions not compatible",
    ),
    "ranks of branches": (nets.RANKS, shapes(), "the model holds control flow"),
}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=since_1_7) if name == "Turing" else name for name in CASES]
)
def test_what_the_builder_says_is_explained(rtx: Flavour, tmp_path: Path, case: str) -> None:
    text, change, meaning = CASES[case]
    path = tmp_path / "model.onnx"
    model = nets.digits(path) if text is None else nets.written(path, text)
    found = [explain(message) for message in say(rtx, model, change)]
    assert any(item is not None and meaning in item.meaning for item in found)
    assert all(item.remedy for item in found if item is not None)


@pytest.mark.parametrize("message", RECORDED)
def test_what_cannot_be_said_here_is_explained_from_its_record(message: str) -> None:
    found = explain(message)
    assert found is not None
    assert RECORDED[message] in found.meaning


def test_a_network_without_outputs_is_explained(rtx: Flavour) -> None:
    with recording(rtx) as log:
        builder = log.create("Builder")
        network = builder.create_network(0)
        assert builder.build_serialized_network(network, builder.create_builder_config()) is None
    assert [item.meaning for item in map(explain, log.errors) if item] == [
        "the network has no output"
    ]


def test_the_message_of_unbuildable_control_flow_is_explained() -> None:
    """As silero_vad's If nodes make it; the test of that model needs the model."""
    found = explain(
        "[graphScope.cpp::analyze::471] Error Code 2: Internal Error (Assertion tScope.getType() "
        "!= ScopeType::kUNDEFINED failed.  In analyze at /_src/optimizer/common/graphScope.cpp:471)"
    )
    assert found is not None
    assert found.remedy == CONTROL_FLOW.remedy


def test_a_message_that_nobody_knows_has_no_explanation() -> None:
    assert explain("Error Code 9: something new") is None
    assert explain("Error Code 9: something new", PARSER_CAUSES) is None


@since_1_7
def test_every_cause_has_a_message_in_these_tests(rtx: Flavour, tmp_path: Path) -> None:
    said = [*RECORDED, "Network must have at least one output"]
    for text, change, _ in CASES.values():
        path = tmp_path / "model.onnx"
        said += say(rtx, nets.digits(path) if text is None else nets.written(path, text), change)
    unheard = [
        cause.meaning
        for cause in BUILD_CAUSES
        if not any(explain(text) == explain_by(cause, text) for text in said)
    ]
    assert unheard == []


def explain_by(cause: Any, text: str) -> Any:
    """The explanation where this cause is the first that matches, else something unequal."""
    found = cause.pattern.search(text)
    return explain(text, (cause,)) if found else object()
