"""The options by which trtexec measures as a recipe's `benchmark` does, and what it cannot."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trtbuild.recipe.build_options import numbers
from trtbuild.recipe.build_table import present
from trtbuild.recipe.model import Benchmark, Input, Recipe
from trtbuild.recipe.trtexec.shapes import dims_text


class Version(enum.Enum):
    """Whose words a command is written in: trtexec's changed with 11.0."""

    BEFORE_11 = enum.auto()
    SINCE_11 = enum.auto()
    RTX = enum.auto()


@dataclass(frozen=True, slots=True)
class Measuring:
    """The words of a command that measures; what they leave out, and what else to know."""

    words: list[str]
    lacking: list[str]
    notes: list[str]


def words_of(recipe: Recipe, build: Mapping[str, Any]) -> Version:
    """The version that has all that the recipe asks for: the older words where either does.

    Most of them are taken by 11.0 too. `build` holds the options of the variant's build.
    """
    if recipe.build.backend == "tensorrt_rtx":
        return Version.RTX
    deploy = recipe.deploy
    newer = deploy is not None and deploy.kind == "tensorrt" and numbers(deploy.version) >= (11,)
    for row, value in present(build):
        starts = [numbers(first) for first, _ in row.where.tensorrt]
        newer |= value != row.default and bool(starts) and min(starts) >= (11,)
    return Version.SINCE_11 if newer else Version.BEFORE_11


def measuring(
    recipe: Recipe,
    benchmark: Benchmark,
    dynamic: tuple[Input, ...],
    version: Version,
    files: list[tuple[str, str]],
) -> Measuring:
    """How a command measures; `files` holds the values of inputs by name."""
    options: Mapping[str, Any] = benchmark.options
    words = [w for name, write in _PLAIN.items() if (w := write(options[name]))]
    words += list(_WORDS[version](options))
    words += _shapes(recipe, dynamic, options)
    if files:
        words.append(f"--loadInputs={','.join(f'{_quoted(name)}:{path}' for name, path in files)}")
    if options["layer_profile"]:
        words.append("--dumpProfile")
        if version is Version.BEFORE_11:  # later ones do nothing else
            words.append("--separateProfileRun")
    notes = list(_of_11(options)) if version is Version.BEFORE_11 else []
    if any(path.endswith(".npy") for _, path in files):
        notes.append("--loadInputs takes raw values, without the header of a .npy")
    return Measuring(words, list(_lacking(options, benchmark, version)), notes)


def _value(name: str) -> Callable[[Any], str]:
    return lambda value: f"--{name}={value:g}"


def _unless(usual: Any, name: str) -> Callable[[Any], str]:
    return lambda value: f"--{name}={value}" if value != usual else ""


def _flag(name: str) -> Callable[[Any], str]:
    return lambda value: f"--{name}" if value else ""


def _budget(value: int | str | None) -> str:
    if value is None:
        return ""
    text = "-1" if value == "auto" else value if isinstance(value, str) else f"{value}B"
    return f"--weightStreamingBudget={text}"


_PLAIN: Mapping[str, Callable[[Any], str]] = {
    "warmup_ms": _value("warmUp"),
    "duration_s": _value("duration"),
    "iterations": _value("iterations"),
    "streams": _value("infStreams"),
    "percentiles": lambda value: "--percentile=" + ",".join(f"{item:g}" for item in value),
    "threads": _flag("threads"),
    "overlap": lambda value: "" if value else "--exposeDMA",
    "sleep_ms": lambda value: f"--sleepTime={value:g}" if value else "",
    "idle_ms": lambda value: f"--idleTime={value:g}" if value else "",
    "optimization_profile": _unless(0, "useProfile"),
    "allocation": _unless("static", "allocationStrategy"),
    "persistent_cache_ratio": lambda value: f"--persistentCacheRatio={value:g}" if value else "",
    "weight_streaming_budget": _budget,
    "time_deserialize": _flag("timeDeserialize"),
    "time_refit": _flag("timeRefit"),
    "export_times": lambda value: "--exportTimes=times.json" if value else "",
    "export_outputs": lambda value: "--exportOutput=output.json" if value else "",
    "export_layers": lambda value: "--exportLayerInfo=layers.json" if value else "",
}


