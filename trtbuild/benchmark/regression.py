"""An engine beside the one that was accepted before: runs in turn, and the ratio of the times."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import numpy as np

from trtbuild.benchmark.interleave import interleave, ratio
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.subjects import EngineSubject
from trtbuild.cuda.errors import CudaError
from trtbuild.errors import StageError
from trtbuild.recipe.model import Options
from trtbuild.trt.contexts import Contexts
from trtbuild.trt.engine import Engine
from trtbuild.trt.tensors import Array

Ready = tuple[Engine, Contexts]
"""An engine on the GPU, and what makes its execution contexts."""


@dataclass(slots=True)
class Accepted:
    """The engine that was accepted before, another than the measured one.

    `load` brings it to the GPU: after the new one was measured, whose memory and choices it would
    change. It raises StageError.
    """

    digest: str
    load: Callable[[], Ready]
    warn: Callable[[str], None]
    _ready: Ready | None = field(default=None, init=False)
    _problem: str = field(default="", init=False)

    def beside(self, new: Ready, settings: Settings, inputs: dict[str, Array]) -> Options:
        """The part of a point: `regression`, the ratio of the GPU times, new to accepted, or
        `regression_missing`, why there is none.

        The accepted engine may not load here, may not take these inputs, which its successor may
        have changed, or find no memory beside it. Raises CudaError where the GPU is lost.
        """
        device = new[0].device
        try:
            with device.converted():  # the provider's words for memory that runs out, say
                return {"regression": self._measured(new, settings, inputs)}
        except StageError as error:
            if isinstance(error, CudaError) and error.device_lost:
                raise
            return {"regression_missing": error.what}

    def _measured(self, new: Ready, settings: Settings, inputs: dict[str, Array]) -> Options:
        with ExitStack() as stack:
            sides = []
            for name, (engine, contexts) in (("accepted", self._loaded()), ("engine", new)):
                sides.append(EngineSubject(name, engine, contexts, settings, inputs))
                stack.callback(sides[-1].free)
                for text in sides[-1].warnings:
                    self.warn(f"{name}: {text}")
            rounds = interleave(sides, rounds=settings.rounds, round_ms=settings.round_ms)
        medians = [side.medians("gpu") for side in rounds]
        return {
            "accepted": self.digest,
            "accepted_median_ms": float(np.median(medians[0])),
            "median_ms": float(np.median(medians[1])),
            "rounds": settings.rounds,
            **asdict(ratio(medians[0], medians[1])),
        }

    def _loaded(self) -> Ready:
        if self._problem:
            raise StageError(self._problem)
        if self._ready is None:
            try:
                self._ready = self.load()
            except StageError as error:
                self._problem = error.what  # at every other point too
                raise
        return self._ready
