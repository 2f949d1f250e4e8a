"""The plan: a recipe becomes tasks. Pure: no GPU, no cache, no clock, no file is read."""

from __future__ import annotations

from typing import Any

from trtbuild.graph.action import ArtifactRef, InputRef, SourceFile, Task
from trtbuild.graph.names import (
    after_surgery,
    input_options,
    points_after_surgery,
    profile_options,
    profiles_after_surgery,
    renames_of,
)
from trtbuild.graph.sources import source_files, source_options
from trtbuild.recipe.build_section import files_of
from trtbuild.recipe.dataset_section import SUFFIXES
from trtbuild.recipe.model import (
    Benchmark,
    Calibration,
    Dataset,
    Options,
    Recipe,
    Verify,
)
from trtbuild.recipe.precision_section import CALIBRATED, UNCHANGED, needs_data

DEFAULT_VERIFY = Verify(Dataset("random", {"seed": 0}, ()), {}, {})
"""Without a dataset, stages are still compared with each other, on seeded random inputs."""


def plan(recipe: Recipe) -> tuple[Task, ...]:
    """The tasks of a recipe, each after the ones it needs."""
    export = _export(recipe)
    tasks = [export]
    if recipe.surgery:
        tasks.append(_surgery(recipe, export))
    model = tasks[-1]
    reference = _reference(recipe, export)
    tasks.append(reference)
    if CALIBRATED & recipe.precisions.keys():
        tasks.append(_calibrate(recipe, model))
    for variant in recipe.precisions:
        tasks += _variant(recipe, variant, export, model, reference)
    return tuple(tasks)


def _variant(
    recipe: Recipe, variant: str, export: Task, model: Task, reference: Task
) -> list[Task]:
    tasks = []
    lowered = model
    if variant not in UNCHANGED:
        lowered = _quantize(recipe, variant, model, reference)
        tasks.append(lowered)
    build = _build(recipe, variant, lowered)
    tasks += [build, _verify(recipe, variant, (export, model, lowered), reference, build)]
    if recipe.benchmark is not None:
        tasks.append(_benchmark(recipe, recipe.benchmark, build, (model, lowered)))
    return tasks


def _export(recipe: Recipe) -> Task:
    # opt is no option of the export: it decides what the builder tunes for, not what the graph is.
    inputs: list[Any] = [
        {k: v for k, v in item.items() if k != "opt"} for item in input_options(recipe)
    ]
    options: Options = {
        "source": source_options(recipe.source),
        "inputs": inputs,
        "outputs": list(recipe.outputs),
    }
    return Task(
        "export", "export", None, options, source_files(recipe.source), "export", ("model",)
    )


def _surgery(recipe: Recipe, export: Task) -> Task:
    steps: list[Any] = [{"op": step.op, **step.options} for step in recipe.surgery]
    return Task(
        "surgery",
        "surgery",
        None,
        {"steps": steps},
        (ArtifactRef("model", export.id, "model"),),
        "surgery",
        ("surgery",),
    )


def _reference(recipe: Recipe, export: Task) -> Task:
    verify = recipe.verify or DEFAULT_VERIFY
    options: Options = {
        "source": source_options(recipe.source),
        "inputs": input_options(recipe),
        "dataset": {"kind": verify.dataset.kind, **verify.dataset.options},
        "samples": verify.options.get("samples"),
        "batch": verify.options.get("batch"),
        **({"profiles": profiles} if (profiles := recipe.build.options.get("profiles")) else {}),
    }
    inputs = (
        *source_files(recipe.source),
        *_dataset_files(verify.dataset),
        ArtifactRef("exported", export.id, "model"),
    )
    return Task("reference", "reference", None, options, inputs, "reference", ("verify", "dataset"))


def _quantize(recipe: Recipe, variant: str, model: Task, reference: Task) -> Task:
    options: Options = {
        "precision": variant,
        "inputs": after_surgery(recipe, input_options(recipe)),
        "renames": renames_of(recipe),
        **recipe.precisions[variant],
    }
    inputs: list[InputRef] = [
        ArtifactRef("model", model.id, "model"),
        ArtifactRef("reference", reference.id, "reference"),
    ]
    if variant in CALIBRATED:
        inputs.append(ArtifactRef("calibration", "calibrate", "table"))
    elif needs_data(variant, recipe.precisions[variant]):
        calibration = _calibration_of(recipe)
        options["calibration"] = _calibration_options(calibration)
        inputs += _calibration_files(calibration)
    return Task(
        f"quantize:{variant}",
        "quantize",
        variant,
        options,
        tuple(inputs),
        variant,
        ("precisions", variant),
    )


def _calibrate(recipe: Recipe, model: Task) -> Task:
    """One for all precisions: what is quantized, and on top of what, changes no range."""
    calibration = _calibration_of(recipe)
    options: Options = {
        # What a dataset has to fit; its batch is that of opt unless the recipe says another. A
        # table of TensorRT's is read as it is, whatever the shapes are.
        "inputs": after_surgery(recipe, input_options(recipe)) if calibration.dataset else [],
        "renames": renames_of(recipe) if calibration.dataset else {},
        **_calibration_options(calibration),
    }
    inputs = (ArtifactRef("model", model.id, "model"), *_calibration_files(calibration))
    return Task("calibrate", "calibrate", None, options, inputs, "calibrate", ("calibration",))


def _calibration_of(recipe: Recipe) -> Calibration:
    assert recipe.calibration is not None  # noqa: S101 - the checks require it of such precisions
    return recipe.calibration


def _calibration_options(calibration: Calibration) -> Options:
    if calibration.dataset is None:
        return {"dataset": None}
    dataset = calibration.dataset
    return {"dataset": {"kind": dataset.kind, **dataset.options}, **calibration.options}


