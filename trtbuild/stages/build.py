"""Builds the engine of one variant, and writes down what it is made of."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.cuda.probe import probe
from trtbuild.errors import StageError
from trtbuild.recipe.build_section import TIMING_CACHE
from trtbuild.recipe.build_table import OPTIONS
from trtbuild.recipe.model import Input, Options, Values
from trtbuild.trt.apart import apart
from trtbuild.trt.builder import Built, Order, build_engine
from trtbuild.trt.flavour import Flavour, load_backend
from trtbuild.trt.logger import recording
from trtbuild.trt.plugins import plugins_of
from trtbuild.trt.profile import Range
from trtbuild.trt.tactics import mode_of
from trtbuild.trt.timing_cache import TimingPlan, cache_name

if TYPE_CHECKING:
    from trtbuild.stages.base import StageContext

_SETTINGS = frozenset(row.path[0] for row in OPTIONS)

_UNSCALED = (
    "TensorRT-RTX may store a product of int8 in fp16 before it is scaled, and then overflows: "
    "1.6.1 does on compute capability 9.0; verify this engine on its GPU, or take `base: bf16`"
)
"""Seen by the inspector: a Gemm takes Int8 and makes Half, and the layer after it has the scale."""


def run(context: StageContext) -> None:
    """Role `model` -> engine.plan (the pure plan), build.json and build.log.

    With a timing cache of the recipe's own also timing.cache.
    Options: backend, precision, inputs, and the keys of `trtbuild.recipe.build_table`; base, where
    float32 inputs have the type of that precision. Further roles: `plugins/KIND/NUMBER` and
    `timing_cache`. build.json holds nothing that differs from run to run but what follows from
    the engine's own bytes. Raises StageError where the model, the inputs or an option are refused,
    MissingPackage or UsageError where the backend cannot be used.
    """
    options: Any = context.options
    flavour = load_backend(options["backend"])
    model = context.inputs["model"].resolve()
    # The builder gets a name and no path: the length of one would show in the engine's bytes.
    log_path = context.outputs / "build.log"
    with contextlib.chdir(model.parent), recording(flavour, log_path) as log:
        order = Order(
            model=Path(model.name),
            inputs=tuple(map(_input, options["inputs"])),
            base=options.get("base") or options["precision"],
            settings={key: value for key, value in options.items() if key in _SETTINGS},
            plugins=plugins_of(context.inputs),
            timing=_timing(context, flavour),
        )
        plan = context.outputs / "engine.plan"
        results: list[Built] = []
        report = context.reporter.progress
        apart(lambda: results.append(build_engine(log, order, plan, report)))
    built = results[0]
    for warning in built.warnings:
        context.reporter.warn(f"{flavour.title}: {warning}")
    if flavour.kind == "rtx" and {"int8", "float16"} <= set(built.tensor_types):
        context.reporter.warn(_UNSCALED)
    _write_info(context.outputs / "build.json", _info(flavour, options["precision"], built))


def _input(item: Any) -> Input:
    given = item.get("range")
    return Input(
        name=item["name"],
        dtype=item["dtype"],
        min=tuple(item["min"]),
        opt=tuple(item["opt"]),
        max=tuple(item["max"]),
        dims=None,
        range=(given[0], given[1]) if given else None,
        values=Values.of(item["values"]) if "values" in item else None,
    )


def _timing(context: StageContext, flavour: Flavour) -> TimingPlan | None:
    """The timing cache of the recipe, else the one that all builds of this cache folder share."""
    options: Any = context.options
    if flavour.kind == "rtx" or not options.get("timing_cache", {}).get("enabled", True):
        return None
    mode, file = mode_of(options), context.inputs.get(TIMING_CACHE)
    if mode is not None or file is not None:
        return TimingPlan(
            file,
            shared=False,
            export=context.outputs / "timing.cache",
            tactics=mode,
        )
    if context.shared is None:
        return None
    gpu = probe().devices[0].name
    name = cache_name(flavour.version, gpu, options)
    return TimingPlan(context.shared / "timing" / name, shared=True)


def _ranges(ranges: tuple[Range, ...]) -> dict[str, Any]:
    return {
        item.name: {name: list(getattr(item, name)) for name in ("min", "opt", "max")}
        for item in ranges
    }


def _info(flavour: Flavour, precision: str, built: Built) -> Options:
    ranges = {item.name: item for item in built.ranges}
    several = len(built.profiles) > 1
    inputs: list[Any] = []
    for tensor in built.inputs:
        item = ranges.get(tensor.name)
        fixed = item is None or item.of_values
        written: dict[str, Any] = {"name": tensor.name, "dtype": tensor.dtype}
        for name in ("min", "opt", "max"):
            written[name] = list(tensor.shape if fixed else getattr(item, name))
        if item is not None and item.of_values:
            written["values"] = {name: list(getattr(item, name)) for name in ("min", "opt", "max")}
        inputs.append(written)
    outputs: list[Any] = [
        {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
        for tensor in built.outputs
    ]
    return {
        "backend": flavour.backend,
        "version": flavour.version,
        "kind": flavour.kind,
        "precision": precision,
        "inputs": inputs,
        "outputs": outputs,
        "layers": built.layers,
        "tensor_types": dict(built.tensor_types),
        "engine_bytes": built.engine_bytes,
        "warnings": list(built.warnings),
        **({"profiles": [_ranges(item) for item in built.profiles]} if several else {}),
        **({"tactics": built.tactics} if built.tactics is not None else {}),
    }


def _write_info(path: Path, info: Options) -> None:
    try:
        path.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StageError(f"cannot be written: {error.strerror}", where=str(path)) from error
