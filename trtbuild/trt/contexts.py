"""Makes execution contexts with the options of a benchmark: memory, caches, RTX's run time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from trtbuild.cuda.device import Memory
from trtbuild.errors import StageError
from trtbuild.trt.engine import Engine

STATIC, PROFILE, RUNTIME = "static", "profile", "runtime"
EAGER = "eager"


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """How an execution context is made."""

    profile: int = 0
    allocation: str = STATIC  # or PROFILE, RUNTIME: we give the memory, for the profile or shapes
    cuda_graph: bool = False  # RTX captures and launches graphs itself
    kernel_specialization: str = EAGER  # RTX: or "lazy", "none"; TensorRT itself has no such
    persistent_cache: int = 0  # bytes of the L2 cache


class Contexts:
    """Makes the contexts of one engine, and holds what they share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runtime_cache: Any = None

    def create(self, options: ContextOptions) -> Any:
        """An execution context; raises StageError where TensorRT makes none."""
        native = self._engine.native.create_execution_context(self._configuration(options))
        if native is None:
            raise self._engine.failure("no execution context could be made")
        if options.persistent_cache:
            native.persistent_cache_limit = options.persistent_cache
        return native

    def use_runtime_cache(self, stored: bytes) -> bool:
        """Contexts made later share RTX's cache of compiled kernels; whether `stored` was taken.

        RTX refuses what another version, GPU or driver compiled, which is no error.
        """
        if not self._engine.flavour.has("IRuntimeConfig.create_runtime_cache"):
            raise self._lacking("a runtime cache")
        self._runtime_cache = self._engine.native.create_runtime_config().create_runtime_cache()
        return bool(stored) and bool(self._runtime_cache.deserialize(stored))

    def runtime_cache(self) -> bytes:
        """What RTX has compiled so far, to be stored beside the engine."""
        blob = self._runtime_cache.serialize() if self._runtime_cache is not None else None
        return b"" if blob is None else bytes(blob)

    def _configuration(self, options: ContextOptions) -> Any:
        """What create_execution_context takes: a runtime config, or the strategy alone."""
        trt, flavour = self._engine.flavour.module, self._engine.flavour
        strategies = trt.ExecutionContextAllocationStrategy
        ours = options.allocation != STATIC
        strategy = strategies.USER_MANAGED if ours else strategies.STATIC
        if not flavour.has("CudaGraphStrategy"):
            self._refuse_rtx_options(options)
            return strategy
        config = self._engine.native.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        graphs = trt.CudaGraphStrategy
        config.cuda_graph_strategy = (
            graphs.WHOLE_GRAPH_CAPTURE if options.cuda_graph else graphs.DISABLED
        )
        kernels = trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = getattr(
            kernels, options.kernel_specialization.upper()
        )
        if self._runtime_cache is not None:
            config.set_runtime_cache(self._runtime_cache)
        return config

    def _refuse_rtx_options(self, options: ContextOptions) -> None:
        if options.cuda_graph:
            raise self._lacking("CUDA graphs of its own (cuda_graph: capture works)")

    def _lacking(self, what: str) -> StageError:
        return StageError(
            f"{self._engine.flavour.title} has no {what}", hint="that is TensorRT-RTX's"
        )


def give_memory(engine: Engine, native: Any, options: ContextOptions) -> Memory | None:
    """The context's own memory where the allocation is ours; shapes are set before.

    Keep it as long as the context. As trtexec's --allocationStrategy: enough for the whole
    profile, or just for the shapes that are set.
    """
    if options.allocation == STATIC:
        return None
    if options.allocation == PROFILE:
        size = int(engine.native.get_device_memory_size_for_profile_v2(options.profile))
    else:
        size = int(native.update_device_memory_size_for_shapes())
    memory = engine.device.memory(size)
    native.set_device_memory(memory.address, size)
    return memory


def set_weight_streaming(engine: Engine, budget: int | str | None) -> int | None:
    """Sets how much of the weights stays on the GPU; bytes, None where all does.

    `budget` is bytes, a share of the streamable weights as "40%", or "auto". Raises StageError
    for an engine that cannot stream, or a budget that TensorRT refuses.
    """
    if budget is None:
        return None
    native = engine.native
    streamable = int(native.streamable_weights_size)
    if streamable == 0:
        raise StageError(
            "this engine cannot stream its weights",
            where=str(engine.path),
            hint="build it with weight streaming, or leave weight_streaming_budget out",
        )
    size = _budget(native, streamable, budget)
    native.weight_streaming_budget_v2 = size
    if int(native.weight_streaming_budget_v2) != size:
        raise engine.failure(f"a weight streaming budget of {size} bytes is refused")
    return size


def _budget(native: Any, streamable: int, budget: int | str) -> int:
    if isinstance(budget, int):
        return budget
    if budget == "auto":
        return int(native.get_weight_streaming_automatic_budget())
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)%", budget)
    if percent is None or float(percent[1]) > 100:
        raise StageError(
            f"weight_streaming_budget is {budget!r}", hint='give bytes, "auto", or "0%" to "100%"'
        )
    return int(streamable * float(percent[1]) / 100)
