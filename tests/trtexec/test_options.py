"""trtexec's options: all that it has ever had, each in the right key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trtbuild.errors import UsageError
from trtbuild.recipe.build_table import OPTIONS as BUILD_OPTIONS
from trtbuild.recipe.trtexec.convert import _WAYS, convert
from trtbuild.recipe.trtexec.read import Call, call_of, lines_in
from trtbuild.recipe.trtexec.table import BY_NAME, OPTIONS, markdown


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


# trtexec --help of the container 20.11 (TensorRT 7.2.1), without -h, the short form of --help
OF_20_11 = words_of("""
--uff --onnx --model --deploy --output --uffInput --uffNHWC --maxBatch --explicitBatch --minShapes
--optShapes --maxShapes --minShapesCalib --optShapesCalib --maxShapesCalib --inputIOFormats
--outputIOFormats --workspace --noBuilderCache --nvtxMode --minTiming --avgTiming --noTF32 --refit
--fp16 --int8 --best --calib --safe --saveEngine --loadEngine --tacticSources --batch --shapes
--loadInputs --iterations --warmUp --duration --sleepTime --streams --exposeDMA --noDataTransfers
--useSpinWait --threads --useCudaGraph --separateProfileRun --buildOnly --verbose --avgRuns
--percentile --dumpRefit --dumpOutput --dumpProfile --exportTimes --exportOutput --exportProfile
--device --useDLACore --allowGPUFallback --plugins --help
""")

# what 10.16 and 11.1 have beside them, and TensorRT-RTX's program
LATER = words_of("""
--memPoolSize --profilingVerbosity --bf16 --fp8 --int4 --stronglyTyped --precisionConstraints
--layerPrecisions --layerOutputTypes --layerDeviceTypes --decomposableAttentions --calibProfile
--profile --stripWeights --stripAllWeights --weightless --allowWeightStreaming
--weightStreamingBudget --versionCompatible --vc --excludeLeanRuntime --useRuntime --leanDLLPath
--hardwareCompatibilityLevel --runtimePlatform --sparsity --directIO --builderOptimizationLevel
--maxTactics --tilingOptimizationLevel --l2LimitForTiling --maxAuxStreams --timingCacheFile
--noCompilationCache --errorOnTimingCacheMiss --preview --pluginInstanceNorm --pi
--enablePluginOverride --uint8AsymmetricQuantizationDLA --reportCapabilityDLA --adjustForDLA
--buildDLAStandalone --staticPlugins --dynamicPlugins --setPluginsToSerialize
--ignoreParsedPluginLibs --safetyPlugins --dumpKernelText --consistency --restricted
--remoteAutoTuningConfig --cpuOnly --monitorMemory --distributiveIndependence --markDebug
--markUnfusedTensorsAsDebugTensors --saveAllDebugTensors --saveDebugTensors --asyncFileReader
--getPlanVersionOnly --tempdir --tempfileControls --infStreams --idleTime --useManagedMemory
--timeDeserialize --timeRefit --persistentCacheRatio --useProfile --allocationStrategy
--refitFromOnnx --dumpLayerInfo --exportLayerInfo --dumpOptimizationProfile --skipInference
--dumpRawBindingsToFile --includeDataTransfers --noSpinWait --noCudaGraph --loadRefOutputs
--refPair --accuracyAlgorithm --atol --rtol --accuracyThreshold --tuneBuildRoutes
--tuneBuildRouteFile --tuningSearch --tuningCacheFile --tuningTimeOut --saveAllEngines --dryRun
--continue --helpBuildRoute --setBuildRoute --tuningResultFile
--useGpu --computeCapabilities --runtimeCacheFile --specializeStrategyDS --rtxCudaGraphStrategy
""")

BENCHMARK = {
    *("iterations", "streams", "warmup", "sleep", "idle", "duration", "overlap", "transfers"),
    *("spin_wait", "threads", "cuda_graph", "percentiles", "profile_index", "allocation"),
    *("persistent_cache_ratio", "weight_streaming_budget", "time_deserialize", "time_refit"),
    *("runtime_cache", "kernel_specialization", "inputs.files", "profile", "export", "shapes"),
}
"""Keys of the benchmark section that options become, where this version has them."""


def made_of(*words: str) -> dict[str, Any]:
    """The values of some options beside a model that is not there, but for what is always so."""
    call = call_of(["--onnx=tiny.onnx", *words])
    always = convert(Call((), call.backend), None).values
    values = convert(call, None).values
    return {key: value for key, value in values.items() if always.get(key) != value}


def test_there_were_61_options_in_20_11() -> None:
    assert len(OF_20_11) == len(set(OF_20_11)) == 61


@pytest.mark.parametrize("name", [*OF_20_11, "-h", *LATER])
def test_every_option_becomes_a_key_or_has_a_reason(name: str) -> None:
    row = BY_NAME[name]
    assert row.key or row.note
    assert row.way in _WAYS
    known = {f"build.{option.key}" for option in BUILD_OPTIONS}
    known |= {f"benchmark.{key}" for key in BENCHMARK}
    known |= {"model.onnx", "outputs", "precisions", "calibration.table"}
    known |= {f"inputs.NAME.{part}" for part in ("min", "opt", "max", "values")}
    for key in row.key.split():
        groups = [item for item in known if item.startswith(f"{key}.")]
        assert key in known or groups, key


def test_the_document_is_made_from_the_table() -> None:
    assert (Path(__file__).parents[2] / "docs/trtexec.md").read_text() == markdown()


def test_no_option_is_in_the_table_twice_or_unknown() -> None:
    assert len(BY_NAME) == len(OPTIONS)
    assert set(BY_NAME) == {*OF_20_11, "-h", *LATER, "--explicitPrecision", "--heuristic"}


GIVEN = {
    "--workspace=4096": {"build.workspace": "4096MiB"},
    "--memPoolSize=workspace:1.5G,tacticSharedMem:48K,dlaSRAM:1": {
        "build.workspace": "1.5GiB",
        "build.memory_pools.tactic_shared_memory": "48KiB",
        "build.memory_pools.dla_managed_sram": "1MiB",
    },
    "--noTF32": {"build.tf32": False},
    "--noBuilderCache": {"build.timing_cache.enabled": False},
    "--nvtxMode=verbose": {"build.profiling_verbosity": "detailed"},
    "--avgTiming=16": {"build.avg_timing_iterations": 16},
    "--refit": {"build.refit": "all"},
    "--stripAllWeights": {"build.strip_weights": True, "build.refit": "all"},
    "--tacticSources=-CUDNN,+JIT_CONVOLUTIONS": {
        "build.tactic_sources.cudnn": False,
        "build.tactic_sources.jit_convolutions": True,
    },
    "--preview=+aliasedPluginIO1003": {"build.preview.aliased_plugin_io_10_03": True},
    "--hardwareCompatibilityLevel=ampere+": {"build.hardware_compatibility": "ampere_plus"},
    "--runtimePlatform=WindowsAMD64": {"build.runtime_platform": "windows_amd64"},
    "--sparsity=force": {"build.sparsity": True},
    "--maxTactics=-1": {},
    "--maxAuxStreams=2": {"build.max_aux_streams": 2},
    "--tilingOptimizationLevel=3": {"build.tiling_level": "full"},
    "--pi": {"build.parser_flags.native_instancenorm": False},
    "--useDLACore=1": {"build.dla.core": 1},
    "--useDLACore=-1": {},
    "--iterations=0": {"benchmark.iterations": 1},
    "--layerDeviceTypes=a:GPU,b:DLA": {"build.dla.layers": {"a": "gpu", "b": "dla"}},
    "--buildDLAStandalone": {
        "build.engine_capability": "dla_standalone",
        "build.direct_io": True,
        "build.dla.core": 0,
    },
    "--plugins=a.so": {"build.plugins.static": ["a.so"]},
    "--dynamicPlugins=a.so --dynamicPlugins=b.so": {"build.plugins.dynamic": ["a.so", "b.so"]},
    "--computeCapabilities=86,89": {"build.compute_capabilities": [86, 89]},
    "--useGpu": {"build.compute_capabilities": ["current"]},
    "--markDebug=x,y": {"build.debug_tensors": ["x", "y"]},
    "--warmUp=500": {"benchmark.warmup": "500ms"},
    "--duration=2.5": {"benchmark.duration": "2.5s"},
    "--streams=4": {"benchmark.streams": 4},
    "--percentile=90,99.9": {"benchmark.percentiles": [90.0, 99.9]},
    "--exposeDMA": {"benchmark.overlap": False},
    "--noDataTransfers": {"benchmark.transfers": False},
    "--useCudaGraph": {"benchmark.cuda_graph": True},
    "--rtxCudaGraphStrategy=disable": {"benchmark.cuda_graph": False},
    "--weightStreamingBudget=40%": {"benchmark.weight_streaming_budget": "40%"},
    "--weightStreamingBudget=-1": {"benchmark.weight_streaming_budget": "auto"},
    "--weightStreamingBudget=-2": {},
    "--weightStreamingBudget=1000000": {"benchmark.weight_streaming_budget": 1000000},
    "--weightStreamingBudget=1.5g": {"benchmark.weight_streaming_budget": "1.5GiB"},
    "--loadInputs=x:a.bin,y:0:b.bin,'z':c:d.bin": {
        "benchmark.inputs.files": {"x": "a.bin", "y:0": "b.bin", "z": "c:d.bin"}
    },
    "--preview=+runtimeActivationResize": {"build.preview.runtime_activation_resize_10_10": True},
    "--preview=-fasterDynamicShapes0805": {},
    "--tacticSources=-cublasLt,+cublas_lt": {"build.tactic_sources.cublas_lt": True},
    "--hardwareCompatibilityLevel=sameComputeCapability": {
        "build.hardware_compatibility": "same_compute_capability"
    },
    "--noSpinWait": {},
    "--allocationStrategy=profile": {"benchmark.allocation": "profile"},
    "--specializeStrategyDS=eager": {"benchmark.kernel_specialization": "eager"},
    "--exportTimes=t.json": {"benchmark.export": ["times"]},
    "--output=a,b": {"outputs": ["a", "b"]},
}


@pytest.mark.parametrize("words", GIVEN)
def test_an_option_becomes_its_key(words: str) -> None:
    values = made_of(*words.split())
    del values["model.onnx"]
    if words == "--noSpinWait":  # of 11.0, which measures in another way
        assert values == {"benchmark.transfers": False, "benchmark.cuda_graph": True}
    else:
        assert values == GIVEN[words]


@pytest.mark.parametrize(
    "word",
    [
        "--memPoolSize=workspce:1",
        "--avgTiming=many",
        "--sparsity=some",
        "--runtimePlatform=mac",
        "--tilingOptimizationLevel=9",
        "--workspace=1T",
        "--tacticSources=CUDNN",
        "--tacticSources=+CUDDN",
        "--preview=+everything",
        "--hardwareCompatibilityLevel=hopper",
        "--profilingVerbosity=loud",
        "--weightStreamingBudget=101%",
        "--allocationStrategy=dynamic",
        "--layerDeviceTypes=a:TPU",
    ],
)
def test_a_value_that_trtexec_refuses_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="trtexec does not take this value"):
        made_of(word)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("--duration=-1", "until it is stopped"),
        ("--workspace=0", "the least that build.workspace takes is 1B"),
        ("--memPoolSize=workspace:1G,dlaSRAM:0K", "least that build.memory_pools.dla_managed_sram"),
    ],
)
def test_a_value_that_no_recipe_has_is_told_by_what_it_does(word: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        made_of(word)


NOTES = {
    "--sparsity=force": "weights are not rewritten here",
    "--dumpRawBindingsToFile": "tofile(FILE) makes the raw file",
    "--exportProfile=p.json": "it is profile.json in build/{name}/PRECISION",
    "--preview=-fasterDynamicShapes0805": "is always on, and cannot be switched off",
    "--tempfileControls=in_memory:allow": "left to TensorRT",
    "--iterations=0": "the duration alone decides",
}


@pytest.mark.parametrize("word", NOTES)
def test_what_differs_from_trtexec_is_noted(word: str) -> None:
    notes = convert(call_of(["--onnx=tiny.onnx", word]), None).notes
    assert any(note.startswith(word) and NOTES[word] in note for note in notes)


@pytest.mark.parametrize(
    "word", ["--saveAllEngines", "--dryRun", "--continue", "--tuningSearch=fast"]
)
def test_an_option_of_a_newer_trtexec_measures_as_that_does(word: str) -> None:
    assert made_of(word)["benchmark.transfers"] is False
    assert made_of("--inputIOFormats=chw")["benchmark.transfers"] is False
    assert "benchmark.transfers" not in made_of("--inputIOFormats=fp32:chw")


def test_an_option_that_trtexec_takes_once_is_refused_twice() -> None:
    with pytest.raises(UsageError, match=r"--onnx=b: --onnx=a stands before it") as caught:
        lines_in("\ntrtexec --onnx=a --fp16 --onnx=b")[0].call()
    assert caught.value.where == "line 2"
    call_of(["--onnx=a", "--staticPlugins=a.so", "--staticPlugins=b.so"])


@pytest.mark.parametrize(
    ("word", "near"),
    [("--onxn=a", "--onnx"), ("--minShape=a:1", "--minShapes"), ("--fp17", "--fp16")],
)
def test_an_unknown_option_is_told_with_the_nearest(word: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {near}"):
        call_of([word])


def test_an_option_that_is_like_no_other_is_told_too() -> None:
    with pytest.raises(UsageError, match="trtexec has no option '--zzzzqqqq'"):
        call_of(["--zzzzqqqq"])