def _before_11(options: Mapping[str, Any]) -> Iterator[str]:
    if not options["transfers"]:
        yield "--noDataTransfers"
    if options["spin_wait"]:
        yield "--useSpinWait"
    if options["cuda_graph"]:
        yield "--useCudaGraph"


def _turned(options: Mapping[str, Any]) -> Iterator[str]:
    """Where the defaults of 11.0 and of TensorRT-RTX are not what is asked for."""
    if options["transfers"]:
        yield "--includeDataTransfers"
    if not options["spin_wait"]:
        yield "--noSpinWait"


def _since_11(options: Mapping[str, Any]) -> Iterator[str]:
    yield from _turned(options)
    if not options["cuda_graph"]:
        yield "--noCudaGraph"


def _of_rtx(options: Mapping[str, Any]) -> Iterator[str]:
    yield from _turned(options)
    if options["cuda_graph"] in (False, "capture"):
        yield "--rtxCudaGraphStrategy=disable"
    if options["kernel_specialization"] != "lazy":
        yield f"--specializeStrategyDS={options['kernel_specialization']}"
    if options["runtime_cache"]:
        yield "--runtimeCacheFile=runtime.cache"


def _of_11(options: Mapping[str, Any]) -> Iterator[str]:
    if newer := list(_since_11(options)):
        yield f"trtexec from 11.0 on needs {' '.join(newer)} too, which earlier ones refuse"


_WORDS = {
    Version.BEFORE_11: _before_11,
    Version.SINCE_11: _since_11,
    Version.RTX: _of_rtx,
}


def _shapes(recipe: Recipe, dynamic: tuple[Input, ...], options: Mapping[str, Any]) -> list[str]:
    """The first point, where it is not what trtexec takes anyway: the profile's opt."""
    name, shapes = options["points"][0]["name"], options["points"][0]["shapes"]
    profiles: Any = recipe.build.options.get("profiles") or [{}]
    profile = profiles[min(options["optimization_profile"], len(profiles) - 1)]
    usual = {i.name: profile.get(i.name, {}).get("opt", list(i.opt)) for i in dynamic}
    if name == "opt" and all(shapes[key] == sizes for key, sizes in usual.items()):
        return []
    given = [item for item in dynamic if _shape(item, shapes) in name.split(",")] or dynamic
    holding = (i.in_profile(profile.get(i.name)) for i in recipe.inputs if i.values is not None)
    values = [f"{i.name}:{dims_text(i.values.opt)}" for i in holding if i.values is not None]
    points = [*(_shape(item, shapes) for item in given), *values]
    return [f"--shapes={','.join(points)}"] if given else []


def _shape(item: Input, shapes: Mapping[str, list[int]]) -> str:
    return f"{item.name}:{dims_text(shapes[item.name])}"


def _quoted(name: str) -> str:
    return f"'{name}'" if ":" in name else name


def _lacking(options: Mapping[str, Any], benchmark: Benchmark, version: Version) -> Iterator[str]:
    if version is Version.RTX and options["cuda_graph"] == "capture":
        yield "benchmark.cuda_graph: tensorrt_rtx captures no graph, it has those of the runtime"
    if len(options["points"]) > 1:
        rest = "; ".join(point["name"] for point in options["points"][1:])
        yield f"benchmark.shapes: a command measures one set of shapes; give --shapes for: {rest}"
    if options["seed"]:
        yield "benchmark.inputs.seed: trtexec's random values have no seed"
    if options["baselines"]:
        yield "benchmark.baselines: trtexec measures nothing beside the engine"
    if benchmark.gates:
        yield "benchmark.gates: trtexec has no limits"
