"""`precisions: best` on a GPU: the fastest variant that passes, as measured here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.gpu.nets import convolutions
from tests.gpu.projects import project_of
from trtbuild.graph.turns import CLOSE


def test_the_fastest_variant_that_passes_is_kept(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    sections = """\
precisions: [best, fp32, fp16, bf16]
verify:
  dataset: {random: {seed: 0}}
  tolerance: {fp32: {cosine: 0.999}, fp16: {cosine: 0.999}, bf16: {snr_db: 200}}
benchmark: {warmup: 100ms, duration: 500ms}
"""
    project = project_of(convolutions(6, batch=16), tmp_path, sections)
    done = project.run()
    assert done.code == 0, done.out + done.err
    found = json.loads((project.folder / "build/tiny/best/best.json").read_text())
    record_property("best", json.dumps(found))
    assert found["by"] == "latency"
    candidates = {entry["variant"]: entry for entry in found["candidates"]}
    assert not candidates["bf16"]["passed"]  # nothing is as near as that
    measured = {name: candidates[name]["latency_ms"] for name in ("fp32", "fp16")}
    best = min(measured, key=lambda name: measured[name])
    for turns in found["turns"]:  # in turn, engines may be in another order than alone
        best = turns["variant"] if turns["high"] < 1 else best
    assert found["variant"] == best
    near = max(measured.values()) <= CLOSE * min(measured.values())
    assert len(found["turns"]) == near
    engine = project.folder / "build/tiny/best/engine.plan"
    chosen = project.folder / "build/tiny" / found["variant"] / "engine.plan"
    assert engine.read_bytes() == chosen.read_bytes()
