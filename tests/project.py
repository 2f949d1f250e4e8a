"""A project on disk, as a user has it, and trtbuild run in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RECIPE = """\
trtbuild: 1
name: tiny
model: {onnx: tiny.onnx}
inputs:
  x: {dtype: float32, min: [1, 4], opt: [2, 4], max: [8, 4]}
surgery:
  - op: fold_constants
precisions: [fp32]
build: {backend: tensorrt_rtx, optimization_level: 0}
verify:
  dataset: {npz: data.npz}
"""


WITHOUT_CACHE = frozenset(
    {
        "validate",
        "schema",
        "import-trtexec",
        "export-trtexec",
        "verify-release",
        "bench",
        "compare",
    }
)
"""Commands that need no cache."""


@dataclass(frozen=True)
class Result:
    """What a command gave: exit code and text."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    def verdicts(self) -> dict[str, str]:
        """Verdict by task id, of the first recipe."""
        return {task["id"]: task["verdict"] for task in self.json["recipes"][0]["tasks"]}

    def task(self, task_id: str) -> dict[str, Any]:
        """One task of the first recipe."""
        return next(t for t in self.json["recipes"][0]["tasks"] if t["id"] == task_id)


class Project:
    """A folder with a cache beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root / "cache"
        self.folder = root / "project"
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        """Write a text file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line of trtbuild with this project's cache, where it has one."""
        chosen = arguments[0] in WITHOUT_CACHE or "--cache" in arguments
        places = [] if chosen else ["--cache", str(self.cache)]
        return [sys.executable, "-m", "trtbuild", *map(str, arguments), *places]

    def started(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """The command as a process that an interrupt ends, whatever ran the tests.

        What a shell runs in the background ignores the signal, and would pass that on.
        """
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(self.command(*arguments), cwd=self.folder, text=True, **options)
        finally:
            signal.signal(signal.SIGINT, before)

    def trtbuild(self, *arguments: str | Path, **env: str) -> Result:
        """Run trtbuild in the project's folder, as a process of its own."""
        process = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Result(process.returncode, process.stdout, process.stderr)

    def run(self, *arguments: str | Path) -> Result:
        """`trtbuild run tiny.yaml --json` with further arguments."""
        return self.trtbuild("run", "tiny.yaml", "--json", *arguments)

    def tiny(self, recipe: str = RECIPE) -> Project:
        """Put the tiny model, its data and its recipe into the project."""
        write_tiny_model(self.folder / "tiny.onnx")
        values = np.random.default_rng(0).uniform(-1, 1, (6, 4)).astype(np.float32)
        np.savez(self.folder / "data.npz", x=values)
        self.write("tiny.yaml", recipe)
        return self

    def copy_to(self, root: Path) -> Project:
        """The same project, outputs and cache, in another folder."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Project(root)

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file of the project."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))


def write_tiny_model(path: Path, *, seed: int = 0, opset: int = 20) -> None:
    """y = relu(x @ w + b) for x of [n, 4] and y of [n, 3]."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    bias = rng.uniform(-1, 1, 3).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["xw"], name="matmul"),
            helper.make_node("Add", ["xw", "b"], ["sum"], name="add"),
            helper.make_node("Relu", ["sum"], ["y"], name="relu"),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, str(path))
