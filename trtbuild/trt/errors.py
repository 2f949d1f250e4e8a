"""Says in plain words what TensorRT's messages mean and what to do about them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """What a message means, and the remedy; `meaning` may name groups of the pattern."""

    pattern: re.Pattern[str]
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A cause as it applies to one message."""

    meaning: str
    remedy: str


def _cause(pattern: str, meaning: str, remedy: str) -> Cause:
    return Cause(re.compile(pattern, re.DOTALL), meaning, remedy)


CONTROL_FLOW = _cause(
    r"ScopeType::kUNDEFINED|\bI(Conditional|IfConditional|Loop|Recurrence|TripLimit|Iterator)\w*",
    "the model holds control flow that the builder cannot take",
    "decide the branches before the build: export the model for one fixed condition, or make it "
    "constant and fold it (fold_constants)",
)

SHORT_OF_MEMORY = _cause(
    r"Tactic Device request: (?P<need>\d+)MB Available: (?P<free>\d+)MB"
    r"|insuff?icient memory on requested size of (?P<size>\d+)"
    r"|Requested amount of GPU memory \((?P<bytes>\d+) bytes\) could not be allocated",
    "the GPU's memory is too small for an implementation of an operation",
    "free GPU memory (other processes, smaller max shapes), lower build.max_tactics or "
    "build.optimization_level, or build on a GPU with more memory",
)
"""Said in warnings, of which the error that follows knows nothing."""

NO_DRIVER = (
    "it needs an NVIDIA GPU and a driver that is new enough for its CUDA version (see nvidia-smi); "
    "the backend tensorrt_rtx builds without either"
)

