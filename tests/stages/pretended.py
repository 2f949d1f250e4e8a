"""A GPU and a TensorRT-RTX that do nothing but say how long: the benchmark stage runs on them.

What it does with shapes, files, settings and a second engine is seen so on every machine; real
times, memory and results are seen in tests/gpu.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from trtbuild.cuda.errors import CudaError
from trtbuild.cuda.probe import DeviceFacts
from trtbuild.stages import benchmark
from trtbuild.stages.base import StageContext

FACTS = DeviceFacts(
    0, "NVIDIA Pretended", "9.0", 80 << 30, "GPU-1", "0000:01:00.0", 132, 50 << 20, 30 << 20,
    False, "580.1", "13.0",
)  # fmt: skip


def enumeration(name: str, *members: str) -> Any:
    return enum.IntEnum(name, {member: number for number, member in enumerate(members)})


class Logger:
    """An ILogger."""

    Severity = enumeration("Severity", "INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")


MODULE = SimpleNamespace(
    ILogger=Logger,
    TensorIOMode=enumeration("TensorIOMode", "INPUT", "OUTPUT"),
    TensorLocation=enumeration("TensorLocation", "DEVICE", "HOST"),
    TensorFormat=enumeration("TensorFormat", "LINEAR", "HWC"),
    DataType=enumeration("DataType", "FLOAT"),
    ExecutionContextAllocationStrategy=enumeration("Strategy", "STATIC", "USER_MANAGED"),
    CudaGraphStrategy=enumeration("Graphs", "DISABLED", "WHOLE_GRAPH_CAPTURE"),
    DynamicShapesKernelSpecializationStrategy=enumeration("Kernels", "LAZY", "EAGER", "NONE"),
    LayerInformationFormat=enumeration("Format", "JSON"),
    IProfiler=object,
    Runtime=lambda _: SimpleNamespace(deserialize_cuda_engine=lambda plan: Native(plan)),  # noqa: PLW0108 - defined below
)
FLAVOUR = SimpleNamespace(
    backend="tensorrt_rtx",
    title="TensorRT-RTX",
    version="1.6.1.120",
    module=MODULE,
    has=lambda _: True,
)


class Native:
    """An ICudaEngine; the plan says {"inputs": [{name, min, opt, max}], "ms", "streamed"}, and
    "fails": the CUresult of what is allocated once it is loaded.
    """

    loaded: ClassVar[list[Native]] = []

    def __init__(self, plan: bytes) -> None:
        self.plan: Any = json.loads(plan)
        self.fails = self.plan.get("fails")
        self.loaded.append(self)
        self.names = [item["name"] for item in self.plan["inputs"]] + ["y"]
        self.num_io_tensors = len(self.names)
        self.num_optimization_profiles = 1
        self.refittable = False
        self.streamable_weights_size = self.plan.get("streamed", 0)
        self.weight_streaming_budget_v2 = self.streamable_weights_size
        self.get_tensor_name = self.names.__getitem__

    def takes_ms(self) -> float:
        """Of a query; weights that are not on the GPU take as long again."""
        whole = self.streamable_weights_size
        streamed = 1 - self.weight_streaming_budget_v2 / whole if whole else 0
        return float(self.plan.get("ms", 0.2)) * (1 + streamed)

    def get_tensor_mode(self, name: str) -> Any:
        return MODULE.TensorIOMode.OUTPUT if name == "y" else MODULE.TensorIOMode.INPUT

    def get_tensor_dtype(self, _: str) -> Any:
        return MODULE.DataType.FLOAT

    def get_tensor_shape(self, _: str) -> list[int]:
        return [-1, 4]

    def get_tensor_location(self, _: str) -> Any:
        return MODULE.TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name: str, _: int) -> list[list[int]]:
        item = next(item for item in self.plan["inputs"] if item["name"] == name)
        return [item["min"], item["opt"], item["max"]]

    def get_tensor_vectorized_dim(self, *_: object) -> int:
        return -1

    def get_tensor_format(self, *_: object) -> Any:
        return MODULE.TensorFormat.LINEAR

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(set_execution_context_allocation_strategy=lambda _: None)

    def create_execution_context(self, _: object) -> Any:
        return Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda _: '{"Layers": []}')


class Context:
    """An IExecutionContext."""

    def __init__(self, engine: Native) -> None:
        self.engine, self.shapes = engine, {}
        self.active_optimization_profile = 0

    def set_optimization_profile_async(self, *_: object) -> bool:
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes.get(name) or next(iter(self.shapes.values()))

    def set_tensor_address(self, *_: object) -> bool:
        return True

    def execute_async_v3(self, _: object) -> bool:
        Clock.ms += self.engine.takes_ms()
        return True


class Clock:
    """The GPU's own time, which no load of this machine disturbs."""

    ms = 0.0


