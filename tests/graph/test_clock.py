"""A clock that was wrong and is set back: nothing old is taken for new, nothing is lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.graph.test_killed import no_blob_lies
from tests.project import Project, Result, write_tiny_model
from trtbuild.store.audit import audit

DAY = 86400.0
SHIFT = """\
import os, time
_shift = float(os.environ["SHIFT_SECONDS"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _shift
time.time_ns = lambda: _time_ns() + int(_shift * 1e9)
"""
"""What every process of a run gets as its sitecustomize: another time of day."""


def run_at(project: Project, shift: float, *arguments: str) -> Result:
    """Run a command by a clock that is wrong by so many seconds, and have its files stamped so."""
    folder = project.root / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(SHIFT)
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*") if path.is_file()}
    env = {"PYTHONPATH": str(folder), "SHIFT_SECONDS": str(shift)}
    result = project.trtbuild(*arguments, **env)
    then = time.time() + shift
    for path in project.root.rglob("*"):
        if path.is_file() and before.get(path) != path.stat().st_mtime_ns:
            os.utime(path, (then, then))
    return result


@pytest.mark.parametrize("days", [400, -400], ids=["set back", "set forward"])
def test_a_clock_that_is_set_right_changes_nothing(tmp_path: Path, days: int) -> None:
    project = Project(tmp_path).tiny()
    run = ("run", "tiny.yaml", "--json")
    first = run_at(project, days * DAY, *run)
    assert set(first.verdicts().values()) == {"EXECUTED"}
    assert set(project.run().verdicts().values()) == {"UP_TO_DATE"}
    engine = project.folder / "build/tiny/fp32/engine.plan"
    whole = engine.read_bytes()
    engine.write_bytes(bytes(len(whole)))
    os.utime(engine, (time.time() + days * DAY,) * 2)
    restored = project.run()
    assert restored.verdicts()["build:fp32"] == "RESTORED"
    assert engine.read_bytes() == whole
    model = project.folder / "tiny.onnx"
    write_tiny_model(model, seed=1)
    os.utime(model, (time.time() + days * DAY,) * 2)
    again = run_at(project, days * DAY, *run)
    assert again.verdicts()["export"] == "EXECUTED"
    assert project.trtbuild("cache", "gc", "--max-age", "500d").code == 0
    assert set(project.run().verdicts().values()) == {"UP_TO_DATE"}
    no_blob_lies(project.cache)
    assert audit(project.cache) == ()
