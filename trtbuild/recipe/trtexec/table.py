"""Every option that trtexec has had from 20.11 to 11.1, and what became of it here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One option of trtexec.

    `key` is the recipe's key, several of them with spaces between, and "" where there is none;
    `way` says how its value becomes the key's (the functions of `convert`). `note` is for the
    person: what replaces it, or why there is no key. It is written into the recipe where there is
    no key, and where the option is `obsolete`.
    """

    name: str
    way: str
    key: str = ""
    note: str = ""
    obsolete: bool = False


def _rows(way: str, *rows: tuple[str, str]) -> Iterable[Row]:
    return (Row(name, way, key) for name, key in rows)


def _notes(note: str, *names: str, obsolete: bool = False) -> Iterable[Row]:
    return (Row(name, "note", "", note, obsolete) for name in names)


_UFF = "UFF and Caffe models are gone since TensorRT 9.1: convert the model to ONNX"
_BATCH = "implicit batch is gone since TensorRT 10.0: the batch is in min, opt and max of `inputs`"
_CALIBRATION = (
    "calibration by TensorRT is gone since 11.0: Q/DQ goes into the graph, with ranges of "
    "calibration: {dataset: ...} or of a calibration cache"
)
_WEAK = (
    "weak typing is gone since TensorRT 11.0: types are in the graph, and "
    "precisions.NAME.keep_fp32 names what stays in fp32"
)
_SAFETY = "for the safety runtime of DriveOS, which this tool does not build for"
_TUNING = "searching build routes is trtexec's: put the one that it finds into build.build_route"
_ACCURACY = "outputs are compared by verify.tolerance, with the source model on your data"
_ALWAYS = "is always so here"
_REPORT = "part of benchmark.json, which holds all measurements"

