"""Everything that needs a GPU, in one run: the tests, then the models, each beside its baselines.

    python -m benchmarks.gpu [--out FOLDER] [--minutes M] [--skip-tests] [--append] [RECIPE ...]

Builds every engine on this machine from its recipe, verifies it on the GPU, and measures it. The
results go to FOLDER (benchmarks/results) as soon as there are some: gpu-NAME-VERSION.json, and
the table that is printed at the end as .md. What there is no time for is named.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.gpu_table import table
from trtbuild.cuda.lease import acquire
from trtbuild.cuda.probe import DeviceFacts, probe
from trtbuild.graph.action import SourceFile, Task
from trtbuild.graph.execute import LocalExecutor, Request
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes

ROOT = Path(__file__).parents[1]
RECIPES = (
    "recipes/digits-cnn.yaml",
    "benchmarks/resnet50.yaml",
    "recipes/magika.yaml",
    "recipes/ppocr4_det.yaml",
    "recipes/ppocr4_rec.yaml",
    "recipes/paraphrase_minilm_l3.yaml",
    "recipes/silero_vad_seq.yaml",
)
PACKAGES = (
    "tensorrt-rtx-cu13-bindings",
    "tensorrt-cu13-bindings",
    "torch",
    "onnx",
    "onnxruntime",
    "pycuda",
    "cuda-bindings",
    "numpy",
)
QUICK = {"warmup_ms": 300, "duration_s": 1.0, "rounds": 10, "round_ms": 50}
LAUNCHES: dict[str, dict[str, Any]] = {  # beside the recipe's own settings
    "no copies": {"transfers": False},
    "own graph": {"transfers": False, "cuda_graph": "capture"},
    "runtime graph": {"transfers": False, "cuda_graph": "runtime"},
}
TORCH_TYPES = {"fp16": "float16", "bf16": "bfloat16"}


@dataclass
class Report:
    """The document so far, written after every step."""

    path: Path
    document: dict[str, Any]
    until: float  # monotonic

    def save(self) -> None:
        """Writes it; what was there is replaced at once."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.document, indent=1) + "\n")
        temporary.replace(self.path)

    def left(self) -> float:
        """Seconds until no new step begins."""
        return self.until - time.monotonic()


