"""A recipe from a command line is valid, runs, and gives the same command line and recipe again."""

from __future__ import annotations

import shlex

import pytest

from tests.project import Project
from tests.trtexec.commands import again, data_of, imported, trtbuild
from tests.trtexec.samples import VALUES, given
from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec.convert import convert
from trtbuild.recipe.trtexec.read import call_of, lines_in
from trtbuild.recipe.trtexec.table import BY_NAME, OPTIONS

# What takes part in no recipe of its own: another model, or a value that needs others.
BESIDE = {
    "--uff": [],
    "--model": [],
    "--outputIOFormats": [],
    "--excludeLeanRuntime": ["--versionCompatible"],
    "--allowGPUFallback": ["--useDLACore=0"],
    "--weightStreamingBudget": ["--allowWeightStreaming"],
}


CHANGING_NOTHING = ("--timingCacheFile", "--profile", "--inputIOFormats", "--outputIOFormats")


@pytest.mark.parametrize("name", [row.name for row in OPTIONS])
def test_every_option_with_a_value_makes_a_recipe_that_is_valid(
    project: Project, name: str
) -> None:
    model = [] if name in ("--uff", "--model", "--onnx") else ["--onnx=tiny.onnx"]
    shapes = [] if name in ("--shapes", "--optShapes") else ["--optShapes=x:4x4"]
    words = [*model, given(name), *shapes, *BESIDE.get(name, [])]
    recipe = imported(project, *words)
    row = BY_NAME[name]
    text = (project.folder / "made.yaml").read_text()
    flat = " ".join(text.replace("\n#", " ").split())
    if row.note and not row.key:
        assert row.note.split("{")[0] in flat
    if row.key.startswith("build.") and name not in CHANGING_NOTHING:
        keys = [key.removeprefix("build.").split(".")[0] for key in row.key.split()]
        written = {*recipe.build.options, *(role.split("/")[0] for role, _ in recipe.build.files)}
        assert written.intersection(keys) or recipe.build.device == 1


def test_there_is_a_value_for_every_option_that_takes_one() -> None:
    takes = {row.name for row in OPTIONS if row.way not in {*FLAGS, "note"}}
    assert takes - set(VALUES) == {"--dumpOutput", "--dumpLayerInfo", "--dumpRawBindingsToFile"}


FLAGS = ("on", "off", "all", "skip", "strip_all", "dla", "precision", "strong")


ROUNDS = {
    "plain": "--optShapes=x:4x4",
    "dynamic": "--minShapes=x:1x4 --optShapes=x:4x4 --maxShapes=x:8x4 --shapes=x:2x4",
    "search": (
        "--optShapes=x:4x4 --builderOptimizationLevel=4 --maxTactics=9 --maxAuxStreams=0 "
        "--tilingOptimizationLevel=2 --l2LimitForTiling=1048576 --avgTiming=3 --noTF32 "
        "--memPoolSize=workspace:1.5G,tacticSharedMem:48K --sparsity=enable"
    ),
    "weights": "--optShapes=x:4x4 --stripAllWeights --allowWeightStreaming --directIO",
    "switches": (
        "--optShapes=x:4x4 --tacticSources=-CUBLASLT,+JIT_CONVOLUTIONS --vc --excludeLeanRuntime "
        "--preview=+aliasedPluginIO1003,-runtimeActivationResize --pi --monitorMemory "
        "--hardwareCompatibilityLevel=ampere+ --noCompilationCache --errorOnTimingCacheMiss "
        "--markDebug=xw --markUnfusedTensorsAsDebugTensors --distributiveIndependence"
    ),
    "dla": "--optShapes=x:4x4 --useDLACore=1 --allowGPUFallback --layerDeviceTypes=relu:GPU",
    "loadable": "--optShapes=x:4x4 --buildDLAStandalone --useDLACore=0",
    "windows": "--optShapes=x:4x4 --runtimePlatform=WindowsAMD64 --device=1",
    "plugins": (
        "--optShapes=x:4x4 --staticPlugins=a.so --dynamicPlugins=a.so --setPluginsToSerialize=a.so"
    ),
    "profiles": (
        "--profile=1 --minShapes=x:1x4 --optShapes=x:4x4 --maxShapes=x:8x4 "
        "--profile=0 --minShapes=x:1x4 --optShapes=x:2x4 --maxShapes=x:2x4 --useProfile=1"
    ),
    "measuring": (
        "--optShapes=x:4x4 --iterations=7 --warmUp=5 --duration=0.5 --infStreams=2 --threads "
        "--exposeDMA --noDataTransfers --useSpinWait --useCudaGraph --percentile=50,99 "
        "--sleepTime=1 --idleTime=2 --allocationStrategy=profile --persistentCacheRatio=0.25 "
        "--timeDeserialize --dumpProfile --exportTimes=t.json --dumpOutput --exportLayerInfo=l "
        "--loadInputs=x:x.bin"
    ),
    "formats": (
        "--optShapes=x:4x4 --inputIOFormats=fp32:chw32+chw --outputIOFormats=fp32:hwc "
        "--decomposableAttentions=mixer"
    ),
    "formats of rtx": "--optShapes=x:4x4 --inputIOFormats=chw32+chw --useGpu",
    "streaming": "--optShapes=x:4x4 --allowWeightStreaming --weightStreamingBudget=1000",
    "rtx": (
        "--optShapes=x:4x4 --computeCapabilities=86,120 --includeDataTransfers --noSpinWait "
        "--rtxCudaGraphStrategy=disable --specializeStrategyDS=eager --runtimeCacheFile=r.cache"
    ),
    "rtx here": "--optShapes=x:4x4 --useGpu",
}
"""Command lines whose recipe must come back from the command that it becomes."""


