"""The models of benchmarks.gpu: builds and verifies each variant of a recipe, then measures it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu_table import GOOD
from trtbuild.cuda.lease import FOLDER_VARIABLE, acquire
from trtbuild.cuda.probe import probe
from trtbuild.graph.action import SourceFile, Task
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes

QUICK = {"warmup_ms": 300, "duration_s": 1.0, "rounds": 10, "round_ms": 50}
GRAPH = {"transfers": False, "cuda_graph": "capture"}
CONVERTED = Path(__file__).parent / "models" / "converted.py"
TORCH_TYPES = {"fp16": "float16", "bf16": "bfloat16"}
SLOWEST = 5
"""Layers that are kept of each engine; some have hundreds."""
OF_ONE_CARD = ("uuid", "pci_bus")
"""Facts that say which card it was, not what kind of card."""


@dataclass
class Models:
    """Measures recipes into a document, in a folder that can be kept for another run."""

    folder: Path
    document: dict[str, Any]
    save: Callable[[], None]
    left: Callable[[], float]  # seconds until no new step begins
    again: bool = True  # else what an earlier run in this folder built is taken as it is
    runs: dict[Path, Any] = field(default_factory=dict)  # by recipe, what `trtbuild run` said

    def build(self, recipes: list[Path]) -> bool:
        """Builds and verifies all recipes side by side; whether all that was built is verified.

        Neither is about time: TensorRT-RTX tries no kernels out where it builds. So each recipe
        has leases of its own here.
        """
        cores = sorted(os.sched_getaffinity(0))
        count = len(recipes) or 1
        shares = [cores[index::count] or cores for index in range(len(recipes))]
        with ThreadPoolExecutor(count) as pool:
            found = pool.map(self._built, recipes, shares)
            self.runs = dict(zip(recipes, found, strict=True))
        for recipe, run in self.runs.items():
            self.document["models"] += _models(recipe, run, self.folder / "out")
        self.save()
        models = [model for model in self.document["models"] if not model.get("not_built")]
        return all(model.get("verify", {}).get("verdict") in GOOD for model in models)

    def measure(self) -> None:
        """Every engine that was verified, the GPU leased."""
        for recipe, run in self.runs.items():
            models = [
                model
                for model in self.document["models"]
                if model["recipe"] == recipe.stem and model.get("verify", {}).get("verdict") in GOOD
            ]
            if "error" in run:
                continue
            if self.left() < 0:
                self.document["not_run"].append(recipe.stem)
                self.save()
                continue
            print(f"== {recipe.stem}: measuring", flush=True)
            self._measure(recipe, {task["id"]: task for task in run["tasks"]}, models)

    def _built(self, recipe: Path, cores: list[int]) -> dict[str, Any]:
        """What `trtbuild run` says, on some cores: threads that wait in turn slow all down."""
        said = self.folder / f"{recipe.stem}.run.json"
        if said.is_file() and not self.again:
            earlier: dict[str, Any] = json.loads(said.read_bytes())
            return earlier
        os.sched_setaffinity(0, cores)  # of this thread, which the processes it starts inherit
        command = [sys.executable, "-m", "trtbuild", "run", str(recipe), "--json", "--continue"]
        places = ["--cache", str(self.folder / "cache"), "--out", str(self.folder / "out")]
        leases = self.folder / "leases" / recipe.stem
        leases.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [*command, *places, "--only", "verify", "-j", "2"],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, FOLDER_VARIABLE: str(leases)},
        )
        try:
            (found,) = json.loads(done.stdout)["recipes"]
        except (ValueError, KeyError):
            why = f"exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            return {"error": why}
        print(f"== {recipe.stem}: built and verified", flush=True)
        said.write_text(json.dumps(found))
        run: dict[str, Any] = found
        return run

    def _measure(self, recipe: Path, tasks: dict[str, Any], models: list[dict[str, Any]]) -> None:
        (loaded,) = load_recipes([recipe])
        planned = {task.id: task for task in plan(loaded)}
        wanted = [
            (model, name, request)
            for model in models
            for name, request in _requests(recipe, planned, tasks, model["variant"])
        ]
        results = self.folder / f"{recipe.stem}.jsonl"
        while wanted and self.left() > 0:
            results.unlink(missing_ok=True)
            log = self._process([request for _, _, request in wanted], results)
            # A process that was ended may have left half a line.
            lines = results.read_text().splitlines(keepends=True)
            done = [json.loads(line) for line in lines if line.endswith("\n")]
            ended = not done or ("error" not in done[-1] and len(done) < len(wanted))
            if ended and self.left() > 0:
                done.append({"error": "the process ended", "log": log[-2000:]})
            for (model, name, _), document in zip(wanted, done, strict=False):
                model.setdefault("measured", {})[name] = _shortened(document, name)
            wanted = wanted[len(done) :]
            self.save()
        self.document["not_run"] += [
            f"{recipe.stem} {model['variant']} {name}" for model, name, _ in wanted
        ]

    def _process(self, requests: list[Any], results: Path) -> str:
        """Works requests off in a process of their own, within the time; what it printed."""
        path = self.folder / "requests.json"
        path.write_text(json.dumps(requests))
        results.touch()
        command = [sys.executable, "-m", "benchmarks.gpu_stages", str(path), str(results)]
        log = self.folder / "measuring.log"
        with (
            acquire(probe().devices[:1], lambda text: print(text, flush=True)),
            log.open("w") as sink,
        ):
            process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
            try:
                process.wait(timeout=max(1.0, self.left()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return log.read_text(errors="replace")


def _models(recipe: Path, run: dict[str, Any], outputs: Path) -> Iterator[dict[str, Any]]:
    """An entry for each variant: what became of build and verify."""
    if "error" in run:
        yield {"recipe": recipe.stem, "error": run["error"]}
        return
    tasks = {task["id"]: task for task in run["tasks"]}
    for variant in [task["variant"] for task in tasks.values() if task["stage"] == "build"]:
        build = tasks[f"build:{variant}"]
        found: dict[str, Any] = {
            "recipe": recipe.stem,
            "variant": variant,
            "build": {key: build[key] for key in ("verdict", "seconds", "error")},
            "verify": _verified(tasks.get(f"verify:{variant}"), outputs / run["name"] / variant),
        }
        if not build["outputs"]:
            before = [t["error"] for t in tasks.values() if t["error"]]
            found["not_built"] = build["error"] or (before[0] if before else "not run")
        yield found


def _verified(task: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
    if task is None:
        return {"verdict": "SKIPPED", "error": "", "result": None}
    path = folder / ("verify.json" if task["verdict"] in GOOD else "verify.failed.json")
    result = json.loads(path.read_bytes()) if path.is_file() else None
    return {
        "verdict": task["verdict"],
        "seconds": task["seconds"],
        "error": task["error"],
        "result": result,
    }


def _requests(
    recipe: Path, planned: dict[str, Task], tasks: dict[str, Any], variant: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The measurements of one engine: beside other runtimes, and as a CUDA graph."""
    export = planned["export"]
    options = {**planned[f"benchmark:{variant}"].options, **QUICK}
    engine = {"engine": _output(tasks[f"build:{variant}"], "engine.plan")}
    beside = {
        "source": _source(planned, tasks, variant),
        "baselines": _baselines(export, variant),
        "layer_profile": True,
    }
    model = tasks.get("surgery") or tasks["export"]
    files = {"model": _output(model, "model.onnx"), **_source_files(export, recipe)}
    folder = str(recipe.parent)
    yield (
        "with baselines",
        {"options": {**options, **beside}, "inputs": {**engine, **files}, "folder": folder},
    )
    yield "own graph", {"options": {**options, **GRAPH}, "inputs": engine, "folder": folder}


