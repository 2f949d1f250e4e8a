"""Everything that is measured of an engine at one point: times, layers, baselines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trtbuild.benchmark.baselines import Source, make_baseline, measure_baselines
from trtbuild.benchmark.exports import outputs_json, profile_json, times_json
from trtbuild.benchmark.layers import layer_table
from trtbuild.benchmark.measure import measure_engine
from trtbuild.benchmark.profile_run import profile_layers
from trtbuild.benchmark.result import point_part
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.subjects import EngineSubject
from trtbuild.cuda.nvml import Monitor, foreign_processes, state_part, state_warnings
from trtbuild.recipe.model import Options, Shape
from trtbuild.trt.contexts import Contexts
from trtbuild.trt.engine import Engine
from trtbuild.trt.layers import layer_facts
from trtbuild.trt.tensors import Array


@dataclass(slots=True)
class PointRun:
    """What is measured at one point after the other, and what each needs."""

    engine: Engine
    contexts: Contexts
    settings: Settings
    source: Source
    baselines: Sequence[Options]
    monitor: Monitor | None
    earlier: tuple[int, ...]  # processes on the GPU before this one
    warn: Callable[[str], None]
    files: dict[str, str] = field(default_factory=dict)  # trtexec's, of the first point

    def measure(self, name: str, shapes: dict[str, Shape], inputs: dict[str, Array]) -> Options:
        """The document's part for one point; raises StageError as `measure_engine`."""
        settings = self.settings
        before = self.monitor.state() if self.monitor else None
        since = self.monitor.now_us() if self.monitor else 0
        measured = measure_engine(
            self.engine,
            settings,
            inputs,
            contexts=self.contexts,
            layers=settings.export_layers,
        )
        part = point_part(name, shapes, measured, settings)
        part["gpu"] = self._gpu(before, since, part)
        exports = {
            "times.json": times_json(measured.trace) if settings.export_times else "",
            "output.json": outputs_json(measured.outputs) if settings.export_outputs else "",
            "layers.json": measured.layers,
        }
        if settings.layer_profile:
            times, inspector = profile_layers(self.engine, self.contexts, settings, inputs)
            part["layers"] = list(layer_table(times, layer_facts(inspector)))
            exports["profile.json"] = profile_json(times)
        if not self.files:
            self.files.update({file: text for file, text in exports.items() if text})
        if self.baselines:
            part["baselines"] = self._baselines(inputs)
        return part

    def _gpu(self, before: Any, since: int, part: Options) -> Options | None:
        if self.monitor is None or before is None:
            return None
        after = self.monitor.state()
        foreign = foreign_processes(self.earlier, after.processes, os.getpid())
        texts: Any = part["warnings"]
        texts += state_warnings(before, after, foreign)
        return {
            "before": state_part(before),
            "after": state_part(after),
            "during": self.monitor.between(before, after, since),
            "foreign_processes": list(foreign),
        }

    def _baselines(self, inputs: dict[str, Array]) -> Options:
        subject = EngineSubject("engine", self.engine, self.contexts, self.settings, inputs)
        for text in subject.warnings:
            self.warn(f"engine: {text}")
        try:
            return measure_baselines(
                subject,
                self.baselines,
                lambda spec: make_baseline(spec, self.source, inputs),
                self.settings,
                self.warn,
            )
        finally:
            subject.free()
