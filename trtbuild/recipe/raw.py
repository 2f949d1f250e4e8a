"""The types of a recipe as it is written, once the schema has passed it.

No key is certain: what the schema refused was taken out, so that the rest can still be checked.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

from trtbuild.recipe.model import JSONValue


class RawTorch(TypedDict, total=False):
    """`model.torch`."""

    factory: str
    kwargs: dict[str, JSONValue]
    weights: str
    weights_key: str
    strict: bool
    opset: int
    exporter: str
    files: list[str]


class RawFile(TypedDict, total=False):
    """`model.onnx` and `model.exported_program` as mappings."""

    file: str
    opset: int


class RawModel(TypedDict, total=False):
    """`model`."""

    torch: RawTorch
    onnx: str | RawFile
    exported_program: str | RawFile


class RawInput(TypedDict, total=False):
    """`inputs.NAME`."""

    dtype: str
    shape: list[int]
    min: list[int]
    opt: list[int]
    max: list[int]
    dims: list[str | None]
    range: list[float]
    values: dict[str, list[int]]


class RawStep(TypedDict, total=False):
    """`surgery[N]`, of any operation."""

    op: str
    hook: str
    options: dict[str, JSONValue]
    tensors: dict[str, JSONValue]
    inputs: list[str]
    outputs: list[str]
    nodes: list[str]
    op_types: list[str]


class RawPrecision(TypedDict, total=False):
    """`precisions.NAME`."""

    keep_fp32: list[str]
    keep_io_types: bool
    base: str
    op_types: list[str]
    exclude: list[str]
    attention: bool
    per_channel: bool
    method: str
    block_size: int


RawBuild: TypeAlias = dict[str, Any]
"""`build`, whose keys are the rows of `trtbuild.recipe.build_table`."""


class RawRandom(TypedDict, total=False):
    """`verify.dataset.random`."""

    seed: int


class RawDataset(TypedDict, total=False):
    """`verify.dataset` and `calibration.dataset`: one kind, and the options of that."""

    npz: str
    npy: str
    images: str
    audio: str
    python: str
    options: dict[str, JSONValue]
    random: RawRandom
    order: str
    seed: int
    input: str
    fill: dict[str, float]
    colour: str
    resize: int | list[int]
    filter: str
    crop: list[int]
    scale: float
    mean: float | list[float]
    std: float | list[float]
    layout: str
    frame: int
    hop: int
    rate: int


class RawCalibration(TypedDict, total=False):
    """`calibration`."""

    dataset: RawDataset
    table: str
    random: RawRandom
    method: str
    percentile: float
    samples: int
    batch: int


class RawMetric(TypedDict, total=False):
    """`verify.metrics.NAME`."""

    kind: str
    output: str
    labels: str
    hook: str
    options: dict[str, JSONValue]
    min: float


class RawVerify(TypedDict, total=False):
    """`verify`."""

    dataset: RawDataset
    samples: int
    batch: int
    tolerance: dict[str, dict[str, float]]
    metrics: dict[str, RawMetric]


class RawBenchmarkInputs(TypedDict, total=False):
    """`benchmark.inputs`."""

    seed: int
    files: dict[str, str]


class RawBaseline(TypedDict, total=False):
    """`benchmark.baselines[N]`, of any kind."""

    kind: str
    dtype: str
    tf32: bool
    mode: str
    provider: str
    threads: int
    graph: str


class RawBenchmark(TypedDict, total=False):
    """`benchmark`."""

    shapes: Any  # what `trtbuild.recipe.benchmark_shapes` reads
    inputs: RawBenchmarkInputs
    warmup: str
    duration: str
    iterations: int
    streams: int
    threads: bool
    transfers: bool
    overlap: bool
    spin_wait: bool
    cuda_graph: bool | str
    sleep: str
    idle: str
    profile_index: int
    allocation: str
    persistent_cache_ratio: float
    weight_streaming_budget: int | str
    runtime_cache: bool
    kernel_specialization: str
    percentiles: list[float]
    profile: bool
    time_deserialize: bool
    time_refit: bool
    export: list[str]
    baselines: list[str | RawBaseline]
    torch: RawTorch
    rounds: int
    round: str
    gates: dict[str, str | dict[str, str]]


class RawTriton(TypedDict, total=False):
    """`package.triton`."""

    engine: bool
    onnx: bool
    instances: int
    gpus: list[int]
    batching: bool
    queue_delay: str
    warmup: bool


class RawPackage(TypedDict, total=False):
    """`package`."""

    licence: str
    notices: list[str]
    triton: RawTriton


class RawDeploy(TypedDict, total=False):
    """`deploy`."""

    tensorrt: str
    tensorrt_rtx: str
    triton: str


class RawCache(TypedDict, total=False):
    """`cache`."""

    policy: list[str]


class RawRecipe(TypedDict, total=False):
    """The whole recipe."""

    trtbuild: int
    name: str
    model: RawModel
    inputs: dict[str, RawInput]
    outputs: list[str]
    surgery: list[RawStep]
    precisions: str | list[str] | dict[str, RawPrecision | None]
    build: RawBuild
    calibration: RawCalibration
    verify: RawVerify
    benchmark: RawBenchmark
    package: RawPackage
    deploy: RawDeploy
    cache: RawCache