def _shortened(document: dict[str, Any], name: str) -> dict[str, Any]:
    """What is kept: nothing of the card, the slowest layers, and what is said elsewhere once."""
    for key in OF_ONE_CARD:
        document.get("device", {}).pop(key, None)
    for point in document.get("points", []):
        if "layers" in point:
            point["layers"] = point["layers"][:SLOWEST]
    if name == "own graph" and "error" not in document:
        return {key: document[key] for key in ("settings", "points")}
    return document


def _output(task: dict[str, Any], name: str) -> str:
    return str(task["outputs"][name]["path"])


def _source(planned: dict[str, Task], tasks: dict[str, Any], variant: str) -> dict[str, Any]:
    """What PyTorch runs: the source model, or what an ONNX file is converted to.

    A converted one computes in the types of its graph, which for a variant of low floats is the
    graph of its engine.
    """
    source: Any = planned["export"].options["source"]
    if source["kind"] != "onnx":
        found: dict[str, Any] = source
        return found
    low = tasks.get(f"quantize:{variant}") if variant in TORCH_TYPES else None
    model = low or tasks.get("surgery") or tasks["export"]
    inputs: Any = planned[f"benchmark:{variant}"].options["inputs"]
    shapes = {item["name"]: item["opt"] for item in inputs}
    kwargs = {"path": _output(model, "model.onnx"), "shapes": shapes}
    return {"kind": "torch", "factory": f"{CONVERTED}:module", "kwargs": kwargs, "apart": True}


def _baselines(export: Task, variant: str) -> list[dict[str, Any]]:
    """PyTorch as it is and compiled, in the variant's type where it can be, and ONNX Runtime."""
    source: Any = export.options["source"]
    dtype = TORCH_TYPES.get(variant) if source["kind"] != "onnx" else None
    torch = [{"kind": kind, "dtype": dtype} for kind in ("torch", "torch_compile")]
    return [*torch, {"kind": "onnxruntime"}]


def _source_files(export: Task, recipe: Path) -> dict[str, str]:
    return {
        ref.role: str(recipe.parent / ref.path)
        for ref in export.inputs
        if isinstance(ref, SourceFile)
    }