def main(arguments: list[str]) -> int:
    """Runs it all; 1 where a test or a verification failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("recipes", nargs="*", type=Path, help="default: all that are shown")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--minutes", type=float, default=60, help="begin nothing new after this")
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument(
        "--append", action="store_true", help="keep what the file of today has of other recipes"
    )
    options = parser.parse_args(arguments)
    found = probe()
    if not found.devices:
        print(found.reason)
        return 2
    report = _report(options.out, found.devices[0], options.minutes)
    recipes = options.recipes or [ROOT / name for name in RECIPES]
    if options.append:
        _take_over(report, {recipe.stem for recipe in recipes})
    good = options.skip_tests or run_tests(report)
    with tempfile.TemporaryDirectory() as folder:
        for recipe in recipes:
            good &= run_recipe(report, recipe.resolve(), Path(folder))
    text = table(report.document)
    report.path.with_suffix(".md").write_text(text)
    print(text)
    return 0 if good else 1


def _report(folder: Path, device: DeviceFacts, minutes: float) -> Report:
    versions = {name: found for name in PACKAGES if (found := _version(name))}
    backend = versions.get(PACKAGES[0]) or versions.get(PACKAGES[1]) or "none"
    name = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "format": 1,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "gpu": device.name,
        "compute_capability": device.compute_capability,
        "driver": device.driver,
        "python": sys.version.split()[0],
        "versions": versions,
        "tests": [],
        "models": [],
        "not_run": [],
    }
    path = folder / f"gpu-{name}-{backend}.json"
    return Report(path, document, time.monotonic() + minutes * 60)


def _take_over(report: Report, again: set[str]) -> None:
    """Keep the earlier results of the same day, GPU and versions, but for recipes run again."""
    try:
        earlier = json.loads(report.path.read_text())
    except (OSError, ValueError):
        return
    same = ("date", "gpu", "driver", "python", "versions")
    if all(earlier[key] == report.document[key] for key in same):
        report.document["tests"] = earlier["tests"]
        report.document["models"] = [m for m in earlier["models"] if m["recipe"] not in again]
        report.document["not_run"] = [n for n in earlier["not_run"] if n.split()[0] not in again]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_tests(report: Report) -> bool:
    """`pytest -m gpu`: those of the stage side by side, those about memory and times alone."""
    stage = "tests/gpu/test_stage.py"
    workers = ["-n", str(min(6, os.cpu_count() or 1))] if _version("pytest-xdist") else []
    good = _pytest(report, [*workers, stage])
    return _pytest(report, ["tests/gpu", f"--ignore={stage}"]) and good


def _pytest(report: Report, arguments: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={xml}"]
        done = subprocess.run([*command, *arguments], cwd=ROOT, check=False)
        report.document["tests"].append(_test_results(xml, arguments))
    report.save()
    return done.returncode == 0


def _test_results(xml: Path, arguments: list[str]) -> dict[str, Any]:
    """Counts, what failed, and the properties that tests recorded."""
    if not xml.exists():
        return {"arguments": arguments, "failed": ["pytest did not finish"]}
    suites = ElementTree.parse(xml).getroot()  # noqa: S314 - pytest wrote it just now
    cases = list(suites.iter("testcase"))
    properties = {
        found.attrib["name"]: json.loads(found.attrib["value"])
        for case in cases
        for found in case.iter("property")
    }
    bad = [case for case in cases for kind in ("failure", "error") if case.find(kind) is not None]
    return {
        "arguments": arguments,
        "tests": len(cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
        "failed": [case.attrib["name"] for case in bad],
        "seconds": round(sum(float(case.attrib["time"]) for case in cases), 1),
        "recorded": properties,
    }


def run_recipe(report: Report, recipe: Path, folder: Path) -> bool:
    """Builds and verifies each variant of a recipe, then measures it; whether all verified."""
    if report.left() < 0:
        report.document["not_run"].append(recipe.stem)
        report.save()
        return True
    print(f"== {recipe.stem}: building and verifying", flush=True)
    command = [sys.executable, "-m", "trtbuild", "run", str(recipe), "--json", "--continue"]
    places = ["--cache", str(folder / "cache"), "--out", str(folder / "out")]
    command += [*places, "--only", "verify"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    try:
        (run,) = json.loads(done.stdout)["recipes"]
    except (ValueError, KeyError):
        why = f"exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        report.document["models"].append({"recipe": recipe.stem, "error": why})
        report.save()
        return False
    tasks = {task["id"]: task for task in run["tasks"]}
    good = True
    for variant in _variants(tasks):
        found = _variant(report, recipe, tasks, variant, folder)
        good &= found["verify"]["verdict"] == "EXECUTED"
        report.document["models"].append(found)
        report.save()
    return good


def _variants(tasks: dict[str, Any]) -> list[str]:
    return [task["variant"] for task in tasks.values() if task["stage"] == "build"]


def _variant(
    report: Report, recipe: Path, tasks: dict[str, Any], variant: str, folder: Path
) -> dict[str, Any]:
    build, verify = tasks[f"build:{variant}"], tasks.get(f"verify:{variant}")
    found: dict[str, Any] = {
        "recipe": recipe.stem,
        "variant": variant,
        "build": {key: build[key] for key in ("verdict", "seconds", "error")},
        "verify": _verified(verify),
    }
    if not build["outputs"]:
        return found
    print(f"== {recipe.stem} {variant}: measuring", flush=True)
    documents = dict(_measurements(report, recipe, tasks, variant, folder))
    for name, document in documents.items():
        for point in document.get("points", []):
            point.pop("layers", None)  # some hundred of them
        found.setdefault("measured", {})[name] = document
    return found


def _verified(task: dict[str, Any] | None) -> dict[str, Any]:
    if task is None:
        return {"verdict": "SKIPPED", "error": "", "result": None}
    result = None
    for name, output in task["outputs"].items():
        if name == "verify.json":
            result = json.loads(Path(output["path"]).read_bytes())
    return {"verdict": task["verdict"], "error": task["error"], "result": result}


def _measurements(
    report: Report, recipe: Path, tasks: dict[str, Any], variant: str, folder: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The benchmark stage in child processes: with baselines, then by each way to launch."""
    (loaded,) = load_recipes([recipe])
    planned = {task.id: task for task in plan(loaded)}
    inputs = {"engine": _output(tasks[f"build:{variant}"], "engine.plan")}
    options = {**planned[f"benchmark:{variant}"].options, **QUICK}
    exported = _output(tasks["export"], "model.onnx")
    yield "with baselines", _stage(
        {**options, "source": planned["export"].options["source"], "baselines": _baselines(
            planned["export"], variant
        )},
        {**inputs, "model": exported, **_source_files(planned["export"], recipe)},
        recipe,
        folder,
    )  # fmt: skip
    for name, changes in LAUNCHES.items():
        if report.left() < 0:
            report.document["not_run"].append(f"{recipe.stem} {variant} {name}")
            return
        yield name, _stage({**options, **changes}, inputs, recipe, folder)


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


def _stage(
    options: dict[str, Any], inputs: dict[str, Path], recipe: Path, folder: Path
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
    scratch = Path(tempfile.mkdtemp(dir=folder))
    with acquire(probe().devices[:1], lambda text: print(text, flush=True)):
        done = LocalExecutor().run(request, scratch, lambda _text, _fraction: None)
    if done.error is not None:
        return {"error": str(done.error), "log": done.log.read_text(errors="replace")[-2000:]}
    document: dict[str, Any] = json.loads((done.outputs / "benchmark.json").read_bytes())
    return document


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
