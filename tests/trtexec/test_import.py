"""trtexec's options become a recipe: all that it has ever had, and each in the right key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.project import Project
from trtbuild.errors import UsageError
from trtbuild.recipe.build_table import OPTIONS as BUILD_OPTIONS
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.schema import schema
from trtbuild.recipe.trtexec.convert import _WAYS, convert
from trtbuild.recipe.trtexec.export import (
    _GIVEN,
    _NO_OPTION,
    _POOLS,
    _WRITERS,
    Subject,
    command_for,
)
from trtbuild.recipe.trtexec.read import Call, call_of, lines_in
from trtbuild.recipe.trtexec.table import BY_NAME, OPTIONS, markdown
from trtbuild.recipe.trtexec.write import recipe_text
from trtbuild.recipe.yaml import parse


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
    known |= {f"inputs.NAME.{part}" for part in ("min", "opt", "max")}
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
    ("word", "near"),
    [("--onxn=a", "--onnx"), ("--minShape=a:1", "--minShapes"), ("--fp17", "--fp16")],
)
def test_an_unknown_option_is_told_with_the_nearest(word: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {near}"):
        call_of([word])


def test_an_option_that_is_like_no_other_is_told_too() -> None:
    with pytest.raises(UsageError, match="trtexec has no option '--zzzzqqqq'"):
        call_of(["--zzzzqqqq"])


SCRIPT = """#!/bin/bash
# trtexec --onnx=not-this.onnx
MODEL=models/net.onnx
export BATCH="8"
/usr/src/tensorrt/bin/trtexec --onnx=$MODEL --fp16 \\
    --minShapes='in:0':1x3x8x8 --optShapes="in:0":${BATCH}x3x8x8 \\
    --maxShapes=in:0:16x3x8x8 2>&1 | tee log.txt
