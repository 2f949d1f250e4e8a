"""The stages, in one dict; nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

from trtbuild.recipe.build_table import present
from trtbuild.recipe.model import Options
from trtbuild.stages.base import Output, Requirement, Stage

MODEL = Output("model", ("model.onnx", "model.onnx.data"), optional=("model.onnx.data",))
"""An ONNX file; weights beyond what protobuf can hold lie in the one file beside it."""

ONNX = Requirement("onnx", "")
ONNXRUNTIME = Requirement("onnxruntime", "")
SURGEON = Requirement("onnx-graphsurgeon", "")
NUMPY = Requirement("numpy", "")
PILLOW = Requirement("pillow", "images")
TORCH = Requirement("torch", "torch")
CUDA = Requirement("pycuda", "gpu", ("cuda-bindings",))

MEASURED = ("times.json", "profile.json", "output.json", "layers.json", "runtime.cache")
"""What a benchmark writes where its settings ask for it."""


def _source(options: Options) -> tuple[Requirement, ...]:
    """What it takes to run the recipe's source model."""
    source = options["source"]
    assert isinstance(source, dict)  # noqa: S101 - the plan wrote it
    if source["kind"] == "onnx":
        return (ONNX, ONNXRUNTIME, SURGEON)
    found = [ONNX, ONNXRUNTIME, TORCH]
    if source.get("exporter") != "torchscript":
        found.append(Requirement("onnxscript", "torch"))
    if source.get("weights_format") == "safetensors":
        found.append(Requirement("safetensors", "torch"))
    return tuple(found)


def backend_requirement(backend: str) -> Requirement:
    """What must be installed to build with a backend."""
    if backend == "tensorrt_rtx":
        return Requirement(
            "tensorrt-rtx", "rtx", ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu12-bindings")
        )
    return Requirement("tensorrt", "tensorrt", ("tensorrt-cu13-bindings", "tensorrt-cu12-bindings"))


def _backend(options: Options) -> Requirement:
    return backend_requirement(str(options["backend"]))


def _data(options: Options) -> tuple[Requirement, ...]:
    """What it takes to read a dataset."""
    dataset: Any = options.get("dataset") or {}
    return (NUMPY, PILLOW) if dataset.get("kind") == "images" else (NUMPY,)


def _surgery(_: Options) -> tuple[Requirement, ...]:
    return (ONNX, SURGEON, ONNXRUNTIME)  # constants are folded by onnxruntime


def _quantize(options: Options) -> tuple[Requirement, ...]:
    """Casts are put in by modelopt, whose modules import the rest; Q/DQ by trtbuild itself."""
    calibration: Any = options.get("calibration") or {}
    core = (ONNX, ONNXRUNTIME, *_data(calibration))
    if options["precision"] not in ("fp16", "bf16") and options.get("base") == "fp32":
        return core
    names = ("nvidia-modelopt", "torch", "onnxscript", "onnxslim", "polygraphy", "lief")
    return (*core, *(Requirement(name, "quantize") for name in names))


def _builds_for_this_gpu(options: Options) -> bool:
    """TensorRT times kernels on the GPU; TensorRT-RTX needs it as a target, and for a few keys."""
    capabilities = options["compute_capabilities"]
    assert isinstance(capabilities, list)  # noqa: S101 - the plan wrote it
    needed = any(row.on_rtx and value != row.default for row, value in present(options))
    return options["backend"] == "tensorrt" or "current" in capabilities or needed


def _verify(options: Options) -> tuple[Requirement, ...]:
    if not options["gpu"]:
        return (ONNX, ONNXRUNTIME, NUMPY)
    return (ONNX, ONNXRUNTIME, NUMPY, _backend(options), CUDA)


def _benchmark(options: Options) -> tuple[Requirement, ...]:
    baselines: Any = options["baselines"]
    kinds = {spec["kind"] for spec in baselines}
    found = {_backend(options), NUMPY, CUDA}
    if "onnxruntime" in kinds:
        found.add(Requirement("onnxruntime", "", ("onnxruntime-gpu",)))
    if kinds - {"onnxruntime"}:
        found |= {TORCH, *_source(options)}
    return tuple(sorted(found, key=lambda requirement: requirement.distribution))


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("export", 2, "trtbuild.stages.export", (MODEL,), _source),
        Stage("surgery", 2, "trtbuild.stages.surgery", (MODEL,), _surgery),
        Stage(
            "reference",
            4,
            "trtbuild.stages.reference",
            (Output("reference", ("reference.json", "reference.npz")),),
            lambda options: (*_source(options), *_data(options)),
        ),
        Stage(
            "calibrate",
            3,
            "trtbuild.stages.calibrate",
            (Output("table", ("calibration.json", "calibration.cache")),),
            lambda options: (ONNX, ONNXRUNTIME, *_data(options)),
        ),
        Stage(
            "quantize",
            3,
            "trtbuild.stages.quantize",
            (MODEL, Output("report", ("quantize.json",))),
            _quantize,
        ),
        Stage(
            "build",
            2,
            "trtbuild.stages.build",
            (
                Output("engine", ("engine.plan",)),
                Output("info", ("build.json",)),
                Output("log", ("build.log",)),
                Output("timing", ("timing.cache",), optional=("timing.cache",)),
            ),
            lambda options: (_backend(options),),
            needs_gpu=_builds_for_this_gpu,
        ),
        Stage(
            "verify",
            7,
            "trtbuild.stages.verify",
            (Output("result", ("verify.json",)),),
            _verify,
            takes_gpu=True,
        ),
        Stage(
            "benchmark",
            4,
            "trtbuild.stages.benchmark",
            (Output("result", ("benchmark.json", *MEASURED), optional=MEASURED),),
            _benchmark,
            needs_gpu=lambda _: True,
        ),
    )
}
