"""Loads an engine file of any flavour, and says what it takes and gives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from trtbuild.cuda.device import Device
from trtbuild.errors import StageError
from trtbuild.recipe.model import Shape
from trtbuild.trt.errors import LOAD_CAUSES, Explanation, explain
from trtbuild.trt.flavour import Flavour, dtype_name, load_backend
from trtbuild.trt.header import read_plan_header
from trtbuild.trt.logger import Log, recording
from trtbuild.trt.plugins import NONE, Plugins, load_plugins
from trtbuild.trt.refusal import check_header
from trtbuild.trt.tensors import Ranges, Tensor, shape_problems

WRONG_MACHINE = Explanation(
    "",
    "an engine runs with the version, and on the kind of GPU, that it was built for: build it "
    "here, or check the file against the digest in its build record",
)
"""Where TensorRT's words say no more."""


class Engine:
    """A deserialised engine; used within `opened`, while its device is current."""

    def __init__(
        self, native: Any, runtime: Any, flavour: Flavour, device: Device, log: Log, path: Path
    ) -> None:
        self.native = native
        self._runtime = runtime  # must outlive the engine
        self.load_ms = 0.0  # the first deserialisation in this process, which loads libraries too
        self.flavour = flavour
        self.device = device
        self.log = log
        self.path = path
        self.tensors = tuple(
            self._tensor(native.get_tensor_name(i)) for i in range(native.num_io_tensors)
        )
        self.inputs = tuple(tensor for tensor in self.tensors if tensor.is_input)
        self.outputs = tuple(tensor for tensor in self.tensors if not tensor.is_input)
        self.profiles = int(native.num_optimization_profiles)

    def ranges(self, profile: int) -> dict[str, Ranges]:
        """The shapes that each input may have in an optimization profile."""
        return {tensor.name: self._ranges(tensor, profile) for tensor in self.inputs}

    def opt_values(self, tensor: Tensor, profile: int) -> Shape:
        """The opt values of an input whose values are shapes; () where the profile has none."""
        # The bindings name these two arguments the wrong way round.
        found = self.native.get_tensor_profile_values(profile, tensor.name)
        return _shape(found[1]) if found else ()

    def aliased_input(self, output: Tensor) -> str | None:
        """The input whose memory an output is written to, as a KV cache that is updated; or None.

        IKVCacheUpdateLayer wants both at the same address.
        """
        if not hasattr(self.native, "get_aliased_input_tensor"):  # before 10.15
            return None
        return self.native.get_aliased_input_tensor(output.name) or None

    def deserialise_again(self, plan: bytes) -> Any:
        """Another engine of the same plan, to time it; None where TensorRT refuses."""
        return self._runtime.deserialize_cuda_engine(plan)

    def layer_information(self, context: Any = None) -> str:
        """The inspector's JSON of all layers, verbatim; with the shapes of an execution context."""
        inspector = self.native.create_engine_inspector()
        if context is not None:
            inspector.execution_context = context
        form = self.flavour.module.LayerInformationFormat.JSON
        return str(inspector.get_engine_information(form))

    def failure(self, what: str) -> StageError:
        """What TensorRT said last, as an error of this engine."""
        said = self.log.last_error or "TensorRT gave no reason"
        cause = explain(said, LOAD_CAUSES)
        if cause is None:
            return StageError(f"{what}: {said}", where=str(self.path))
        text = f"{what} on {self.device.facts.name}: {cause.meaning}: {said}"
        return StageError(text, where=str(self.path), hint=cause.remedy)

    def _tensor(self, name: str) -> Tensor:
        trt, native = self.flavour.module, self.native
        return Tensor(
            name=name,
            is_input=native.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            dtype=dtype_name(native.get_tensor_dtype(name)),
            shape=tuple(native.get_tensor_shape(name)),
            on_host=native.get_tensor_location(name) == trt.TensorLocation.HOST,
        )

    def _ranges(self, tensor: Tensor, profile: int) -> Ranges:
        low, opt, high = self.native.get_tensor_profile_shape(tensor.name, profile)
        # An input that is static, or whose values are shapes, may have no ranges of its own.
        if len(low) != len(tensor.shape):
            return tensor.shape, tensor.shape, tensor.shape
        return _shape(low), _shape(opt), _shape(high)


@contextmanager
def opened(path: Path, backend: str, device: Device, plugins: Plugins = NONE) -> Iterator[Engine]:
    """The engine of a file, on a device that is current within the block.

    The libraries of `plugins` are loaded first, but for those that are stored in the engine.

    Raises StageError where the file is no engine, is damaged, or was built for another version
    or GPU; MissingPackage or UsageError where the backend cannot be loaded.
    """
    flavour = load_backend(backend)
    with recording(flavour) as log, device.current():
        engine = deserialise(path, flavour, device, log, plugins)
        yield engine


def deserialise(
    path: Path, flavour: Flavour, device: Device, log: Log, plugins: Plugins = NONE
) -> Engine:
    """The engine of a file; the device is current. Raises as `opened`."""
    plan = load_plan(path, flavour)
    runtime = log.create("Runtime")
    load_plugins(log, runtime, replace(plugins, serialize=()))
    started = time.perf_counter()
    native = runtime.deserialize_cuda_engine(plan)
    load_ms = (time.perf_counter() - started) * 1000
    if native is None:
        said = "; ".join(log.errors) or "TensorRT gave no reason"
        facts = device.facts
        cause = explain(said, LOAD_CAUSES) or WRONG_MACHINE
        meaning = f"{cause.meaning}: " if cause.meaning else ""
        raise StageError(
            f"{flavour.title} cannot load this engine on {facts.name} (compute capability "
            f"{facts.compute_capability}): {meaning}{said}",
            where=str(path),
            hint=cause.remedy,
        )
    engine = Engine(native, runtime, flavour, device, log, path)
    engine.load_ms = load_ms
    return engine


def require_shapes(
    engine: Engine, shapes: Mapping[str, Shape], profile: int, whose: str = ""
) -> None:
    """Raises StageError for shapes of the inputs that an optimization profile does not take."""
    if problems := shape_problems(shapes, engine.ranges(profile)):
        raise StageError(
            f"the shapes{whose} are outside optimization profile {profile}: {'; '.join(problems)}",
            where=str(engine.path),
            hint="use shapes within the profile, or widen the inputs' min and max and build again",
        )


def load_plan(path: Path, flavour: Flavour) -> bytes:
    """The plan in a file, without what other tools put in front of it.

    Raises StageError where the file holds no whole engine that this flavour could load.
    """
    header = read_plan_header(path)
    check_header(header, flavour, str(path))
    return path.read_bytes()[header.offset :]


def _shape(dims: Any) -> Shape:
    return tuple(int(size) for size in dims)