tensorrt_rtx --onnx=other.onnx --computeCapabilities=86 > log
"""
LOG = """&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11] # trtexec --onnx=a.onnx --int8
[11/22/2026-20:00:00] [I] === Model Options ===
&&&& PASSED TensorRT.trtexec [TensorRT v101601] # trtexec --onnx=a.onnx --int8
"""


def test_the_commands_of_a_script_are_read_as_the_shell_reads_them() -> None:
    first, second = (line.call() for line in lines_in(SCRIPT))
    assert [str(option) for option in first.options] == [
        "--onnx=models/net.onnx",
        "--fp16",
        "--minShapes=in:0:1x3x8x8",
        "--optShapes=in:0:8x3x8x8",
        "--maxShapes=in:0:16x3x8x8",
    ]
    assert (first.backend, second.backend) == ("tensorrt", "tensorrt_rtx")


def test_a_log_is_read_by_its_running_line() -> None:
    (call,) = (line.call() for line in lines_in(LOG))
    assert [str(option) for option in call.options] == ["--onnx=a.onnx", "--int8"]


def test_a_variable_without_a_value_and_a_text_without_a_command_are_refused() -> None:
    with pytest.raises(UsageError, match="its variable has no value"):
        lines_in("trtexec --onnx=$MODEL")[0].call()
    with pytest.raises(UsageError, match="there is no trtexec command"):
        lines_in("echo hello")


def test_a_command_that_cannot_be_read_hides_no_other_one(project: Project) -> None:
    loop = "for B in 1 8; do trtexec --onnx=tiny.onnx --shapes=x:${B}x4; done\n"
    project.write("bench.sh", loop + "trtexec --onnx=tiny.onnx --shapes=x:${N:-2}x4\n")
    assert "shape: [2, 4]" in project.trtbuild("import-trtexec", "bench.sh", "--nth", "2").out
    first = project.trtbuild("import-trtexec", "bench.sh")
    assert first.code == 2
    assert "--shapes=x:${B}x4: its variable has no value here" in first.err


def test_a_value_that_is_no_part_of_its_option_is_told_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"'m\.onnx' stands alone") as caught:
        call_of(["trtexec", "--onnx", "m.onnx"])
    assert caught.value.hint == "if it is the value of --onnx: --onnx=m.onnx"


SHAPES = {
    "--optShapes=x:4x4": {"dtype": "float32", "shape": [4, 4]},
    "--shapes=x:2x4": {"dtype": "float32", "shape": [2, 4]},
    "--minShapes=x:1x4 --optShapes=x:4x4 --maxShapes=x:8x4": {
        "dtype": "float32",
        "min": [1, 4],
        "opt": [4, 4],
        "max": [8, 4],
    },
    "--minShapes=*:1x4 --maxShapes=x:8x4": {
        "dtype": "float32",
        "min": [1, 4],
        "opt": [8, 4],
        "max": [8, 4],
    },
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    found = Project(tmp_path).tiny()
    monkeypatch.chdir(found.folder)
    return found


def imported(project: Project, *words: str) -> tuple[dict[str, Any], str]:
    """The data of the recipe that a command becomes, and its text; it must be valid."""
    result = project.trtbuild("import-trtexec", "-o", "made.yaml", *words)
    assert (result.code, result.err) == (0, "")
    text = (project.folder / "made.yaml").read_text()
    (project.folder / "made.yaml").unlink()
    (project.folder / "copy.yaml").write_text(text)
    load_recipes([project.folder / "copy.yaml"])
    data = parse(text.encode()).data
    assert data is not None
    return data, text


@pytest.mark.parametrize("words", [words for words in SHAPES if "*" not in words])
def test_shapes_are_completed_as_trtexec_completes_them(project: Project, words: str) -> None:
    data, _ = imported(project, "--", "--onnx=tiny.onnx", *words.split())
    assert data["inputs"] == {"x": SHAPES[words]}


def test_a_dynamic_input_without_shapes_is_told(project: Project) -> None:
    data, text = imported(project, "--", "--onnx=tiny.onnx")
    assert data["inputs"] == {"x": {"dtype": "float32", "shape": [1, 4]}}
    assert "trtexec takes 1 for each" in text


def test_several_profiles_and_formats_become_the_keys_of_the_build(project: Project) -> None:
    data, _ = imported(
        project,
        "--",
        "--onnx=tiny.onnx",
        *(
            "--profile=0",
            "--minShapes=x:1x4",
            "--maxShapes=x:2x4",
            "--profile=1",
            "--optShapes=x:8x4",
        ),
        "--minShapes=x:1x4",
        "--maxShapes=x:8x4",
        "--inputIOFormats=fp32:chw32+chw",
    )
    assert data["inputs"]["x"]["max"] == [8, 4]
    assert len(data["build"]["profiles"]) == 2
    assert data["build"]["io_formats"] == {"x": ["chw32", "linear"]}


def test_what_is_obsolete_is_said_with_what_replaces_it(project: Project) -> None:
    words = "--onnx=tiny.onnx --optShapes=x:1x4 --fp16 --workspace=64 --calib=c.bin --batch=4"
    data, text = imported(project, f"trtexec {words} --minTiming=2 --saveEngine=m.plan --uff=m.uff")
    flat = " ".join(text.replace("#", " ").split())
    assert data["precisions"] == ["fp16"]
    assert data["build"] == {
        "backend": "tensorrt",
        "workspace": "64MiB",
        "avg_timing_iterations": 8,
    }
    for told in (
        "--workspace=64: obsolete: build.workspace has a unit",
        "--fp16: obsolete: precisions: [fp16] puts it into the graph",
        "--calib=c.bin: obsolete: calibration by TensorRT is gone since 11.0",
        "--batch=4: obsolete: implicit batch is gone since TensorRT 10.0",
        "--minTiming=2: obsolete: gone since TensorRT 10.0: build.avg_timing_iterations is left",
        "--saveEngine=m.plan: the engine is build/tiny/PRECISION/engine.plan",
        "--uff=m.uff: obsolete: UFF and Caffe models are gone",
    ):
        assert told in flat


def test_int8_without_data_is_calibrated_on_noise_and_that_is_said(project: Project) -> None:
    data, text = imported(project, "--", "--onnx=tiny.onnx", "--optShapes=x:4x4", "--best")
    assert data["precisions"] == ["fp32", "fp16", "int8", "best"]
    assert data["calibration"] == {"random": {"seed": 0}}
    assert "calibration on noise is good for measuring the speed" in text


def test_a_recipe_for_rtx_leaves_out_what_it_never_has(project: Project) -> None:
    words = "--onnx=tiny.onnx --optShapes=x:1x4 --computeCapabilities=86 --useDLACore=0"
    data, text = imported(project, "--", *words.split())
    assert data["build"] == {"backend": "tensorrt_rtx", "compute_capabilities": [86]}
    assert "build.dla.core: 0 is left out: TensorRT-RTX has no DLA" in text


def test_an_imported_recipe_runs(project: Project) -> None:
    words = "--onnx=tiny.onnx --optShapes=x:2x4 --computeCapabilities=86 --noTF32 --skipInference"
    result = project.trtbuild(
        "import-trtexec", "-o", "made.yaml", "--name", "m", "--", *words.split()
    )
    assert result.code == 0
    assert project.trtbuild("run", "made.yaml").code == 0
    assert (project.folder / "build/m/fp32/engine.plan").stat().st_size > 1000
    again = project.trtbuild("import-trtexec", "-o", "made.yaml", "--", *words.split())
    assert again.code == 2
    assert "this file is there already" in again.err


def test_a_command_without_a_model_is_refused(project: Project) -> None:
    result = project.trtbuild("import-trtexec", "--", "--loadEngine=m.plan")
    assert result.code == 2
    assert "no option names a model" in result.err


def test_a_script_of_several_commands_lets_one_choose(project: Project) -> None:
    project.write("bench.sh", SCRIPT)
    result = project.trtbuild("import-trtexec", "bench.sh", "--nth", "2")
    assert "compute_capabilities: [86]" in result.out
    assert "command 2 of 2" in result.err
    assert project.trtbuild("import-trtexec", "bench.sh", "--nth", "3").code == 2


def test_every_build_option_has_its_option_of_trtexec_or_a_reason() -> None:
    for row in BUILD_OPTIONS:
        told = row.key in _WRITERS or row.path[-1] in _POOLS or row.key in (*_NO_OPTION, *_GIVEN)
        given_by_file = row.key in ("timing_cache.file", "device")
        none = {
            *("mark_outputs", "refit_weights", "strict_nans", "timing_cache.editable"),
            *("debug_synchronously", "user_allocation", "memory_pools.tactic_dram"),
        }
        assert told or given_by_file or row.kind in ("tactic", "preview") or row.key in none, (
            row.key
        )


def test_a_recipe_becomes_the_nearest_command(project: Project) -> None:
    project.replace(
        "tiny.yaml",
        "build: {backend: tensorrt_rtx, optimization_level: 0}",
        "build: {backend: tensorrt, workspace: 1MiB, tf32: false, refit: all, strict_nans: true, "
        "tactic_sources: {jit_convolutions: false}, device: 1}",
    )
    result = project.trtbuild("export-trtexec", "tiny.yaml", "--json")
    (variant,) = result.json["variants"].values()
    words = variant["command"]
    assert words[0] == "trtexec"
    assert words[1].endswith("build/tiny/surgery/model.onnx")
    for word in (
        *("--minShapes=x:1x4", "--optShapes=x:2x4", "--maxShapes=x:8x4", "--noTF32", "--refit"),
        *("--memPoolSize=workspace:1048576B", "--tacticSources=-JIT_CONVOLUTIONS", "--device=1"),
        *("--skipInference", "--stronglyTyped"),
    ):
        assert word in words
    assert "build.strict_nans: trtexec has no option for it" in variant["lacking"]
    text = project.trtbuild("export-trtexec", "tiny.yaml").out
    assert "# not in this command: verify: " in text


def test_there_and_back_again_the_options_are_the_same(project: Project) -> None:
    project.replace(
        "tiny.yaml",
        "optimization_level: 0",
        "optimization_level: 2, workspace: 1GiB, tf32: false, weight_streaming: true, "
        "profiling_verbosity: detailed, max_aux_streams: 0, tiling_level: fast, direct_io: true, "
        "compute_capabilities: [86, 120], memory_pools: {tactic_shared_memory: 48KiB}",
    )
    recipe = load_recipes([project.folder / "tiny.yaml"])[0]
    subject = Subject("tiny.onnx", "e.plan", None)
    command = command_for(recipe, "fp32", recipe.build.options, subject)
    call = call_of(command.words)
    (project.folder / "again.yaml").write_text(recipe_text(call, convert(call, None)))
    again = load_recipes([project.folder / "again.yaml"])[0]
    assert again.build == recipe.build
    assert again.inputs == recipe.inputs


def test_keys_that_this_version_lacks_are_comments(project: Project) -> None:
    known = schema()["$defs"]["benchmark"]["properties"]
    _, text = imported(project, "--", "--onnx=tiny.onnx", "--optShapes=x:1x4", "--idleTime=5")
    if "idle" not in known:
        assert "benchmark.idle: 5ms: not a key of this version's benchmark" in text
    else:
        assert "idle: 5ms" in text
