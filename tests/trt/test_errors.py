"""Every message of the table, said by TensorRT itself where it can be made to say it here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trt import nets
from tests.trt.marks import since_1_7
from trtbuild.trt.errors import (
    BUILD_CAUSES,
    CONTROL_FLOW,
    LOAD_CAUSES,
    PARSER_CAUSES,
    explain,
)
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import recording

Change = Callable[[Any, Any, Any], None]  # module, builder config, optimization profile

RECORDED = {
    "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([myelin_graph.h:1259: "
    "attachExceptionMsgToGraph] MyelinCheckException: cudnn_impl.cpp:89: CHECK(dtype == "
    "myelinTypeFloat || dtype == myelinTypeHalf || dtype == myelinTypeBF16 || dtype == "
    "myelinTypeFP8E4M3) failed.  In compileGraph at codeGenerator.cpp:1962)": (
        "this version of TensorRT-RTX has no convolution of int8"
    ),
    "Error Code 10: Internal Error (Could not find any implementation for node "
    "{ForeignNode[onnx::Add...head]}. In computeCosts at optimizer.cpp:4040)": (
        "no implementation of {ForeignNode[onnx::Add...head]} could be used"
    ),
    "CUDA initialization failure with error: 35. Please check your CUDA installation": (
        "a GPU with a driver is needed and there is none"
    ),
    "Tactic Device request: 4364MB Available: 3788MB. Device memory is insufficient to use "
    "tactic.": "the GPU's memory is too small for an implementation of an operation",
    "Skipping tactic 8 due to insuficient memory on requested size of 4364 detected for tactic "
    "60.": "the GPU's memory is too small for an implementation of an operation",
    "UNSUPPORTED_STATESkipping tactic 9 due to insufficient memory on requested size of 157500 "
    "detected for tactic 0x0000000000000009.": (
        "the GPU's memory is too small for an implementation of an operation"
    ),
    "Requested amount of GPU memory (8589934592 bytes) could not be allocated. There may not be "
    "enough free memory for allocation to succeed.": (
        "the GPU's memory is too small for an implementation of an operation"
    ),
    "Skipping tactic 0x0000000000000000 due to Myelin error: autotuning: CUDA error 2 allocating "
    "6443238909-byte buffer: out of memory": "the GPU ran out of memory",
    "[defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)": (
        "the GPU ran out of memory"
    ),
    "Default DLA is enabled but layer /conv1/Conv is not supported on DLA and falling back to GPU "
    "is not enabled.": "a DLA core cannot run layer /conv1/Conv",
    "IPluginRegistry::loadLibrary: Error Code 6: API Usage Error (Unable to load library: "
    "/tmp/nope.so: /tmp/nope.so: cannot open shared object file: No such file or directory In Impl "
    "at /_src/runtime/dispatch/libLoader.cpp:305)": (
        "the plugin library /tmp/nope.so cannot be loaded: /tmp/nope.so: cannot open shared object"
    ),
    "IBuilder::buildSerializedNetwork: Error Code 3: API Usage Error (Parameter check failed, "
    "condition: formatSupported. image has dataType Float unsupported by tensor's allowed "
    "TensorFormats. In operator() at /_src/optimizer/api/network.cpp:3537)": (
        "a memory layout that is asked for does not go with its tensor's type"
    ),
    "The timing cache will not be used!": "the timing cache is of another version or GPU",
    "Detected invalid timing cache, setup a local cache instead": (
        "the timing cache is of another version or GPU"
    ),
    "createInferBuilder: Error Code 6: API Usage Error (Unable to load library: "
    "libnvinfer_builder_resource.so.10.7.0: libnvinfer_builder_resource.so.10.7.0: cannot enable "
    "executable stack as shared object requires: Invalid argument)": (
        "a library of TensorRT itself, libnvinfer_builder_resource.so.10.7.0, is missing"
    ),
    "6: [libLoader.cpp::nvinfer1::rt::DynamicLibrary::Impl::Impl::288] Error Code 6: Internal "
    "Error (Unable to load library: nvinfer_builder_resource_10.dll)": (
        "a library of TensorRT itself, nvinfer_builder_resource_10.dll, is missing"
    ),
    "IBuilder::buildSerializedNetwork: Error Code 9: API Usage Error (Target GPU SM 61 is not "
    "supported by this TensorRT release.)": "does not support this GPU",
    "1: [caskUtils.cpp::nvinfer1::rt::task::trtSmToCask::193] Error Code 1: Internal Error "
    "(Unsupported SM: 0x601)": "does not support this GPU",
    "IBuilder::buildSerializedNetwork: Error Code 9: API Usage Error (Networks with FP8 Q/DQ "
    "layers require hardware with FP8 support.)": "this GPU does not compute in FP8",
    "MyelinCheckException: target_sm '90' does not have arch kind assigned": (
        "only on a GPU that it supports"
    ),
}
"""Messages of TensorRT proper, or of a machine with a GPU, and what must be said of them."""

RECORDED_AT_LOADING = {
    "IExecutionContext::enqueueV3: Error Code 1: Myelin ([myelin_graph.h:1259: "
    "attachExceptionMsgToGraph] MyelinCheckException: cudnn_graph_utils.h:429: CHECK(false) "
    "failed. cuDNN graph compilation failed: No valid engine configs for Matmul_\n"
    "Warning: CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH; Reason: FORT_NATIVE_10X engine is only "
    "supported since Blackwell architecture": "no kernel for an operation",
    "1: [stdArchiveReader.cpp::StdArchiveReader::32] Error Code 1: Serialization (Serialization "
    "assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match)": (
        "it does not begin as an engine"
    ),
    "1: [runtime.cpp::parsePlan::314] Error Code 1: Serialization (Serialization assertion "
    "plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)": "it does not begin as an engine",
    "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
    "stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current "
    "Version: 237, Serialized Engine Version: 239)": (
        "another version of TensorRT built it (serialization 239, this one has 237)"
    ),
    "6: The engine plan file is not compatible with this version of TensorRT, expecting library "
    "version 8.6.1.6 got 8.6.1.2, please rebuild.": "TensorRT 8.6.1.2 built it, and 8.6.1.6",
    "6: The engine plan file is generated on an incompatible device, expecting compute 7.5 got "
    "compute 8.6, please rebuild.": "built for compute capability 8.6, and this GPU has 7.5",
    "Error Code 1: Serialization (Serialization assertion creator failed.Cannot deserialize plugin "
    "since corresponding IPluginCreator not found in Plugin Registry)": "it holds a plugin",
    "IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, "
    "condition: satisfyProfile. Set dimension [8,3,224,224] for tensor input does not satisfy any "
    "optimization profiles.)": "a shape lies outside every optimization profile",
    "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime (an illegal memory access was "
    "encountered)": "a kernel read or wrote memory that is not its own",
    "[defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)": (
        "the GPU ran out of memory"
    ),
}
"""Messages about engines that users met, in the threads that they asked for help in."""


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


@pytest.mark.parametrize("text", RECORDED_AT_LOADING)
def test_a_recorded_message_about_an_engine_is_explained(text: str) -> None:
    explanation = explain(text, LOAD_CAUSES)
    assert explanation is not None
    assert RECORDED_AT_LOADING[text] in explanation.meaning
    assert explanation.remedy


def test_each_cause_of_a_failed_load_has_its_recorded_message() -> None:
    for cause in LOAD_CAUSES:
        assert any(cause.pattern.search(text) for text in RECORDED_AT_LOADING), cause.pattern
