"""The frozen values that a validated recipe becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"
Options: TypeAlias = dict[str, JSONValue]
"""Options as the action holds them: plain JSON, defaults filled in, numbers normalised."""

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a value stands in its file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class TorchSource:
    """A callable that makes an nn.Module, and the weights that go into it."""

    factory: str  # "models/digits.py:DigitsNet" or "package.module:callable"
    kwargs: Options
    weights: str | None  # .safetensors, .pt or .pth, relative to the recipe
    weights_key: str | None  # where the state dict lies in a checkpoint, dotted
    strict: bool  # whether names in the weights must match the module's exactly
    opset: int
    exporter: str  # "dynamo" or "torchscript"
    files: tuple[str, ...]  # further files that the factory reads


@dataclass(frozen=True, slots=True)
class ExportedProgramSource:
    """A torch.export.ExportedProgram saved as .pt2."""

    file: str
    opset: int


@dataclass(frozen=True, slots=True)
class OnnxSource:
    """An ONNX file, with its external data beside it."""

    file: str


Source: TypeAlias = TorchSource | ExportedProgramSource | OnnxSource


@dataclass(frozen=True, slots=True)
class Values:
    """What an input holds whose values decide shapes: the least, the tuned for, and the most."""

    min: Shape
    opt: Shape
    max: Shape

    @classmethod
    def of(cls, given: Any) -> Values:
        """From the mapping in a recipe, or in the options of a stage."""
        low, opt, high = (tuple(map(int, given[size])) for size in ("min", "opt", "max"))
        return cls(low, opt, high)

    def as_options(self) -> Options:
        """Plain JSON."""
        return {"min": list(self.min), "opt": list(self.opt), "max": list(self.max)}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the model; min = opt = max where it is static."""

    name: str
    dtype: str
    min: Shape
    opt: Shape
    max: Shape
    dims: tuple[str | None, ...] | None  # names of the dimensions, where the recipe gives them
    range: tuple[float, float] | None  # of random values: [low, high)
    values: Values | None = None  # of an input whose values decide shapes

    def in_profile(self, shapes: Mapping[str, Any] | None) -> Input:
        """The input with the min, opt and max of an optimization profile; its own where None."""
        if shapes is None:
            return self
        if "values" in shapes:
            return replace(self, values=Values.of(shapes["values"]))
        low, opt, high = (tuple(map(int, shapes[size])) for size in ("min", "opt", "max"))
        return replace(self, min=low, opt=opt, max=high)


@dataclass(frozen=True, slots=True)
class SurgeryStep:
    """One rewrite of the graph: a named operation with its options, or a Python hook."""

    op: str  # "fold_constants", ..., or "hook"
    options: Options


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where samples come from: a kind of `dataset_section.KINDS`, and the options of that kind."""

    kind: str
    options: Options
    files: tuple[str, ...]  # what the dataset reads, relative to the recipe; declared inputs


@dataclass(frozen=True, slots=True)
class Build:
    """How engines are built: the backend, and the options that go to its builder."""

    backend: str  # "tensorrt" or "tensorrt_rtx"
    options: Options
    files: tuple[tuple[str, str], ...] = ()  # roles and paths of plugins and the timing cache
    device: int | None = None  # the number of the CUDA device; the first one where it is None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What ranges are taken from: a dataset, or a calibration cache of TensorRT."""

    dataset: Dataset | None
    table: str | None  # relative to the recipe
    options: Options  # method, percentile, samples, batch


@dataclass(frozen=True, slots=True)
class Verify:
    """What a variant is compared on, and how far it may be off."""

    dataset: Dataset
    options: Options  # samples, batch, metrics
    tolerance: dict[str, Options]  # precision -> metric -> limit


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How engines are measured, and what they are held to."""

    options: Options  # of the stage, with every default
    files: tuple[tuple[str, str], ...]  # inputs and the files with their values, sorted
    gates: Options  # as written; they are judged after the run and decide no result
    torch: TorchSource | None  # what PyTorch runs beside the engine, where that is not the model


@dataclass(frozen=True, slots=True)
class Triton:
    """How Triton Inference Server is to serve the variants."""

    engine: bool
    onnx: bool  # a further model per variant, for ONNX Runtime
    instances: int
    gpus: tuple[int, ...]  # () is all of them
    batching: bool
    queue_delay_us: int
    warmup: bool


@dataclass(frozen=True, slots=True)
class Package:
    """What a release holds beside the engines; it decides no action."""

    licence: str | None
    notices: tuple[str, ...]
    triton: Triton | None


@dataclass(frozen=True, slots=True)
class Deploy:
    """Where the engines will run: "tensorrt", "tensorrt_rtx" or "triton", and its version."""

    kind: str
    version: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe: a model and how it becomes engines.

    `path` and `positions` say where it was written and never enter an action.
    """

    name: str
    source: Source
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    surgery: tuple[SurgeryStep, ...]
    precisions: dict[str, Options]  # variant name -> options of that precision
    best: bool  # whether they are candidates, of which the best is kept
    build: Build
    calibration: Calibration | None
    verify: Verify | None
    benchmark: Benchmark | None
    package: Package
    deploy: Deploy | None
    cache_policy: tuple[str, ...]  # what may differ in a result of another machine
    path: Path = field(compare=False)
    positions: dict[tuple[str | int, ...], Position] = field(compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """The folder that the recipe's relative paths start from."""
        return self.path.parent

    def where(self, *key: str | int) -> str:
        """`recipe.yaml:12:7 inputs.image.opt` for the nearest written ancestor of a key."""
        dotted = dotted_key(key)
        for length in range(len(key), -1, -1):
            position = self.positions.get(key[:length])
            if position is not None:
                return f"{self.path}:{position.line}:{position.column} {dotted}".rstrip()
        return f"{self.path} {dotted}".rstrip()


def dotted_key(key: tuple[str | int, ...]) -> str:
    """`surgery[2].op` for ("surgery", 2, "op")."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")
