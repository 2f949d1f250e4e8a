"""The options by which trtexec measures as a recipe's `benchmark` does, and what it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trtbuild.recipe.model import Benchmark, Input, Recipe
from trtbuild.recipe.trtexec.shapes import dims_text


def measuring(
    recipe: Recipe, benchmark: Benchmark, dynamic: tuple[Input, ...]
) -> tuple[list[str], list[str]]:
    """The words of a command, and a line for each thing that they leave out.

    For the backend tensorrt they are those of trtexec before 11.0, most of which 11.0 takes too.
    """
    options: Mapping[str, Any] = benchmark.options
    words = [w for name, write in _PLAIN.items() if (w := write(options[name]))]
    rtx = recipe.build.backend == "tensorrt_rtx"
    words += list((_of_rtx if rtx else _before_11)(options))
    words += _shapes(recipe, dynamic, options)
    if benchmark.files:
        pairs = ",".join(f"{_quoted(name)}:{path}" for name, path in benchmark.files)
        words.append(f"--loadInputs={pairs}")
    if options["layer_profile"]:
        words += ["--dumpProfile", "--separateProfileRun"]
    return words, list(_lacking(options, benchmark, rtx=rtx))


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


def _since_11(options: Mapping[str, Any]) -> Iterator[str]:
    if options["transfers"]:
        yield "--includeDataTransfers"
    if not options["spin_wait"]:
        yield "--noSpinWait"


def _of_rtx(options: Mapping[str, Any]) -> Iterator[str]:
    yield from _since_11(options)
    if options["cuda_graph"] in (False, "capture"):
        yield "--rtxCudaGraphStrategy=disable"
    if options["kernel_specialization"] != "lazy":
        yield f"--specializeStrategyDS={options['kernel_specialization']}"
    if options["runtime_cache"]:
        yield "--runtimeCacheFile=runtime.cache"


def _shapes(recipe: Recipe, dynamic: tuple[Input, ...], options: Mapping[str, Any]) -> list[str]:
    """The first point, where it is not what trtexec takes anyway: the profile's opt."""
    name, shapes = options["points"][0]["name"], options["points"][0]["shapes"]
    profiles: Any = recipe.build.options.get("profiles") or [{}]
    profile = profiles[min(options["optimization_profile"], len(profiles) - 1)]
    usual = {i.name: profile.get(i.name, {}).get("opt", list(i.opt)) for i in dynamic}
    if name == "opt" and all(shapes[key] == sizes for key, sizes in usual.items()):
        return []
    given = [item for item in dynamic if _shape(item, shapes) in name.split(",")] or dynamic
    return [f"--shapes={','.join(_shape(item, shapes) for item in given)}"] if given else []


def _shape(item: Input, shapes: Mapping[str, list[int]]) -> str:
    return f"{item.name}:{dims_text(shapes[item.name])}"


def _quoted(name: str) -> str:
    return f"'{name}'" if ":" in name else name


def _lacking(options: Mapping[str, Any], benchmark: Benchmark, *, rtx: bool) -> Iterator[str]:
    if not rtx:
        newer = [*_since_11(options), *([] if options["cuda_graph"] else ["--noCudaGraph"])]
        if newer:
            yield f"trtexec from 11.0 on needs {' '.join(newer)} too, which earlier ones refuse"
    elif options["cuda_graph"] == "capture":
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
