"""Prints the trtexec command line that comes nearest to a recipe, and what it cannot say."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from trtbuild.recipe.build_options import Option
from trtbuild.recipe.build_section import TIMING_CACHE, files_of
from trtbuild.recipe.build_table import present
from trtbuild.recipe.model import Input, OnnxSource, Recipe
from trtbuild.recipe.precision_section import UNCHANGED
from trtbuild.recipe.trtexec.export_benchmark import Version, measuring, words_of
from trtbuild.recipe.trtexec.read import PROGRAM_OF
from trtbuild.recipe.trtexec.shapes import Ports, dims_text
from trtbuild.recipe.trtexec.values import io_formats


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, what it leaves out of the recipe, and what else to know, a line each."""

    words: tuple[str, ...]
    lacking: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The command as a shell takes it, an option a line."""
        return " \\\n  ".join(map(shlex.quote, self.words))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is built: the model's file, the engine's, and the ports of a model that is there.

    Files are named as they are found from the folder that the command is called in; `folder` is
    the recipe's, which names its own files from there.
    """

    model: str
    engine: str
    ports: Ports | None
    folder: Path = Path()

    def path(self, file: str) -> str:
        """A file of the recipe."""
        anywhere = PureWindowsPath(file).is_absolute()  # on another machine
        return file if anywhere else os.path.normpath(self.folder / file)


def command_for(
    recipe: Recipe, precision: str, build: Mapping[str, Any], subject: Subject
) -> Command:
    """The command that builds and measures one variant; `build` holds the options of its build."""
    words = [
        PROGRAM_OF[recipe.build.backend],
        f"--onnx={subject.model}",
        f"--saveEngine={subject.engine}",
    ]
    dynamic = _dynamic(recipe, subject.ports)
    holding = tuple(item for item in recipe.inputs if item.values is not None)
    words += _shapes((*dynamic, *holding), build.get("profiles") or [{}])
    lacking, notes = [*_before(recipe, precision), *_unsaid(recipe)], []
    rtx = recipe.build.backend == "tensorrt_rtx"
    version = words_of(recipe, build)
    if version is Version.BEFORE_11:
        notes.append(
            "--stronglyTyped is for TensorRT 10; from 11.0 on leave it out, and the types of "
            "--inputIOFormats and --outputIOFormats"
        )
        words.append("--stronglyTyped")
    elif not rtx:
        notes.append("trtexec before 11.0 has not all of these options")
    if not rtx and "avg_timing_iterations" not in build:
        words.append("--avgTiming=1")  # trtexec's default is 8, the API's is 1
    for row, value in present(build):
        if row.key in _GIVEN:
            continue
        found = _option(row, value)
        if row.key == "io_formats" and subject.ports is not None:
            found = io_formats(value, subject.ports, typed=version is Version.BEFORE_11)
        words += found
        if not found and value != row.default and (row.key, value) not in _ANYWAY:
            lacking.append(f"build.{row.key}: {_reason(row)}")
    for role, file in _files(recipe, precision):
        words.append(f"--{_FILES[role]}={subject.path(file)}")
        if role == TIMING_CACHE:
            notes.append("trtexec also writes --timingCacheFile: give it a copy to keep yours")
    if recipe.build.device is not None:
        words.append(f"--device={recipe.build.device}")
    if recipe.benchmark is None:
        words.append("--skipInference")
    else:
        files = [(name, subject.path(file)) for name, file in recipe.benchmark.files]
        measured = measuring(recipe, recipe.benchmark, dynamic, version, files)
        words += measured.words
        lacking += measured.lacking
        notes += measured.notes
    return Command(tuple(_merged(words)), tuple(lacking), tuple(notes))


def _merged(words: list[str]) -> list[str]:
    """trtexec takes these options once, with all their parts; it refuses a second one."""
    merged: list[str] = []
    places: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name in places:
            merged[places[name]] += f",{value}"
            continue
        if name in _ONCE:
            places[name] = len(merged)
        merged.append(word)
    return merged


