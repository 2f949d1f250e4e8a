"""Two benchmarks on one GPU take turns; a killed one lets the other in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.gpu.nets import AFFINE, Net
from trtbuild.cuda.lease import FOLDER_VARIABLE, holder, try_acquire
from trtbuild.cuda.probe import probe

Builder = Callable[[Net], Path]
ROOT = Path(__file__).parents[2]

MEASURE = """
import json, sys, time
from pathlib import Path
from tests.gpu.stages import benchmark
from trtbuild.cuda.lease import acquire
from trtbuild.cuda.probe import probe
engine, folder, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
folder.mkdir()
with acquire(probe().devices[:1], lambda text: print(text, file=sys.stderr, flush=True)):
    started = time.time()
    document = benchmark(engine, folder, duration_s=seconds)
    assert document["points"]
    print(json.dumps({"started": started, "ended": time.time()}))
"""


def start(engine: Path, folder: Path, leases: Path, seconds: float = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MEASURE, str(engine), str(folder), str(seconds)],
        cwd=ROOT,
        env={**os.environ, FOLDER_VARIABLE: str(leases)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_benchmarks_at_once_run_one_after_the_other(engines: Builder, tmp_path: Path) -> None:
    engine = engines(AFFINE)
    both = [start(engine, tmp_path / name, tmp_path) for name in ("a", "b")]
    texts = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    first, second = sorted((json.loads(out) for out, _ in texts), key=lambda run: run["started"])
    assert first["ended"] <= second["started"]
    waited = [err for _, err in texts if "waiting for GPU 0" in err]
    assert len(waited) == 1
    assert "held by pid" in waited[0]


def test_a_killed_benchmark_frees_the_gpu(engines: Builder, tmp_path: Path) -> None:
    device = probe().devices[0]
    process = start(engines(AFFINE), tmp_path / "a", tmp_path, seconds=60)
    deadline = time.monotonic() + 60
    while holder(device, tmp_path) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert try_acquire(device, tmp_path) is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    lease = try_acquire(device, tmp_path)
    assert lease is not None
    lease.release()