OPTIONS: tuple[Row, ...] = (
    # the model
    Row("--onnx", "model", "model.onnx"),
    Row("--uff", "foreign", "model.onnx", _UFF, obsolete=True),
    Row("--model", "foreign", "model.onnx", _UFF, obsolete=True),
    *_notes(_UFF, "--deploy", "--uffInput", obsolete=True),
    Row("--uffNHWC", "note", "", f"{_UFF}; a layout is build.io_formats", obsolete=True),
    Row("--output", "outputs", "outputs", "outputs are kept by `outputs`", obsolete=True),
    *_notes(_BATCH, "--maxBatch", "--batch", obsolete=True),
    Row("--explicitBatch", "note", "", "a network has explicit batch always", obsolete=True),
    # shapes
    *_rows(
        "shapes",
        ("--minShapes", "inputs.NAME.min inputs.NAME.values"),
        ("--optShapes", "inputs.NAME.opt inputs.NAME.values"),
    ),
    *_rows(
        "shapes",
        ("--maxShapes", "inputs.NAME.max inputs.NAME.values"),
        ("--shapes", "benchmark.shapes"),
    ),
    Row("--profile", "profile", "build.profiles"),
    *_notes(
        _CALIBRATION, "--minShapesCalib", "--optShapesCalib", "--maxShapesCalib", obsolete=True
    ),
    *_notes(_CALIBRATION, "--calibProfile", obsolete=True),
    *_rows("formats", ("--inputIOFormats", "build.io_formats")),
    *_rows("formats", ("--outputIOFormats", "build.io_formats")),
    # precision
    *(
        Row(
            f"--{name}",
            "precision",
            "precisions",
            f"precisions: [{name}] puts it into the graph",
            obsolete=True,
        )
        for name in ("fp16", "bf16", "int8", "fp8", "int4")
    ),
    Row(
        "--best",
        "precision",
        "precisions",
        "each candidate is built, and the fastest that passes verify is kept",
        obsolete=True,
    ),
    Row("--calib", "calibration", "calibration.table", _CALIBRATION, obsolete=True),
    Row("--precisionConstraints", "constraints", "", _WEAK, obsolete=True),
    Row("--layerPrecisions", "layer_types", "precisions", _WEAK, obsolete=True),
    *_notes(_WEAK, "--layerOutputTypes", obsolete=True),
    Row(
        "--stronglyTyped",
        "strong",
        "",
        f"a strongly typed network {_ALWAYS}; fp32 leaves the graph's own types",
    ),
    Row("--explicitPrecision", "note", "", f"explicit precision {_ALWAYS}", obsolete=True),
    Row("--noTF32", "off", "build.tf32"),
    Row("--sparsity", "sparsity", "build.sparsity"),
    # the builder
    Row("--workspace", "mebibytes", "build.workspace", "build.workspace has a unit", obsolete=True),
    Row("--memPoolSize", "pools", "build.workspace build.memory_pools"),
    Row("--noBuilderCache", "off", "build.timing_cache.enabled"),
    Row("--timingCacheFile", "timing", "build.timing_cache.file"),
    *_rows("on", ("--errorOnTimingCacheMiss", "build.timing_cache.error_on_miss")),
    *_rows("off", ("--noCompilationCache", "build.compilation_cache")),
    Row(
        "--minTiming",
        "note",
        "",
        "gone since TensorRT 10.0: build.avg_timing_iterations is left",
        obsolete=True,
    ),
    *_rows("int", ("--avgTiming", "build.avg_timing_iterations")),
    Row(
        "--heuristic",
        "note",
        "",
        "replaced by build.optimization_level: 2 and below",
        obsolete=True,
    ),
    *_rows("int", ("--builderOptimizationLevel", "build.optimization_level")),
    *_rows(
        "limit", ("--maxTactics", "build.max_tactics"), ("--maxAuxStreams", "build.max_aux_streams")
    ),
    *_rows("tiling", ("--tilingOptimizationLevel", "build.tiling_level")),
    *_rows("limit", ("--l2LimitForTiling", "build.l2_limit_for_tiling")),
    *_rows("switches", ("--tacticSources", "build.tactic_sources"), ("--preview", "build.preview")),
    Row(
        "--nvtxMode",
        "verbosity",
        "build.profiling_verbosity",
        "called --profilingVerbosity since 8.2",
        obsolete=True,
    ),
    *_rows("verbosity", ("--profilingVerbosity", "build.profiling_verbosity")),
    *_rows("all", ("--refit", "build.refit")),
    *_rows("on", ("--stripWeights", "build.strip_weights")),
    Row("--weightless", "on", "build.strip_weights", "called --stripWeights", obsolete=True),
    *_rows("strip_all", ("--stripAllWeights", "build.strip_weights build.refit")),
    *_rows("on", ("--allowWeightStreaming", "build.weight_streaming")),
    *_rows("on", ("--versionCompatible", "build.version_compatible")),
    *_rows("on", ("--vc", "build.version_compatible")),
    *_rows("on", ("--excludeLeanRuntime", "build.exclude_lean_runtime")),
    *_rows("hardware", ("--hardwareCompatibilityLevel", "build.hardware_compatibility")),
    *_rows("platform", ("--runtimePlatform", "build.runtime_platform")),
    *_rows("on", ("--directIO", "build.direct_io"), ("--monitorMemory", "build.monitor_memory")),
    *_rows("on", ("--distributiveIndependence", "build.distributive_independence")),
    *_rows("text", ("--setBuildRoute", "build.build_route")),
    *_rows("names", ("--markDebug", "build.debug_tensors")),
    *_rows("on", ("--markUnfusedTensorsAsDebugTensors", "build.debug_unfused_tensors")),
    *_rows("off", ("--pluginInstanceNorm", "build.parser_flags.native_instancenorm")),
    *_rows("off", ("--pi", "build.parser_flags.native_instancenorm")),
    *_rows("on", ("--enablePluginOverride", "build.parser_flags.enable_plugin_override")),
    *_rows(
        "on",
        (
            "--uint8AsymmetricQuantizationDLA",
            "build.parser_flags.enable_uint8_and_asymmetric_quantization_dla",
        ),
        ("--reportCapabilityDLA", "build.parser_flags.report_capability_dla"),
        ("--adjustForDLA", "build.parser_flags.adjust_for_dla"),
    ),
    *_rows("names", ("--decomposableAttentions", "build.decomposable_attentions")),
    # the machine
    *_rows("int", ("--device", "build.device")),
    *_rows("limit", ("--useDLACore", "build.dla.core")),
    *_rows("on", ("--allowGPUFallback", "build.dla.gpu_fallback")),
    *_rows("layers", ("--layerDeviceTypes", "build.dla.layers")),
    *_rows("dla", ("--buildDLAStandalone", "build.engine_capability build.direct_io")),
    Row(
        "--plugins",
        "paths",
        "build.plugins.static",
        "called --staticPlugins since 8.6",
        obsolete=True,
    ),
    *_rows("paths", ("--staticPlugins", "build.plugins.static")),
    *_rows("paths", ("--dynamicPlugins", "build.plugins.dynamic")),
    *_rows("paths", ("--setPluginsToSerialize", "build.plugins.serialize")),
    Row("--ignoreParsedPluginLibs", "note", "", "only libraries that build.plugins names are used"),
    *_rows("on", ("--useGpu", "build.compute_capabilities")),
    *_rows("capabilities", ("--computeCapabilities", "build.compute_capabilities")),
    *_notes(_SAFETY, "--safe", "--safetyPlugins", "--consistency", "--restricted", "--cpuOnly"),
    *_notes(_SAFETY, "--dumpKernelText", "--remoteAutoTuningConfig"),
    # measuring
    *_rows("iterations", ("--iterations", "benchmark.iterations")),
    *_rows("int", ("--infStreams", "benchmark.streams")),
    Row("--streams", "int", "benchmark.streams", "called --infStreams since 8.6", obsolete=True),
    *_rows("milliseconds", ("--warmUp", "benchmark.warmup"), ("--sleepTime", "benchmark.sleep")),
    *_rows("milliseconds", ("--idleTime", "benchmark.idle")),
    *_rows("duration", ("--duration", "benchmark.duration")),
    *_rows(
        "off", ("--exposeDMA", "benchmark.overlap"), ("--noDataTransfers", "benchmark.transfers")
    ),
    *_rows("on", ("--includeDataTransfers", "benchmark.transfers")),
    *_rows("on", ("--useSpinWait", "benchmark.spin_wait"), ("--threads", "benchmark.threads")),
    *_rows("off", ("--noSpinWait", "benchmark.spin_wait")),
    *_rows("on", ("--useCudaGraph", "benchmark.cuda_graph")),
    *_rows("off", ("--noCudaGraph", "benchmark.cuda_graph")),
    *_rows("graph", ("--rtxCudaGraphStrategy", "benchmark.cuda_graph")),
    *_rows("percentiles", ("--percentile", "benchmark.percentiles")),
    *_rows("int", ("--useProfile", "benchmark.profile_index")),
    *_rows("allocation", ("--allocationStrategy", "benchmark.allocation")),
    *_rows("number", ("--persistentCacheRatio", "benchmark.persistent_cache_ratio")),
    *_rows("budget", ("--weightStreamingBudget", "benchmark.weight_streaming_budget")),
    *_rows("on", ("--timeDeserialize", "benchmark.time_deserialize")),
    *_rows("on", ("--timeRefit", "benchmark.time_refit")),
    *_rows("kept", ("--runtimeCacheFile", "benchmark.runtime_cache")),
    *_rows("specialization", ("--specializeStrategyDS", "benchmark.kernel_specialization")),
    *_rows("files", ("--loadInputs", "benchmark.inputs.files")),
    *_rows("on", ("--dumpProfile", "benchmark.profile")),
    *_rows("profile_file", ("--exportProfile", "benchmark.profile")),
    *_rows("export", ("--exportTimes", "benchmark.export")),
    *_rows("export", ("--exportOutput", "benchmark.export"), ("--dumpOutput", "benchmark.export")),
    *_rows("export", ("--exportLayerInfo", "benchmark.export")),
    *_rows("export", ("--dumpLayerInfo", "benchmark.export")),
    Row("--dumpRawBindingsToFile", "export", "benchmark.export"),
    *_notes(f"a profile of layers in a run apart {_ALWAYS}", "--separateProfileRun"),
    *_notes(_REPORT, "--avgRuns", obsolete=True),
    *_notes("`trtbuild inspect ENGINE` tells it", "--dumpRefit", "--dumpOptimizationProfile"),
    *_notes("`trtbuild inspect ENGINE` tells it, without a GPU", "--getPlanVersionOnly"),
    *_notes("memory of the host is pinned, never managed", "--useManagedMemory"),
    *_notes(
        "debug tensors are built in; reading them is your program's",
        "--saveDebugTensors",
        "--saveAllDebugTensors",
    ),
    *_notes(
        "an engine is built again when its weights change; identical ones come from the cache",
        "--refitFromOnnx",
    ),
    *_notes(_ACCURACY, "--loadRefOutputs", "--refPair", "--accuracyAlgorithm", "--atol", "--rtol"),
    *_notes(_ACCURACY, "--accuracyThreshold"),
    *_notes(_TUNING, "--tuneBuildRoutes", "--tuneBuildRouteFile", "--tuningSearch"),
    *_notes(_TUNING, "--tuningCacheFile", "--tuningTimeOut", "--saveAllEngines", "--continue"),
    *_notes(_TUNING, "--tuningResultFile", "--helpBuildRoute", "--dryRun"),
    # the run
    Row("--saveEngine", "engine", "", "the engine is build/{name}/PRECISION/engine.plan"),
    Row(
        "--loadEngine",
        "note",
        "",
        "a recipe builds its engine; `trtbuild run` takes it from the cache when nothing changed. "
        "`trtbuild bench ENGINE` measures one that is there, without a recipe",
    ),
    Row(
        "--buildOnly", "skip", "", "--skipInference since 8.6: leave `benchmark` out", obsolete=True
    ),
    Row("--skipInference", "skip", "", "leave `benchmark` out"),
    *_notes("`trtbuild run --verbose`; build.log always holds all", "--verbose"),
    *_notes("`trtbuild --help`", "--help", "-h"),
    *_notes("engines are loaded by the runtime that built them", "--useRuntime", "--leanDLLPath"),
    *_notes("a detail of loading that changes no result", "--asyncFileReader"),
    *_notes("temporary files lie where TMPDIR says", "--tempdir"),
    *_notes(
        "what the runtime may write for lean runtimes and plugins in an engine is left to TensorRT",
        "--tempfileControls",
    ),
)

