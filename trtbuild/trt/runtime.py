"""Runs an engine on arrays, case by case, for the verify stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from trtbuild.cuda.device import Device, Stream, open_device
from trtbuild.errors import StageError
from trtbuild.trt.contexts import EAGER, ContextOptions, Contexts
from trtbuild.trt.engine import Engine, opened
from trtbuild.trt.plugins import NONE, Plugins
from trtbuild.trt.session import Session
from trtbuild.trt.tensors import Array, fitted, shape_problems


class Runner:
    """An engine with a session for each optimization profile that a case needed."""

    def __init__(self, engine: Engine, stream: Stream, kernels: str = EAGER) -> None:
        self._engine = engine
        self._stream = stream
        self._kernels = kernels
        self._contexts = Contexts(engine)
        self._sessions: dict[int, Session] = {}
        self._runs: Counter[tuple[tuple[str, tuple[int, ...]], ...]] = Counter()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One inference; raises StageError.

        The first time that shapes come they run in the first optimization profile that takes
        them, the next time in the next one.
        """
        return self._session(self._profile(inputs)).run(inputs)

    def _profile(self, inputs: Mapping[str, Array]) -> int:
        """The next of the profiles that take these shapes; 0, which says why not, if none does."""
        wanted = [tensor for tensor in self._engine.inputs if tensor.name in inputs]
        shapes = {t.name: fitted(inputs[t.name], t).shape for t in wanted}
        taking = []
        for profile in range(self._engine.profiles):
            ranges = self._engine.ranges(profile)
            if not shape_problems(shapes, {name: ranges[name] for name in shapes}):
                taking.append(profile)
        key = tuple(sorted(shapes.items()))
        self._runs[key] += 1
        return taking[(self._runs[key] - 1) % len(taking)] if taking else 0

    def _session(self, profile: int) -> Session:
        if profile not in self._sessions:
            options = ContextOptions(profile, kernel_specialization=self._kernels)
            native = self._contexts.create(options)
            self._sessions[profile] = Session(self._engine, native, self._stream, profile)
        return self._sessions[profile]


def run_engine(
    path: Path,
    backend: str,
    cases: Iterable[Mapping[str, Array]],
    *,
    device: Device | None = None,
    plugins: Plugins = NONE,
    inspect: Callable[[str], None] = lambda _: None,
    kernels: str = EAGER,
) -> Iterator[dict[str, Array]]:
    """The engine's outputs for each case, in order: name -> array in, name -> array out.

    Floating-point inputs are rounded to the engine's types; outputs come in the engine's types,
    bfloat16 and float8 as ml_dtypes. Each case runs in an optimization profile that its shapes
    fit; cases of the same shapes take turns among those. `inspect` gets the inspector's JSON of the
    engine's layers. `kernels` is how TensorRT-RTX specializes kernels for shapes: which it runs
    decides the numbers.

    Raises StageError for an engine that does not load here, shapes outside every profile, memory
    that runs out, and a GPU that is lost. Close the iterator, or exhaust it, to give the GPU's
    memory back.
    """
    own = device is None
    device = open_device() if device is None else device
    try:
        with opened(path, backend, device, plugins) as engine:
            inspect(engine.layer_information())
            runner = Runner(engine, device.stream(), kernels)
            for number, case in enumerate(cases):
                yield _placed(runner, case, number, path)
            device.synchronize()
    finally:
        if own:
            device.close()


def _placed(runner: Runner, case: Mapping[str, Array], number: int, path: Path) -> dict[str, Array]:
    try:
        return runner.run(case)
    except StageError as error:
        error.where = f"{path} (case {number})"
        raise
