"""The models of benchmarks.gpu: builds and verifies each variant of a recipe, then measures it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.cuda.lease import acquire
from trtbuild.cuda.probe import probe
from trtbuild.graph.action import SourceFile, Task
from trtbuild.graph.execute import LocalExecutor, Request
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes

QUICK = {"warmup_ms": 300, "duration_s": 1.0, "rounds": 10, "round_ms": 50}
LAUNCHES: dict[str, dict[str, Any]] = {  # beside the recipe's own settings
    "no copies": {"transfers": False},
    "own graph": {"transfers": False, "cuda_graph": "capture"},
    "runtime graph": {"transfers": False, "cuda_graph": "runtime"},
}
TORCH_TYPES = {"fp16": "float16", "bf16": "bfloat16"}
SLOWEST = 5
"""Layers that are kept of each engine; some have hundreds."""
OF_ONE_CARD = ("uuid", "pci_bus")
"""Facts that say which card it was, not what kind of card."""


@dataclass
class Models:
    """Measures recipes into a document, in a folder that can be thrown away."""

    folder: Path
    document: dict[str, Any]
    save: Callable[[], None]
    left: Callable[[], float]  # seconds until no new step begins

    def run(self, recipe: Path) -> bool:
        """Every variant of a recipe; whether all that could be built were verified."""
        models = self.document["models"]
        if self.left() < 0:
            self._not_run(recipe.stem)
            return True
        print(f"== {recipe.stem}: building and verifying", flush=True)
        command = [sys.executable, "-m", "trtbuild", "run", str(recipe), "--json", "--continue"]
        places = ["--cache", str(self.folder / "cache"), "--out", str(self.folder / "out")]
        command += [*places, "--only", "verify"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        try:
            (run,) = json.loads(done.stdout)["recipes"]
        except (ValueError, KeyError):
            why = f"exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
            models.append({"recipe": recipe.stem, "error": why})
            self.save()
            return False
        tasks = {task["id"]: task for task in run["tasks"]}
        variants = [task["variant"] for task in tasks.values() if task["stage"] == "build"]
        found = [self._variant(recipe, tasks, variant) for variant in variants]
        built = [model for model in found if "measured" in model]
        return bool(built) and all(model["verify"]["verdict"] == "EXECUTED" for model in built)

    def _not_run(self, name: str) -> None:
        self.document["not_run"].append(name)
        self.save()

    def _variant(self, recipe: Path, tasks: dict[str, Any], variant: str) -> dict[str, Any]:
        """The entry of one variant, which grows in the document while it is measured."""
        build = tasks[f"build:{variant}"]
        found: dict[str, Any] = {
            "recipe": recipe.stem,
            "variant": variant,
            "build": {key: build[key] for key in ("verdict", "seconds", "error")},
            "verify": _verified(tasks.get(f"verify:{variant}")),
        }
        self.document["models"].append(found)
        self.save()
        if not build["outputs"]:
            before = [t["error"] for t in tasks.values() if t["variant"] == variant and t["error"]]
            found["not_built"] = before[0] if before else build["error"]
            self.save()
            return found
        print(f"== {recipe.stem} {variant}: measuring", flush=True)
        found["measured"] = {}
        for name, document in self._measurements(recipe, tasks, variant):
            found["measured"][name] = _without_the_card(document)
            self.save()
        return found

    def _measurements(
        self, recipe: Path, tasks: dict[str, Any], variant: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The benchmark stage in child processes: with baselines, then by each way to launch."""
        (loaded,) = load_recipes([recipe])
        planned = {task.id: task for task in plan(loaded)}
        export = planned["export"]
        inputs = {"engine": _output(tasks[f"build:{variant}"], "engine.plan")}
        options = {**planned[f"benchmark:{variant}"].options, **QUICK}
        beside = {
            "source": export.options["source"],
            "baselines": _baselines(export, variant),
            "layer_profile": True,
        }
        files = {"model": _output(tasks["export"], "model.onnx"), **_source_files(export, recipe)}
        yield "with baselines", self._stage({**options, **beside}, {**inputs, **files}, recipe)
        for name, changes in LAUNCHES.items():
            if self.left() < 0:
                self._not_run(f"{recipe.stem} {variant} {name}")
                return
            whole = self._stage({**options, **changes}, inputs, recipe)
            yield name, {key: whole[key] for key in ("settings", "points", "error") if key in whole}

    def _stage(
        self, options: dict[str, Any], inputs: dict[str, Path], recipe: Path
    ) -> dict[str, Any]:
        """The benchmark's document, or its error."""
        request = Request(
            module="trtbuild.stages.benchmark",
            options=options,
            inputs=inputs,
            folder=recipe.parent,
            project=recipe.parent,
            exclude=(),
            environment={},
        )
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        with acquire(probe().devices[:1], lambda text: print(text, flush=True)):
            done = LocalExecutor().run(request, scratch, lambda _text, _fraction: None)
        if done.error is not None:
            return {"error": str(done.error), "log": done.log.read_text(errors="replace")[-2000:]}
        document: dict[str, Any] = json.loads((done.outputs / "benchmark.json").read_bytes())
        return document


def _verified(task: dict[str, Any] | None) -> dict[str, Any]:
    if task is None:
        return {"verdict": "SKIPPED", "error": "", "result": None}
    result = None
    for name, output in task["outputs"].items():
        if name == "verify.json":
            result = json.loads(Path(output["path"]).read_bytes())
    return {
        "verdict": task["verdict"],
        "seconds": task["seconds"],
        "error": task["error"],
        "result": result,
    }


def _without_the_card(document: dict[str, Any]) -> dict[str, Any]:
    for key in OF_ONE_CARD:
        document.get("device", {}).pop(key, None)
    for point in document.get("points", []):
        if "layers" in point:
            point["layers"] = point["layers"][:SLOWEST]
    return document


def _output(task: dict[str, Any], name: str) -> Path:
    return Path(task["outputs"][name]["path"])


def _baselines(export: Task, variant: str) -> list[dict[str, Any]]:
    """ONNX Runtime; PyTorch too, in the variant's type, where that is the source."""
    source: Any = export.options["source"]
    found: list[dict[str, Any]] = [{"kind": "onnxruntime"}]
    if source["kind"] != "onnx":
        dtype = TORCH_TYPES.get(variant)
        found = [{"kind": kind, "dtype": dtype} for kind in ("torch", "torch_compile")] + found
    return found


def _source_files(export: Task, recipe: Path) -> dict[str, Path]:
    return {
        ref.role: recipe.parent / ref.path for ref in export.inputs if isinstance(ref, SourceFile)
    }
