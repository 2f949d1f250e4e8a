"""One inference stream of an engine: its context, buffers, lane and CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trtbuild.benchmark.lane import Lane, Queue
from trtbuild.benchmark.settings import Settings
from trtbuild.cuda.device import Graph, Memory
from trtbuild.cuda.errors import CudaError
from trtbuild.errors import StageError
from trtbuild.trt.contexts import ContextOptions, Contexts, give_memory
from trtbuild.trt.engine import Engine
from trtbuild.trt.session import Session
from trtbuild.trt.tensors import Array


class InferenceStream:
    """One inference stream: its session, lane, graph and memory."""

    def __init__(self, engine: Engine, contexts: Contexts, settings: Settings, index: int) -> None:
        self._settings = settings
        self._engine = engine
        compute = engine.device.stream()
        options = context_options(engine, settings)
        self.native = contexts.create(options)
        self.session = Session(engine, self.native, compute, settings.optimization_profile)
        self._options = options
        self._memory: Memory | None = None
        self._graph: Graph | None = None
        self.lane = Lane(
            engine.device,
            index,
            compute,
            depth=settings.depth,
            spin_wait=settings.spin_wait,
            transfers=(self.session.copy_in, self.session.copy_out) if settings.transfers else None,
        )

    def prepare(self, inputs: Mapping[str, Array], warn: Callable[[str], None]) -> None:
        """Sets shapes, sends the inputs once, runs once, and captures a graph where wanted."""
        self.session.prepare(inputs)
        self._memory = give_memory(self._engine, self.native, self._options)
        self.session.copy_in(self.lane.compute)
        self.lane.compute.synchronize()
        self.session.enqueue()
        self.lane.compute.synchronize()
        self.session.settle()
        self.lane.enqueue = queue_of(self.session)
        if captures(self._engine, self._settings):
            self._capture(warn)

    @property
    def launched_by(self) -> str:
        """How queries are launched; see Measured.cuda_graph."""
        if self._graph is not None:
            return "capture"
        return "runtime" if self._options.cuda_graph else "none"

    def outputs(self) -> dict[str, Array]:
        """The outputs of the last query; copied now where the loop does not."""
        self.session.copy_out(self.lane.compute)
        self.lane.compute.synchronize()
        return self.session.outputs()

    def free(self) -> None:
        """Gives back what Python's collector would hold on to."""
        if self._graph is not None:
            self._graph.free()

    def _capture(self, warn: Callable[[str], None]) -> None:
        """Captures one inference, as trtexec (sampleInference.cpp:1326-1372); or warns."""
        device, compute = self._engine.device, self.lane.compute
        device.begin_capture(compute)
        failure: StageError | None = None
        try:
            self.session.enqueue()
        except StageError as error:
            failure = error
        try:
            graph = device.end_capture(compute)
        except CudaError as error:
            failure = failure or error
        else:
            if failure is None:
                self._graph, self.lane.enqueue = graph, graph.launch
                return
            graph.free()
        warn(f"measured without a CUDA graph: {failure.what if failure else 'nothing captured'}")


def queue_of(session: Session) -> Queue:
    """`session.enqueue` with everything looked up, for the loop."""
    execute, handle, engine = session.native.execute_async_v3, session.stream.handle, session.engine

    def enqueue() -> None:
        if not execute(handle):
            raise engine.failure("the inference could not be queued")

    return enqueue


def context_options(engine: Engine, settings: Settings) -> ContextOptions:
    """The options of the contexts that these settings ask for."""
    persisting = engine.device.facts.persisting_l2 * settings.persistent_cache_ratio
    own_graph = settings.cuda_graph and not captures(engine, settings)
    return ContextOptions(
        profile=settings.optimization_profile,
        allocation=settings.allocation,
        cuda_graph=bool(own_graph),
        kernel_specialization=settings.kernel_specialization,
        persistent_cache=int(persisting),
    )


def captures(engine: Engine, settings: Settings) -> bool:
    """Whether we capture the graph: asked for, or wanted where the runtime has none of its own."""
    if settings.cuda_graph is True:
        return not engine.flavour.has("CudaGraphStrategy")
    return settings.cuda_graph == "capture"
