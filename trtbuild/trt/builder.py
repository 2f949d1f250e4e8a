"""Builds an engine from an ONNX file, with a fresh builder each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.trt.errors import CONTROL_FLOW, SHORT_OF_MEMORY, Explanation, explain
from trtbuild.trt.flavour import dtype_name
from trtbuild.trt.header import read_plan_header
from trtbuild.trt.network_settings import apply_to_network
from trtbuild.trt.parser import Parsed, parse_onnx
from trtbuild.trt.plugins import NONE, Plugins, serialize_plugins
from trtbuild.trt.profile import NetworkInput, Range, add_profile, network_inputs, profile_ranges
from trtbuild.trt.progress import Report, monitor_for
from trtbuild.trt.settings import Settings, apply_settings
from trtbuild.trt.tactics import tactics_document
from trtbuild.trt.timing_cache import TimingPlan, begin, finish

if TYPE_CHECKING:
    from pathlib import Path

    from trtbuild.recipe.model import Input, Shape
    from trtbuild.trt.logger import Log


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What a network says of one of its outputs; -1 is a dynamic dimension."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Built:
    """What was built: the network that the engine is made of, and the plan's size in bytes.

    `ranges` holds the inputs that must be built for a range; `profiles` holds the same for each
    optimization profile; `tensor_types` counts the outputs of layers by dtype.
    `tactics` are there where the recipe keeps them.
    """

    inputs: tuple[NetworkInput, ...]
    ranges: tuple[Range, ...]
    profiles: tuple[tuple[Range, ...], ...]
    outputs: tuple[NetworkOutput, ...]
    layers: int
    tensor_types: dict[str, int]
    engine_bytes: int
    warnings: tuple[str, ...]
    tactics: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built: the model, the recipe's inputs and options, and what goes with them.

    `base` is the precision that the inputs may have been lowered to.
    """

    model: Path
    inputs: tuple[Input, ...]
    base: str
    settings: Settings
    plugins: Plugins = NONE
    timing: TimingPlan | None = None


def build_engine(log: Log, order: Order, plan: Path, report: Report) -> Built:
    """Build the engine of an ONNX file and write it to `plan`, pure and without a header of ours.

    `report(text, fraction)` is told of progress. Raises StageError for whatever TensorRT or the
    file system refuses, with every ERROR that TensorRT logged.
    """
    report("parsing the ONNX file", None)
    parsed = parse_onnx(log, order.model, order.settings, order.plugins)
    there = network_inputs(parsed.network)
    ranges = profile_ranges(order.inputs, there, order.base)
    profiles = _profiles(order, there) or ((ranges,) if ranges else ())
    config = _config(log, order, parsed)
    for profile in profiles:
        add_profile(parsed.builder, config, profile)
    timings = begin(log, config, order.timing) if order.timing is not None else None
    monitor = monitor_for(log.flavour, report)  # must live as long as the config uses it
    config.progress_monitor = monitor
    engine = parsed.builder.build_serialized_network(parsed.network, config)
    # Some setters only log their refusal, and the engine then is not what was asked for. No
    # model was found of which TensorRT logs an ERROR, but noise, and still builds a good engine.
    if engine is None or log.errors:
        raise _build_failure(log, order.model)
    _write(engine, plan)
    tactics: dict[str, Any] | None = None
    if order.timing is not None and timings is not None:
        kept = finish(log, config, order.timing, timings)
        log.hear("INFO", kept.told)
        report(kept.told, None)
        if kept.tactics is not None:
            tactics = tactics_document(kept.tactics, log.tuned)
    return replace(_built(log, parsed, there, profiles, plan), tactics=tactics)


def _config(log: Log, order: Order, parsed: Parsed) -> Any:
    config = parsed.builder.create_builder_config()
    apply_settings(log.flavour, config, order.settings)
    serialize_plugins(config, order.plugins)
    apply_to_network(log.flavour, parsed.network, config, order.settings)
    return config


def _profiles(order: Order, there: tuple[NetworkInput, ...]) -> tuple[tuple[Range, ...], ...]:
    """The recipe's own profiles; what one leaves out has the shapes of the inputs."""
    return tuple(
        profile_ranges(
            tuple(item.in_profile(shapes.get(item.name)) for item in order.inputs),
            there,
            order.base,
        )
        for shapes in order.settings.get("profiles", ())
    )


def _built(
    log: Log,
    parsed: Parsed,
    inputs: tuple[NetworkInput, ...],
    profiles: tuple[tuple[Range, ...], ...],
    plan: Path,
) -> Built:
    network = parsed.network
    outputs = (network.get_output(index) for index in range(network.num_outputs))
    header = read_plan_header(plan)  # raises where less was stored than written
    if header.kind != log.flavour.backend:
        raise StageError(f"{log.flavour.title} made a plan of {header.kind} {header.version}")
    return Built(
        inputs=inputs,
        ranges=profiles[0] if profiles else (),
        profiles=profiles,
        outputs=tuple(
            NetworkOutput(tensor.name, dtype_name(tensor.dtype), tuple(tensor.shape))
            for tensor in outputs
        ),
        layers=network.num_layers,
        tensor_types=_tensor_types(network),
        engine_bytes=plan.stat().st_size,
        warnings=log.warnings,
        tactics=None,
    )


def _tensor_types(network: Any) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        for position in range(layer.num_outputs):
            counts[dtype_name(layer.get_output(position).dtype)] += 1
    return dict(sorted(counts.items()))


def _write(engine: Any, plan: Path) -> None:
    """Write from the library's own memory: an engine may be larger than what is left of it."""
    try:
        with plan.open("wb") as file:
            file.write(engine)
    except OSError as error:
        raise StageError(
            f"the engine ({engine.nbytes} bytes) cannot be written: {error.strerror}",
            where=str(plan),
            hint="free space, or choose another cache folder",
        ) from error


def _build_failure(log: Log, model: Path) -> StageError:
    """The first error that is understood as the cause, and all of them as TensorRT wrote them."""
    errors = log.errors or ("it gave no reason",)
    if any(CONTROL_FLOW.pattern.search(text) for text in errors):
        return _control_flow_failure(log, model, errors)
    explained = [found for found in map(explain, errors) if found is not None]
    # Out of memory is told in warnings; the error says only that there is no implementation.
    short = next((w for w in log.warnings if SHORT_OF_MEMORY.pattern.search(w)), None)
    if short is not None:
        errors = (short, *errors)
        explained = [Explanation(SHORT_OF_MEMORY.meaning, SHORT_OF_MEMORY.remedy), *explained]
    cause = explained[0].meaning if explained else "see its messages"
    remedies = dict.fromkeys(found.remedy for found in explained)
    return StageError(
        f"{log.flavour.title} cannot build the engine: {cause}{_lines(errors)}",
        hint="; ".join(remedies) or "build.log holds all that it said, up to VERBOSE",
    )


def _control_flow_failure(log: Log, model: Path, errors: tuple[str, ...]) -> StageError:
    from trtbuild.trt import control_flow

    found = control_flow.find_control_flow(model)
    return StageError(
        f"the model holds control flow that {log.flavour.title} cannot build:"
        f"{control_flow.describe(found)}{_lines(errors)}",
        hint=control_flow.remedy(found),
    )


def _lines(errors: tuple[str, ...]) -> str:
    return "".join(f"\n  {text}" for text in errors)