def _calibration_files(calibration: Calibration) -> tuple[InputRef, ...]:
    if calibration.table is not None:
        return (SourceFile("table", calibration.table),)
    return _dataset_files(calibration.dataset) if calibration.dataset else ()


def _build(recipe: Recipe, variant: str, model: Task) -> Task:
    options: Options = {
        "backend": recipe.build.backend,
        "precision": variant,
        "inputs": after_surgery(recipe, [profile_options(item) for item in recipe.inputs]),
        **_lowered(recipe, variant),
        **recipe.build.options,
        **profiles_after_surgery(recipe),
        **_tf32(recipe, variant),
    }
    files = [SourceFile(role, path) for role, path in files_of(recipe.build, variant)]
    inputs: tuple[InputRef, ...] = (ArtifactRef("model", model.id, "model"), *files)
    return Task(f"build:{variant}", "build", variant, options, inputs, variant, ("build",))


def _lowered(recipe: Recipe, variant: str) -> Options:
    """The base of a variant whose inputs and outputs have its type: the name does not tell it."""
    options = recipe.precisions[variant]
    lowers = not options.get("keep_io_types", True) and options.get("base", "fp32") != "fp32"
    return {"base": options["base"]} if lowers else {}


def _tf32(recipe: Recipe, variant: str) -> Options:
    """A tf32 variant allows TF32, and an fp32 variant beside one means what it says."""
    if variant == "tf32":
        return {"tf32": True}
    return {"tf32": False} if variant == "fp32" and "tf32" in recipe.precisions else {}


def _verify(
    recipe: Recipe, variant: str, models: tuple[Task, Task, Task], reference: Task, build: Task
) -> Task:
    export, rewritten, quantized = models
    verify = recipe.verify or DEFAULT_VERIFY
    options: Options = {
        "backend": recipe.build.backend,
        "precision": variant,
        "inputs": input_options(recipe),
        "renames": renames_of(recipe),
        "tolerance": verify.tolerance.get(variant, {}),
        "metrics": verify.options.get("metrics", {}),
        **_kernels(recipe),
        # A candidate that does not pass is a result: it is cached, and not chosen.
        **({"required": False} if recipe.best else {}),
    }
    inputs: list[InputRef] = [
        ArtifactRef("reference", reference.id, "reference"),
        ArtifactRef("exported", export.id, "model"),
    ]
    if rewritten is not export:
        inputs.append(ArtifactRef("rewritten", rewritten.id, "model"))
    if quantized is not rewritten:
        inputs.append(ArtifactRef("quantized", quantized.id, "model"))
    inputs += [
        ArtifactRef("engine", build.id, "engine"),
        ArtifactRef("info", build.id, "info"),
        *_plugins(recipe),
    ]
    return Task(
        f"verify:{variant}", "verify", variant, options, tuple(inputs), variant, ("verify",)
    )


def _kernels(recipe: Recipe) -> Options:
    """Verify runs the kernels that are measured: which ones TensorRT-RTX makes decides numbers."""
    if recipe.build.backend != "tensorrt_rtx" or recipe.benchmark is None:
        return {}
    return {"kernel_specialization": recipe.benchmark.options["kernel_specialization"]}


def _benchmark(
    recipe: Recipe, benchmark: Benchmark, build: Task, models: tuple[Task, Task]
) -> Task:
    """Gates are no options: another limit measures nothing anew."""
    model, lowered = models
    baselines = _listed(benchmark.options["baselines"])
    kinds = {spec["kind"] for spec in baselines}
    torch = bool(kinds - {"onnxruntime"})
    options: Options = {
        "backend": recipe.build.backend,
        "inputs": after_surgery(recipe, input_options(recipe)),
        "source": _run_by_torch(recipe, benchmark) if torch else None,
        **benchmark.options,
        **points_after_surgery(recipe, benchmark),
    }
    inputs: list[InputRef] = [ArtifactRef("engine", build.id, "engine"), *_plugins(recipe)]
    names = renames_of(recipe)
    inputs += [SourceFile(f"input.{names.get(n, n)}", path) for n, path in benchmark.files]
    if torch:
        inputs += source_files(benchmark.torch or recipe.source)
    if "onnxruntime" in kinds or benchmark.torch is not None:
        inputs.append(ArtifactRef("model", model.id, "model"))
    if any(spec.get("graph") == "variant" for spec in baselines):
        inputs.append(ArtifactRef("variant", lowered.id, "model"))
    if benchmark.options["time_refit"]:
        inputs.append(ArtifactRef("refit", lowered.id, "model"))
    return Task(
        f"benchmark:{build.variant}",
        "benchmark",
        build.variant,
        options,
        tuple(inputs),
        build.folder,
        ("benchmark",),
    )


def _plugins(recipe: Recipe) -> tuple[InputRef, ...]:
    """The libraries that an engine needs to be loaded too, not only to be built."""
    return tuple(
        SourceFile(role, path)
        for role, path in recipe.build.files
        if role.startswith(("plugins/static/", "plugins/dynamic/"))
    )


def _listed(value: Any) -> list[Any]:
    return list(value)


def _run_by_torch(recipe: Recipe, benchmark: Benchmark) -> Options:
    """The source model, or a module of its own that is to compute the same."""
    if benchmark.torch is None:
        return source_options(recipe.source)
    return {**source_options(benchmark.torch), "apart": True}


def _dataset_files(dataset: Dataset) -> tuple[InputRef, ...]:
    if len(dataset.files) == 1 and dataset.kind not in SUFFIXES:
        return (SourceFile("dataset", dataset.files[0]),)
    return tuple(SourceFile(f"dataset/{name}", name) for name in dataset.files)
