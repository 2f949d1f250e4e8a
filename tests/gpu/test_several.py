"""Several GPUs of one machine work side by side: each has a lease of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu.nets import AFFINE, Net, convolutions
from tests.gpu.projects import project_of
from tests.gpu.stages import BACKEND
from tests.project import Project
from trtbuild.cuda.lease import FOLDER_VARIABLE, holder
from trtbuild.cuda.probe import probe

pytestmark = pytest.mark.skipif(
    len(probe().devices) < 2, reason="this machine has no second GPU to work side by side with"
)


def bench(project: Project, engine: Path, leases: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        project.command("bench", engine, "--duration", "10s", "--json"),
        env={**os.environ, FOLDER_VARIABLE: str(leases)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_benchmarks_take_a_gpu_each(engines: Callable[[Net], Path], tmp_path: Path) -> None:
    project, engine = Project(tmp_path), engines(AFFINE)
    first, second = (bench(project, engine, tmp_path) for _ in range(2))
    deadline = time.monotonic() + 60
    holders: set[int] = set()
    while holders != {first.pid, second.pid}:
        assert time.monotonic() < deadline, holders
        assert first.poll() is None, first.communicate()
        assert second.poll() is None, second.communicate()
        found = [holder(device, tmp_path) for device in probe().devices]
        holders = {who.pid for who in found if who is not None}
        time.sleep(0.05)
    texts = [process.communicate(timeout=180) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], texts
    results = [json.loads(out)["result"] for out, _ in texts]
    assert len({result["device"]["uuid"] for result in results}) == 2
    assert not any("waiting" in err for _, err in texts)


def test_variants_of_one_recipe_are_built_and_measured_side_by_side(tmp_path: Path) -> None:
    sections = """\
precisions: [fp32, tf32, fp16, bf16]
verify: {dataset: {random: {seed: 0}}, tolerance: {bf16: {cosine: 0.99}}}
benchmark: {warmup: 100ms, duration: 3s}
"""
    project = project_of(convolutions(4), tmp_path, sections)
    done = project.run("-j", "4")
    assert done.code == 0, done.out + done.err
    used = {
        json.loads((project.folder / f"build/tiny/{name}/benchmark.json").read_text())["device"][
            "uuid"
        ]
        for name in ("fp32", "tf32", "fp16", "bf16")
    }
    assert len(used) > 1


def test_a_recipe_names_the_gpu_that_it_wants(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    project.replace("tiny.yaml", "optimization_level: 0", "device: 1")
    project.replace("tiny.yaml", "backend: tensorrt_rtx", f"backend: {BACKEND}")
    with (project.folder / "tiny.yaml").open("a") as recipe:
        recipe.write("benchmark: {warmup: 50ms, duration: 100ms}\n")
    done = project.run()
    assert done.code == 0, done.out + done.err
    found = json.loads((project.folder / "build/tiny/fp32/benchmark.json").read_text())
    assert found["device"]["uuid"] == probe().devices[1].uuid