BY_NAME = {row.name: row for row in OPTIONS}

PREFACE = """\
# trtexec, option by option

Every option that trtexec has had from TensorRT 7.2 (container 20.11) to 11.1, and that of
TensorRT-RTX, with the recipe's key that it becomes. `trtbuild import-trtexec -- ARGS` writes the
recipe of a command line, a script or a log; `trtbuild export-trtexec RECIPE` goes the other way,
with files as they are found from the present folder, in the words of a version that has all that
the recipe asks for, and says what trtexec cannot express. This page is made from the table that
both work by.

Scripts of POSIX shells, Windows' cmd and PowerShell, Dockerfiles, Makefiles and Python programs are
read from the top: a variable has the value that holds at its line. Where a line may not have been
passed, or a program computes the value, the command is refused, and its line is named.

| option | here | what to know |
|---|---|---|
"""


def markdown() -> str:
    """The table as a document: the content of docs/trtexec.md."""
    lines = [
        f"| `{row.name}` | {', '.join(f'`{key}`' for key in row.key.split())} | "
        f"{'obsolete: ' if row.obsolete else ''}{row.note} |"
        for row in sorted(OPTIONS, key=lambda row: row.name.lower())
    ]
    return PREFACE + "\n".join(lines) + "\n"


RTX_ONLY = frozenset(
    {
        *("--useGpu", "--computeCapabilities", "--runtimeCacheFile", "--specializeStrategyDS"),
        "--rtxCudaGraphStrategy",
    }
)
"""Options that only TensorRT-RTX's own program has."""

REPEATABLE = frozenset(
    {
        *("--profile", "--minShapes", "--optShapes", "--maxShapes", "--output", "--uffInput"),
        *("--plugins", "--staticPlugins", "--dynamicPlugins", "--setPluginsToSerialize"),
        "--safetyPlugins",
    }
)
"""Options that trtexec takes more than once; a second one of any other is unknown to it."""