def plain_source(recipe: Recipe, precision: str) -> str | None:
    """The recipe's ONNX file, where the variant's engine is built from it as it is."""
    changed = recipe.surgery or recipe.outputs or precision not in UNCHANGED
    return recipe.source.file if isinstance(recipe.source, OnnxSource) and not changed else None


def _before(recipe: Recipe, precision: str) -> Iterator[str]:
    if plain_source(recipe, precision) is None:
        yield (
            "the model: it is what the export"
            + (" and surgery" if recipe.surgery else "")
            + (f" and the {precision} conversion" if precision not in UNCHANGED else "")
            + " of `trtbuild run` made"
        )
    yield "verify: trtexec compares outputs with nothing of yours"


def _dynamic(recipe: Recipe, ports: Ports | None) -> tuple[Input, ...]:
    """The inputs with dynamic dimensions, by the model; by the recipe where it is not made yet."""
    if ports is None:
        return tuple(item for item in recipe.inputs if item.min != item.max)
    names = {port.name for port in ports.inputs if port.dynamic}
    names -= {item.name for item in recipe.inputs if item.values is not None}
    return tuple(item for item in recipe.inputs if item.name in names)


def _shapes(inputs: tuple[Input, ...], profiles: list[Any]) -> list[str]:
    """min, opt and max of each profile. A static model has none, and trtexec refuses them there."""
    if not inputs:
        return []
    words = []
    for number, profile in enumerate(profiles):
        if len(profiles) > 1:
            words.append(f"--profile={number}")
        for part in ("min", "opt", "max"):
            own = [item.in_profile(profile.get(item.name)) for item in inputs]
            dims = (f"{i.name}:{dims_text(getattr(i.values or i, part))}" for i in own)
            words.append(f"--{part}Shapes={','.join(dims)}")
    return words


def _unsaid(recipe: Recipe) -> Iterator[str]:
    for item in recipe.inputs:
        if item.range is not None and "int" in item.dtype and len(item.opt) < 2:
            yield (
                f"inputs.{item.name}.range: where its values decide shapes, trtexec must be told "
                "them: give it `values` instead"
            )


def _option(row: Option, value: Any) -> list[str]:
    if value in (_DEFAULTS.get(row.key, row.default), []):
        return []
    sign = "+" if value else "-"
    if row.kind == "tactic":
        return [f"--tacticSources={sign}{row.member}"]
    if row.kind == "preview":
        name = _PREVIEWS.get(row.path[-1])
        return [f"--preview={sign}{name}"] if name else []
    if row.kind == "pool" and row.path[-1] in _POOLS:
        return [f"--memPoolSize={_POOLS[row.path[-1]]}:{value}B"]
    write = _WRITERS.get(row.key)
    found = write(value) if write else None
    return [found] if found else []


def _reason(row: Option) -> str:
    return _NO_OPTION.get(row.key, "trtexec has no option for it")


def _files(recipe: Recipe, precision: str) -> list[tuple[str, str]]:
    files = files_of(recipe.build, precision)
    return [(role.rpartition("/")[0] or role, path) for role, path in files]


def _flag(name: str) -> Callable[[Any], str]:
    return lambda _: f"--{name}"


def _value(name: str) -> Callable[[Any], str]:
    return lambda value: f"--{name}={value}"


_POOLS = {
    "workspace": "workspace",
    "tactic_shared_memory": "tacticSharedMem",
    "dla_managed_sram": "dlaSRAM",
    "dla_local_dram": "dlaLocalDRAM",
    "dla_global_dram": "dlaGlobalDRAM",
}
_ONCE = frozenset({"--memPoolSize", "--tacticSources", "--preview"})
_PREVIEWS = {
    "profile_sharing_0806": "profileSharing0806",
    "aliased_plugin_io_10_03": "aliasedPluginIO1003",
    "runtime_activation_resize_10_10": "runtimeActivationResize",
}
_FILES = {
    "plugins/static": "staticPlugins",
    "plugins/dynamic": "dynamicPlugins",
    "plugins/serialize": "setPluginsToSerialize",
    "timing_cache": "timingCacheFile",
}
_HARDWARE = {"ampere_plus": "ampere+", "same_compute_capability": "sameComputeCapability"}
_TILING = ("none", "fast", "moderate", "full")