class Event:
    """A CUDA event."""

    def record(self, _: object) -> None:
        self.at = Clock.ms

    def synchronize(self) -> None: ...

    def time_since(self, other: Event) -> float:
        return self.at - other.at


class DriverError(Exception):
    """What a provider of the CUDA layer raises, which only `converted` makes a CudaError of."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Device:
    """A device of the CUDA layer; memory for an engine may fail, with a CUresult."""

    facts, provider = FACTS, "pretended"

    @contextmanager
    def current(self) -> Iterator[None]:
        with self.converted():
            yield

    @contextmanager
    def converted(self) -> Iterator[None]:
        try:
            yield
        except DriverError as error:
            raise CudaError("cuMemAlloc", error.code, "out of memory") from error

    def stream(self) -> Any:
        nothing = {"synchronize": lambda: None, "wait_for_event": lambda _: None}
        return SimpleNamespace(handle=1, **nothing)

    def event(self, *, spin: bool) -> Event:  # noqa: ARG002 - the Protocol's
        return Event()

    def memory(self, size: int) -> Any:
        if Native.loaded and Native.loaded[-1].fails is not None:
            raise DriverError(Native.loaded[-1].fails)
        return SimpleNamespace(address=4096, size=size, free=lambda: None)

    def pinned(self, size: int) -> Any:
        return np.zeros(size, np.uint8)

    def copy_to_device(self, *_: object) -> None: ...

    def copy_to_host(self, *_: object) -> None: ...

    def sleep(self, *_: object) -> None: ...

    def free_memory(self) -> int:
        return 1 << 30

    def synchronize(self) -> None: ...

    def close(self) -> None: ...


class Reporter:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def progress(self, text: str, fraction: float | None = None) -> None: ...

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process see the GPU and TensorRT-RTX."""
    device = Device()
    # The process keeps one logger for each backend: the real one must not meet this one's.
    monkeypatch.setattr("trtbuild.trt.logger._routers", {})
    monkeypatch.setattr(Native, "loaded", [])
    monkeypatch.setattr("trtbuild.stages.benchmark.open_device", lambda **_: device)
    monkeypatch.setattr("trtbuild.trt.engine.load_backend", lambda _: FLAVOUR)
    monkeypatch.setattr("trtbuild.trt.engine.load_plan", lambda path, _: path.read_bytes())
    monkeypatch.setattr("trtbuild.trt.engine.load_plugins", lambda *_: None)
    monkeypatch.setattr("trtbuild.trt.engine.dtype_name", lambda _: "float32")


def engine(name: str = "x", most: int = 8, **more: Any) -> dict[str, Any]:
    """A plan with one input of [1..most, 4]; `more` is what else it says."""
    return {"inputs": [{"name": name, "min": [1, 4], "opt": [2, 4], "max": [most, 4]}], **more}


def measured(
    folder: Path, plan: dict[str, Any], files: dict[str, Any] | None = None, **options: Any
) -> tuple[dict[str, Any], list[str]]:
    """benchmark.json and the warnings of the stage; `files` are documents or paths by role."""
    outputs = folder / "outputs"
    outputs.mkdir(exist_ok=True)
    inputs = {}
    for role, content in {"engine": plan, **(files or {})}.items():
        inputs[role] = content if isinstance(content, Path) else folder / role
        if not isinstance(content, Path):
            inputs[role].write_text(json.dumps(content))
    quick = {"warmup_ms": 2, "duration_s": 0.01, "iterations": 5, "rounds": 10, "round_ms": 5}
    reporter = Reporter()
    given: Any = {"backend": "tensorrt_rtx", **quick, **options}
    benchmark.run(StageContext(given, inputs, outputs, folder, reporter))
    return json.loads((outputs / "benchmark.json").read_text()), reporter.warnings
