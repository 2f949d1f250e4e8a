"""Builds the engine of one variant, and writes down what it is made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.recipe.model import Input, Options
from trtbuild.trt.builder import Built, build_engine
from trtbuild.trt.flavour import Flavour, load_backend
from trtbuild.trt.logger import recording
from trtbuild.trt.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from trtbuild.stages.base import StageContext


def run(context: StageContext) -> None:
    """Role `model` -> engine.plan (the pure plan), build.json and build.log.

    Options: backend, precision, inputs, workspace (bytes or null), optimization_level (or null),
    compute_capabilities, tf32. build.json holds nothing that differs from run to run but what
    follows from the engine's own bytes. Raises StageError where the model, the inputs or an
    option are refused, MissingPackage or UsageError where the backend cannot be used.
    """
    options: Any = context.options
    flavour = load_backend(options["backend"])
    with recording(flavour, context.outputs / "build.log") as log:
        built = build_engine(
            log,
            context.inputs["model"],
            context.outputs / "engine.plan",
            inputs=tuple(map(_input, options["inputs"])),
            precision=options["precision"],
            settings=_settings(options),
            report=context.reporter.progress,
        )
    for warning in built.warnings:
        context.reporter.warn(f"{flavour.title}: {warning}")
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
    )


def _settings(options: Any) -> Settings:
    return Settings(
        workspace=options.get("workspace"),
        optimization_level=options.get("optimization_level"),
        compute_capabilities=tuple(options.get("compute_capabilities", ())),
        tf32=options.get("tf32", True),
    )


def _info(flavour: Flavour, precision: str, built: Built) -> Options:
    ranges = {item.name: item for item in built.ranges}
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
    }


def _write_info(path: Path, info: Options) -> None:
    try:
        path.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StageError(f"cannot be written: {error.strerror}", where=str(path)) from error