REPEATED = {"--profile", "--minShapes", "--optShapes", "--maxShapes"}
REPEATED |= {"--staticPlugins", "--dynamicPlugins", "--setPluginsToSerialize"}
"""Options that trtexec takes more than once."""


@pytest.mark.parametrize("kind", ROUNDS)
def test_the_command_of_a_recipe_makes_the_recipe_again(project: Project, kind: str) -> None:
    first = imported(project, "--onnx=net.onnx", *ROUNDS[kind].split())
    words = again()
    names = [word.partition("=")[0] for word in words]
    assert {name for name in names if names.count(name) > 1} <= REPEATED
    second = imported(project, *words)
    assert second.build == first.build
    assert second.inputs == first.inputs
    assert second.benchmark == first.benchmark
    assert second.source == first.source
    assert again() == words


def test_switches_and_pools_are_written_as_trtexec_spells_them(project: Project) -> None:
    words = "--optShapes=x:4x4 --memPoolSize=workspace:1G,tacticSharedMem:48K --pi"
    switches = "--preview=+aliasedPluginIO1003,-runtimeActivationResize,+profileSharing0806"
    imported(
        project, "--onnx=net.onnx", *words.split(), switches, "--tacticSources=-CUBLASLT,+CUDNN"
    )
    command = again()
    assert "--memPoolSize=workspace:1073741824B,tacticSharedMem:49152B" in command
    assert "--tacticSources=-CUBLAS_LT,+CUDNN" in command
    (preview,) = (word for word in command if word.startswith("--preview="))
    assert set(preview.removeprefix("--preview=").split(",")) == {
        *("+aliasedPluginIO1003", "-runtimeActivationResize", "+profileSharing0806")
    }


def test_a_shell_reads_the_printed_command_as_it_is_meant(project: Project) -> None:
    imported(project, "--onnx=net.onnx", "--optShapes=x:4x4", "--memPoolSize=workspace:64")
    printed = trtbuild("export-trtexec", "made.yaml").out
    project.write("again.sh", printed)
    (line,) = lines_in((project.folder / "again.sh").read_text())
    call = line.call()
    assert tuple(map(str, call.options)) == again()[1:]
    assert shlex.split(printed, comments=True)[0] == "trtexec"


def test_a_recipe_in_another_folder_names_its_files_from_there(project: Project) -> None:
    (project.folder / "sub").mkdir()
    words = ["--onnx=net.onnx", "--optShapes=x:4x4", "--staticPlugins=a.so", "--loadInputs=x:x.bin"]
    recipe = imported(project, *words, output="sub/made.yaml")
    assert recipe.build.files == (("plugins/static/0", "../a.so"),)
    assert recipe.benchmark is not None
    assert recipe.benchmark.files == (("x", "../x.bin"),)