BUILD_CAUSES = (
    CONTROL_FLOW,
    SHORT_OF_MEMORY,
    _cause(
        r"cudnn_impl\.cpp:\d+: CHECK\(dtype == myelinTypeFloat ",
        "this version of TensorRT-RTX has no convolution of int8",
        "quantize products only (`op_types: [MatMul]` of the int8 precision), take fp8, or build "
        "with TensorRT-RTX 1.7",
    ),
    _cause(
        r"Cuda Runtime \(out of memory\)|cudaError 2: |CUDA error 2\b|OutOfMemory",
        "the GPU ran out of memory",
        "free GPU memory (other processes, smaller max shapes), or build on a GPU with more of it",
    ),
    _cause(
        r"no tactics to implement the operation within workspace limit"
        r"|requires workspace memory greater than 0",
        "the workspace is too small for every implementation of an operation",
        "raise build.workspace (from 16MiB for small networks; 1GiB and more are usual), or leave "
        "it out for TensorRT's own default",
    ),
    _cause(
        r"Could not find any implementation for node (?P<node>.+?)\.(?: In |\)|$)",
        "no implementation of {node} could be used; most often each one ran out of memory",
        "free GPU memory (other processes, smaller max shapes), raise or leave out "
        "build.workspace, or lower build.optimization_level",
    ),
    _cause(
        r"Dynamic input tensor (?P<input>.+?) is missing dimensions",
        "input '{input}' has dynamic dimensions and no min, opt and max shape",
        "give the input min, opt and max in the recipe",
    ),
    _cause(
        r"no optimization profile has been defined",
        "an input has dynamic dimensions and there are no min, opt and max shapes",
        "give every dynamic input min, opt and max in the recipe",
    ),
    _cause(
        r"missing values for shape input tensor (?P<input>.+?)\.(?: In |$)",
        "the values of input '{input}' decide shapes, and the range of these values is not given",
        "give the input a range in the recipe: range: [lowest, highest + 1]",
    ),
    _cause(
        r"Dimensions with name (?P<name>.+?) must be equal",
        "inputs that share the dimension '{name}' have different sizes in min, opt or max",
        "give inputs that share a dimension the same sizes along it, or set_dims with other names "
        "where the dimensions only happen to be called alike",
    ),
    _cause(
        r"(?P<name>[^\s(]+): Input dimensions with this name have different constant values",
        "inputs that share the dimension '{name}' have min and max that cannot both hold",
        "give inputs that share a dimension the same min and max along it",
    ),
    _cause(
        r"k(?P<which>MIN|OPT|MAX) values (?:for profile \d+ violate shape constraints: "
        r"|are not self-consistent\. )(?P<why>.+?)(?:\.? Condition '|\.? In \w)",
        "the {which} shapes of the inputs do not fit the network: {why}",
        "mend min, opt and max; onnxruntime says which node objects to a shape",
    ),
    _cause(
        r"Cannot compile operation '(?P<node>[^']+)' for Turing \(SM75\): FP32 GEMM",
        "Turing GPUs (compute capability 7.5) have no float32 matrix product in TensorRT-RTX, "
        "and '{node}' is one",
        "take 75 out of build.compute_capabilities, or build an fp16 variant for these GPUs",
    ),
    _cause(
        r"generateForCurrent at ",
        "compute capability 'current' needs the GPU that is meant, and there is none",
        "name the compute capabilities in build.compute_capabilities (75, 80, 86, 89, 120), or "
        "leave it out for an engine that runs on all of them from 80 on",
    ),
    _cause(
        r"CHECK\(sm_vers_\.size\(\) == 1\)|graph_jit\.cpp:\d+: CHECK\(status == CUDA_SUCCESS\)"
        r"|does not have arch kind assigned",
        "TensorRT-RTX builds refittable and stripped engines only on a GPU that it supports, for "
        "one compute capability",
        "build it on a machine with such a GPU, or without refit and without stripping weights",
    ),
    _cause(
        r"Unable to load library: libnvinfer_lean",
        "version-compatible engines need TensorRT's lean runtime, which this package lacks",
        "build without version compatibility; TensorRT-RTX has no such engines",
    ),
    _cause(
        r"dataType \w+ unsupported by tensor's allowed TensorFormats",
        "a memory layout that is asked for does not go with its tensor's type",
        "mend build.io_formats: hwc8 and chw16 are for float16, linear is for every type",
    ),
    _cause(
        r"layer (?P<layer>.+?) is not supported on DLA and falling back to GPU is not enabled",
        "a DLA core cannot run layer {layer}",
        "write build.dla.gpu_fallback: true, or put the layer on the GPU (build.dla.layers)",
    ),
    _cause(
        r"Unable to load library: (?P<library>(?:lib)?nvinfer_[\w.]+)",
        "a library of TensorRT itself, {library}, is missing or cannot be loaded",
        "install this TensorRT again; where several are installed, LD_LIBRARY_PATH must name the "
        "folder of this one",
    ),
    _cause(
        r"Unable to load library: (?P<library>[^\s:]+): (?P<why>[^(]+?)(?: In \w| \(|$)",
        "the plugin library {library} cannot be loaded: {why}",
        "`ldd` shows what it lacks; it must be built for this TensorRT and CUDA",
    ),
    _cause(
        r"The timing cache will not be used|[Tt]iming cache is corrupted|invalid timing cache",
        "the timing cache is of another version or GPU, or damaged",
        "remove build.timing_cache.file, or make the file again on this machine",
    ),
    _cause(
        r"Network must have at least one output",
        "the network has no output",
        "the model must have at least one output that is not one of its inputs",
    ),
    _cause(
        r"Target GPU SM (?P<sm>\d+) is not supported by this TensorRT release"
        r"|Unsupported SM: (?P<hex>0x[0-9a-f]+)",
        "this release of TensorRT does not support this GPU",
        "install a release that does: 10 and 11 begin with compute capability 7.5, and 12.0 needs "
        "10.8 or later",
    ),
    _cause(
        r"Networks with (?P<type>\w+) (?:Q/DQ layers|precision) require hardware with",
        "this GPU does not compute in {type}",
        "leave this precision out for this GPU: fp8 begins with compute capability 8.9, bf16 with "
        "8.0",
    ),
    _cause(
        r"cudaError 35|cudaError 100|CUDA initialization failure",
        "a GPU with a driver is needed and there is none",
        NO_DRIVER,
    ),
)

NO_KERNEL = _cause(
    r"CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH|No valid engine configs for (?P<operation>\w+)",
    "it has no kernel for an operation of this engine on this GPU",
    "build another precision for this GPU; TensorRT-RTX compiles kernels where an engine is first "
    "run, so that the build could not know",
)
"""Said of an engine that runs for the first time."""

