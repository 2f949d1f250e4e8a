"""Nested phases as one line and one fraction."""

from __future__ import annotations

from pathlib import Path

from tests.trt import nets
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import recording
from trtbuild.trt.parser import parse_onnx
from trtbuild.trt.progress import Phases, monitor_for

Told = list[tuple[str, float | None]]


def test_a_step_is_as_long_as_the_phases_within_it() -> None:
    told: Told = []
    phases = Phases(lambda *event: told.append(event))
    phases.start("whole", None, 2)
    phases.step("whole", 0)
    phases.start("part", "whole", 4)
    phases.step("part", 1)
    phases.finish("part")
    phases.finish("whole")
    assert told == [("whole", 0.0), ("whole", 0.5), ("part", 0.5), ("part", 0.75), ("whole", 1.0)]


def test_a_thousand_steps_are_told_a_hundred_times() -> None:
    told: Told = []
    phases = Phases(lambda *event: told.append(event))
    phases.start("whole", None, 1000)
    for step in range(1000):
        phases.step("whole", step)
    assert len(told) == 101


def test_phases_that_are_not_known_are_let_pass() -> None:
    told: Told = []
    phases = Phases(lambda *event: told.append(event))
    phases.step("never started", 3)
    phases.finish("never started")
    assert told == []


def test_a_real_build_moves_from_nothing_to_the_end(rtx: Flavour, tmp_path: Path) -> None:
    told: Told = []
    with recording(rtx) as log:
        parsed = parse_onnx(log, nets.digits(tmp_path / "digits.onnx", batch=1))
        config = parsed.builder.create_builder_config()
        monitor = monitor_for(rtx, lambda *event: told.append(event))
        config.progress_monitor = monitor
        assert parsed.builder.build_serialized_network(parsed.network, config) is not None
    fractions = [fraction for _, fraction in told if fraction is not None]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert {"Building engine", "Optimizing graph"} <= {text for text, _ in told}