LOGGED = "&&&& RUNNING {} # trtexec --onnx=net.onnx --optShapes=x:4x4\n"


@pytest.mark.parametrize(
    ("who", "keys"),
    [
        ("TensorRT.trtexec [TensorRT v7201]", (True, False, False)),
        ("TensorRT.trtexec [TensorRT v8601]", (True, False, False)),
        ("TensorRT.trtexec [TensorRT v101601] [b11]", (True, False, False)),
        ("TensorRT.trtexec [TensorRT v110100] [b106]", (False, True, True)),
    ],
)
def test_a_log_is_measured_as_its_version_measures(
    project: Project, who: str, keys: tuple[bool, ...]
) -> None:
    (line,) = lines_in(LOGGED.format(who))
    call = line.call()
    values = convert(call, None).values
    names = ("transfers", "spin_wait", "cuda_graph")
    assert tuple(values[f"benchmark.{name}"] for name in names) == keys


def test_formats_that_do_not_fit_the_tensors_are_refused(project: Project) -> None:
    words = ["--onnx=net.onnx", "--inputIOFormats=fp32:chw,fp32:chw", "--optShapes=x:4x4"]
    result = trtbuild("import-trtexec", "--", *words)
    assert result.code == 2
    assert "2 formats for 1 tensors" in result.err
    words[1] = "--inputIOFormats=fp32:nhwc"
    assert "trtexec does not take this value" in trtbuild("import-trtexec", "--", *words).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--profile=0 --optShapes=x:1x4 --profile=0 --optShapes=x:2x4", "a profile 0 already"),
        ("--profile=1 --optShapes=x:1x4", "profile 0 has no shapes"),
        ("--optShapes=z:1x4", "the model has no input 'z'"),
        ("--optShapes=x1x4", "is no shape"),
        ("--minShapes=x:1x4 --maxShapes=x:8", "input 'x' has 2 dimensions, and shapes of 1, 2"),
        ("--minShapes=x:8x4 --maxShapes=x:1x4", "these options make no recipe: inputs.x"),
    ],
)
def test_shapes_that_make_no_profile_are_refused(project: Project, words: str, told: str) -> None:
    result = trtbuild("import-trtexec", "--", "--onnx=net.onnx", *words.split())
    assert result.code == 2
    assert told in result.err


def test_an_input_without_a_profile_is_built_for_its_inference_shapes() -> None:
    words = "--onnx=a.onnx --minShapes=a:1x4 --optShapes=a:2x4 --maxShapes=a:4x4 --shapes=b:3x3"
    made = convert(call_of(words.split()), None)
    assert made.inputs["a"]["max"] == [4, 4]
    assert made.inputs["b"]["shape"] == [3, 3]


def test_a_pattern_stands_for_the_inputs_that_it_matches(project: Project) -> None:
    words = "--minShapes=*:1x4 --optShapes=x*:2x4 --maxShapes=*:8x4 --shapes=*:4x4"
    recipe = imported(project, "--onnx=net.onnx", *words.split())
    assert recipe.inputs[0].opt == (2, 4)
    assert recipe.benchmark is not None
    assert recipe.benchmark.options["points"] == [{"name": "x:4x4", "shapes": {"x": [4, 4]}}]


def test_options_that_contradict_each_other_are_refused(project: Project) -> None:
    words = ["--onnx=net.onnx", "--optShapes=x:4x4", "--noBuilderCache", "--errorOnTimingCacheMiss"]
    result = trtbuild("import-trtexec", "-o", "made.yaml", "--", *words)
    assert result.code == 2
    assert "with --noBuilderCache no timing is in a cache" in result.err
    assert not (project.folder / "made.yaml").exists()


def test_an_option_that_does_nothing_alone_is_left_out_and_told(project: Project) -> None:
    data = data_of(project, "--onnx=net.onnx", "--optShapes=x:4x4", "--allowGPUFallback")
    assert "dla" not in data["build"]
    assert "does nothing without dla.core" in (project.folder / "made.yaml").read_text()


def test_a_bad_profile_number_is_refused() -> None:
    with pytest.raises(UsageError, match="trtexec does not take this value"):
        convert(call_of(["--onnx=a.onnx", "--profile=first"]), None)
