"""Turns the nested phases of TensorRT's builder into one line and one fraction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from trtbuild.trt.apart import outside

if TYPE_CHECKING:
    from trtbuild.trt.flavour import Flavour

Report = Callable[[str, "float | None"], None]


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """The phases that are under way, by name, and how far the whole is.

    A step of a phase is as long as the phases within it. The fraction never falls, and is told
    only when it or the phase has visibly changed: there are thousands of steps.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._open: dict[str, _Phase] = {}
        self._told = ("", -1)
        self._furthest = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins within another one, or is the root."""
        self._open[name] = _Phase(parent, max(steps, 1))
        self._tell(name)

    def step(self, name: str, step: int) -> None:
        """A step of a phase is done; steps count from 0."""
        phase = self._open.get(name)
        if phase is not None:
            phase.done = step + 1
            self._tell(name)

    def finish(self, name: str) -> None:
        """A phase is over; with the root, which may skip its last steps, everything is."""
        phase = self._open.pop(name, None)
        if phase is not None and phase.parent is None:
            self._furthest = 1.0
            self._tell(name)

    def _tell(self, name: str) -> None:
        self._furthest = max(self._furthest, self._fraction(name))
        told = (name, int(self._furthest * 100))
        if told != self._told:
            self._told = told
            self._report(name, self._furthest)

    def _fraction(self, name: str) -> float:
        """How far the root is, going up from a phase through the steps that it is a part of."""
        fraction = 0.0
        above: str | None = name
        while above in self._open:
            phase = self._open[above]
            fraction = min((phase.done + fraction) / phase.steps, 1.0)
            above = phase.parent
        return fraction


def monitor_for(flavour: Flavour, report: Report) -> Any:
    """A native progress monitor that reports `(phase name, fraction)`; never cancels a build."""
    base: Any = flavour.module.IProgressMonitor

    class Monitor(base):  # type: ignore[misc] # the base is known only once a backend is loaded
        def __init__(self) -> None:
            super().__init__()
            self.phases = Phases(partial(outside, report))

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.phases.step(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.phases.finish(phase_name)

    return Monitor()