_WRITERS: dict[str, Callable[[Any], str]] = {
    "optimization_level": _value("builderOptimizationLevel"),
    "compute_capabilities": lambda value: (
        "--useGpu" if value == ["current"] else f"--computeCapabilities={','.join(value)}"
    ),
    "tf32": _flag("noTF32"),
    "monitor_memory": _flag("monitorMemory"),
    "max_tactics": _value("maxTactics"),
    "avg_timing_iterations": _value("avgTiming"),
    "tiling_level": lambda value: f"--tilingOptimizationLevel={_TILING.index(value)}",
    "l2_limit_for_tiling": _value("l2LimitForTiling"),
    "max_aux_streams": _value("maxAuxStreams"),
    "build_route": _value("setBuildRoute"),
    "hardware_compatibility": lambda value: f"--hardwareCompatibilityLevel={_HARDWARE[value]}",
    "runtime_platform": lambda _: "--runtimePlatform=WindowsAMD64",
    "version_compatible": _flag("versionCompatible"),
    "exclude_lean_runtime": _flag("excludeLeanRuntime"),
    "engine_capability": lambda value: (
        "--buildDLAStandalone" if value == "dla_standalone" else "--safe"
    ),
    "dla.core": _value("useDLACore"),
    "dla.gpu_fallback": _flag("allowGPUFallback"),
    "dla.layers": lambda value: (
        "--layerDeviceTypes=" + ",".join(f"{name}:{kind.upper()}" for name, kind in value.items())
    ),
    "refit": lambda value: "--refit" if value == "all" else "",
    "strip_weights": _flag("stripWeights"),
    "weight_streaming": _flag("allowWeightStreaming"),
    "sparsity": _flag("sparsity=enable"),
    "distributive_independence": _flag("distributiveIndependence"),
    "direct_io": _flag("directIO"),
    "timing_cache.enabled": _flag("noBuilderCache"),
    "timing_cache.error_on_miss": _flag("errorOnTimingCacheMiss"),
    "compilation_cache": _flag("noCompilationCache"),
    "parser_flags.native_instancenorm": lambda value: "" if value else "--pluginInstanceNorm",
    "parser_flags.enable_plugin_override": _flag("enablePluginOverride"),
    "parser_flags.enable_uint8_and_asymmetric_quantization_dla": _flag(
        "uint8AsymmetricQuantizationDLA"
    ),
    "parser_flags.report_capability_dla": _flag("reportCapabilityDLA"),
    "parser_flags.adjust_for_dla": _flag("adjustForDLA"),
    "profiling_verbosity": _value("profilingVerbosity"),
    "debug_tensors": lambda value: "--markDebug=" + ",".join(value),
    "decomposable_attentions": lambda value: "--decomposableAttentions=" + ",".join(value),
    "debug_unfused_tensors": _flag("markUnfusedTensorsAsDebugTensors"),
}

_GIVEN = ("profiles", "plugins.static", "plugins.dynamic", "plugins.serialize")
"""Keys whose options are made from something else than their value."""

_DEFAULTS = {"profiling_verbosity": "layer_names_only"}
"""trtexec's defaults, where they are not those of recipes. An import does not write this one down:
the engine is as fast with details, without which `verify` cannot see the types of its layers."""

_ANYWAY = (
    ("parser_flags.native_instancenorm", True),
    ("profiling_verbosity", "layer_names_only"),
)
"""What trtexec does without an option."""

_NO_OPTION = {
    "io_formats": "trtexec counts tensors by place (--inputIOFormats, --outputIOFormats): run the "
    "recipe first, so that the model is there to count them",
    "refit": "trtexec makes all weights exchangeable (--refit), or none",
    "timing_cache.tactics": "trtexec chooses tactics anew, or those of --timingCacheFile unchecked",
}
