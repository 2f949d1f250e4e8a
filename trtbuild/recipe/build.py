"""Turns a recipe that is right into its frozen values: defaults filled in, numbers normalised."""

from __future__ import annotations

from pathlib import Path

from trtbuild.recipe.benchmark_section import benchmark_section
from trtbuild.recipe.benchmark_shapes import in_benchmarked_profile
from trtbuild.recipe.build_section import build_section
from trtbuild.recipe.dataset_section import dataset_section
from trtbuild.recipe.model import (
    Benchmark,
    Calibration,
    Deploy,
    ExportedProgramSource,
    Input,
    OnnxSource,
    Options,
    Package,
    Position,
    Recipe,
    Source,
    SurgeryStep,
    Triton,
    Values,
    Verify,
)
from trtbuild.recipe.precision_section import (
    BEST,
    calibration_section,
    candidates,
    precision_section,
)
from trtbuild.recipe.problems import Key
from trtbuild.recipe.raw import (
    RawCalibration,
    RawDataset,
    RawDeploy,
    RawInput,
    RawMetric,
    RawModel,
    RawPackage,
    RawRecipe,
    RawStep,
    RawTriton,
    RawVerify,
)
from trtbuild.recipe.torch_section import OPSET, torch_section
from trtbuild.recipe.units import milliseconds_of, whole

PRECISIONS = ["fp32"]
EXACT = ["exact"]
RANDOM: RawDataset = {"random": {"seed": 0}}


def build_recipe(raw: RawRecipe, path: Path, positions: dict[Key, Position]) -> Recipe:
    """The recipe that a checked document describes."""
    written = raw.get("precisions", PRECISIONS)
    precisions = candidates(written, calibrated="calibration" in raw)
    inputs = tuple(input_of(name, item) for name, item in raw["inputs"].items())
    return Recipe(
        name=raw["name"],
        source=_source(raw["model"]),
        inputs=inputs,
        outputs=tuple(raw.get("outputs", ())),
        surgery=tuple(_step(step) for step in raw.get("surgery", ())),
        precisions={name: precision_section(name, given) for name, given in precisions.items()},
        best=BEST in written,
        build=build_section(raw.get("build", {})),
        calibration=_calibration(raw["calibration"], path.parent) if "calibration" in raw else None,
        verify=_verify(raw["verify"], list(precisions), path.parent) if "verify" in raw else None,
        benchmark=_benchmark(raw, inputs) if "benchmark" in raw else None,
        package=_package(raw.get("package", {})),
        deploy=_deploy(raw["deploy"]) if "deploy" in raw else None,
        cache_policy=tuple(raw.get("cache", {}).get("policy", EXACT)),
        path=path,
        positions=positions,
    )


def _benchmark(raw: RawRecipe, inputs: tuple[Input, ...]) -> Benchmark:
    """The benchmark, whose min, opt and max are those of the profile that it runs in."""
    return benchmark_section(raw["benchmark"], in_benchmarked_profile(raw, inputs))


def _source(model: RawModel) -> Source:
    if "torch" in model:
        return torch_section(model["torch"])
    if "onnx" in model:
        onnx = model["onnx"]
        return OnnxSource(onnx if isinstance(onnx, str) else onnx["file"])
    program = model["exported_program"]
    if isinstance(program, str):
        return ExportedProgramSource(program, OPSET)
    return ExportedProgramSource(program["file"], int(program.get("opset", OPSET)))


def input_of(name: str, item: RawInput) -> Input:
    """One input, from its mapping in a recipe."""
    fixed = item.get("shape", [])
    low, high = item.get("range", (None, None))
    return Input(
        name=name,
        dtype=item["dtype"],
        min=tuple(int(size) for size in item.get("min", fixed)),
        opt=tuple(int(size) for size in item.get("opt", fixed)),
        max=tuple(int(size) for size in item.get("max", fixed)),
        dims=tuple(item["dims"]) if "dims" in item else None,
        range=None if low is None or high is None else (float(low), float(high)),
        values=Values.of(item["values"]) if "values" in item else None,
    )


def _step(step: RawStep) -> SurgeryStep:
    if "hook" in step:
        return SurgeryStep("hook", {"hook": step["hook"], "options": step.get("options", {})})
    options: Options = {name: whole(value) for name, value in step.items() if name != "op"}
    if step["op"] == "remove_nodes":
        options = {"nodes": [], "op_types": [], **options}
    return SurgeryStep(step["op"], options)


def _calibration(raw: RawCalibration, folder: Path) -> Calibration:
    dataset = dataset_section(raw["dataset"], folder) if "dataset" in raw else None
    return calibration_section(raw, dataset)


def _verify(verify: RawVerify, precisions: list[str], folder: Path) -> Verify:
    tolerance = verify.get("tolerance", {})
    options: Options = {
        "samples": whole(verify.get("samples")),
        "batch": whole(verify.get("batch")),
        "metrics": {name: _metric(metric) for name, metric in verify.get("metrics", {}).items()},
    }
    limits: dict[str, Options] = {
        name: {metric: float(limit) for metric, limit in tolerance.get(name, {}).items()}
        for name in precisions
    }
    return Verify(dataset_section(verify.get("dataset", RANDOM), folder), options, limits)


def _metric(metric: RawMetric) -> Options:
    least = float(metric["min"]) if "min" in metric else None
    if "hook" in metric:
        return {"hook": metric["hook"], "options": metric.get("options", {}), "min": least}
    return {
        "kind": metric["kind"],
        "output": metric["output"],
        "labels": metric["labels"],
        "min": least,
    }


def _package(package: RawPackage) -> Package:
    return Package(
        licence=package.get("licence"),
        notices=tuple(package.get("notices", ())),
        triton=_triton(package["triton"]) if "triton" in package else None,
    )


def _triton(triton: RawTriton) -> Triton:
    delay = milliseconds_of(triton.get("queue_delay", "0ms"))
    assert delay is not None  # noqa: S101 - the checks have refused what is no duration
    return Triton(
        engine=triton.get("engine", True),
        onnx=triton.get("onnx", False),
        instances=int(triton.get("instances", 1)),
        gpus=tuple(int(number) for number in triton.get("gpus", ())),
        batching=triton.get("batching", True),
        queue_delay_us=round(delay * 1000),
        warmup=triton.get("warmup", True),
    )


def _deploy(deploy: RawDeploy) -> Deploy:
    kind, version = next(iter(deploy.items()))
    return Deploy(kind, str(version))
