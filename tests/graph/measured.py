"""A session on a machine that seems to have a GPU, and a stage that seems to measure on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.documents import point, result
from trtbuild.errors import StageError
from trtbuild.graph import toolchain
from trtbuild.graph.action import Outcome
from trtbuild.graph.device import Device
from trtbuild.graph.execute import Execution, Progress, Request
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.graph.select import Settings
from trtbuild.graph.session import Session
from trtbuild.recipe.load import load_recipes
from trtbuild.report.terminal import Quiet
from trtbuild.store.digest import digest_of_file
from trtbuild.store.store import Store

GPU = Device((("gpu", "NVIDIA Test"), ("gpu.driver", "580.1")))
VERSION = "1.6.1.120"


@dataclass
class Executor:
    """Writes an engine of given bytes and a result of given times; keeps what it was asked for."""

    engine: bytes = b"engine"
    compute: float = 1.0
    slower: float | None = None  # the ratio to the accepted engine, where one is given
    missing: str = ""  # why the accepted engine is not run
    error: StageError | None = None  # of every stage
    requests: list[Request] = field(default_factory=list)

    def run(self, request: Request, scratch: Path, progress: Progress) -> Execution:
        outputs, log = scratch / "outputs", scratch / "log"
        outputs.mkdir()
        log.write_text("")
        self.requests.append(request)
        progress("measuring", None)
        if self.error is not None:
            return Execution(outputs, log, 0.1, (), (), self.error)
        stage = request.module.rpartition(".")[2]
        for name, data in self._files(stage, request).items():
            (outputs / name).write_bytes(data)
        return Execution(outputs, log, 0.1, (), (), None)

    def stop(self) -> None: ...

    def _files(self, stage: str, request: Request) -> dict[str, bytes]:
        match stage:
            case "build":
                return {"engine.plan": self.engine, "build.json": b"{}", "build.log": b""}
            case "verify":
                return {"verify.json": b'{"passed": true, "metrics": {}, "engine": "compared"}'}
            case "reference":
                return {"reference.json": b"{}", "reference.npz": b""}
            case "benchmark":
                cache = {"runtime.cache": b"kernels"} if request.options["runtime_cache"] else {}
                return {"benchmark.json": json.dumps(self._result(request)).encode(), **cache}
        return {"model.onnx": stage.encode()}

    def _result(self, request: Request) -> dict[str, Any]:
        measured = point(compute=self.compute)
        accepted = request.inputs.get("accepted")
        engine = request.inputs["engine"]
        another = accepted is not None and accepted.read_bytes() != engine.read_bytes()
        if another and self.missing:
            measured["regression_missing"] = self.missing
        elif another and self.slower is not None:
            low, high = self.slower - 0.01, self.slower + 0.01
            measured["regression"] = {"estimate": self.slower, "low": low, "high": high}
        document = result(measured)
        digest = digest_of_file(engine)
        document["engine"] |= {"digest": digest.text, "size": digest.size_bytes}
        return document


def pretend_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process see a GPU, and the packages that use one."""
    there = {**toolchain.installed_versions(), "pycuda": "2026.1", "tensorrt-rtx": VERSION}
    monkeypatch.setattr(toolchain, "installed_versions", lambda: there)
    monkeypatch.setattr("trtbuild.graph.device.find_device", lambda _=0: GPU)
    monkeypatch.setattr(Rebuilder, "_lease", lambda *_: nullcontext({}))


@contextmanager
def opened(
    recipe: Path, cache: Path, executor: Executor, *, only_cached: bool = False
) -> Iterator[Session]:
    """A session over one recipe."""
    store = Store(cache)
    try:
        settings = Settings(only_cached=only_cached)
        yield Session(load_recipes([recipe]), store, Quiet(), settings, executor)
    finally:
        store.close()


def run(recipe: Path, cache: Path, executor: Executor) -> tuple[bool, Rebuilder, Outcome]:
    """Whether it went well, and what became of the benchmark."""
    with opened(recipe, cache, executor) as opened_session:
        done = opened_session.run()
        (rebuilder,) = opened_session.rebuilders
        return done, rebuilder, rebuilder.outcomes["benchmark:fp32"]