LOAD_CAUSES = (
    NO_KERNEL,
    _cause(
        r"magicTag|Magic tag does not match",
        "it does not begin as an engine of this TensorRT does",
        "`trtbuild inspect` says what the file is: an engine of TensorRT-RTX, one of TensorRT "
        "before 8.6, or one with another tool's header before it",
    ),
    _cause(
        r"Version tag does not match\. Note: Current Version: (?P<here>\d+), Serialized Engine "
        r"Version: (?P<there>\d+)",
        "another version of TensorRT built it (serialization {there}, this one has {here})",
        "build it with the version that runs it, or with build.version_compatible; where both are "
        "the same, two TensorRTs are installed",
    ),
    _cause(
        r"not compatible with this version of TensorRT, expecting library version "
        r"(?P<here>[\d.]+) got (?P<there>[\d.]+)",
        "TensorRT {there} built it, and {here} is to load it",
        "build it with the version that runs it, or with build.version_compatible",
    ),
    _cause(
        r"incompatible device, expecting compute (?P<here>[\d.]+) got compute (?P<there>[\d.]+)",
        "it was built for compute capability {there}, and this GPU has {here}",
        "build it on such a GPU, or with build.hardware_compatibility",
    ),
    _cause(
        r"Cannot deserialize plugin since corresponding IPluginCreator not found"
        r"|[Cc]ould not find plugin:? (?P<plugin>\w+)",
        "it holds a plugin that is not loaded",
        "load the library of the plugin first (build.plugins), or store it in the engine "
        "(build.plugins.serialize)",
    ),
    _cause(
        r"does not satisfy any optimization profiles|satisfyProfile",
        "a shape lies outside every optimization profile",
        "widen min and max of the input, or add a profile (build.profiles)",
    ),
    _cause(
        r"(?i)out ?of ?memory",
        "the GPU ran out of memory",
        "take a smaller batch or fewer streams, or end what else runs on this GPU",
    ),
    _cause(
        r"illegal memory access",
        "a kernel read or wrote memory that is not its own, and nothing can run in this process "
        "any more",
        "build with build.debug_synchronously: true, which names the layer at fault; most often "
        "it is a plugin",
    ),
)
"""What is said of an engine that is loaded or run."""

OPERATOR_REMEDY = (
    "replace what is refused by operators that are supported, in a surgery hook "
    '(hook: "surgery.py:function"); cut the model before it ({op: set_outputs, outputs: [...]}) '
    "and do the rest in your program; or export with another opset"
)

PARSER_CAUSES = (
    _cause(
        r"^\s*(Assertion failed: )?false\s*$|Plugin not found|Op type \S+ is not supported"
        r"|\S+ plugin creator version \d+ was not found",
        "the operator is not supported",
        OPERATOR_REMEDY,
    ),
    _cause(
        r"convertDtype\(",
        "its element type does not exist in TensorRT",
        "make the part behind it the model (onnx.utils.extract_model) and prepare the values in "
        "your program; supported are float32, float16, bfloat16, int64, int32, int8, "
        "uint8 and bool",
    ),
    _cause(
        r"Pre-opset 7 broadcasting",
        "operators of an opset below 7, which broadcasts in another way, are not supported",
        "export with opset 17 or later, or convert the file with onnx.version_converter",
    ),
    _cause(
        r"must have same input types\. But they are of types (?P<first>\w+) and (?P<second>\w+)",
        "its inputs have different types, {first} and {second}; networks are strongly typed",
        "put a Cast before one of the inputs, in the model or in a surgery hook; where the graph "
        "was lowered to fp16, keep_fp32 changes which nodes stay float32",
    ),
    _cause(
        r"Node input was not registered",
        "a tensor that it reads is made by no node",
        "the graph is broken: onnx.checker names the tensor; look at the surgery step before",
    ),
    _cause(
        r"value should have been set by symbolic execution",
        "the rank of its output depends on the length of an input",
        "make that length static: surgery {op: set_dims, tensors: {name: [2]}}",
    ),
)


def explain(text: str, causes: tuple[Cause, ...] = BUILD_CAUSES) -> Explanation | None:
    """The first cause in the table that a message matches."""
    for cause in causes:
        found = cause.pattern.search(text)
        if found is not None:
            return Explanation(cause.meaning.format(**found.groupdict()), cause.remedy)
    return None
