"""Everything that needs a GPU, in one run: the tests, then the models, each beside its baselines.

    python -m benchmarks.gpu [--out FOLDER] [--only PART ...] [--minutes M] [RECIPE ...]

Builds every engine on this machine from its recipe, verifies it on the GPU, and measures it. The
results go to FOLDER (benchmarks/results) as soon as there are some: gpu-NAME-VERSION.json, the
JUnit files of the tests beside it, and as .md the table that is printed at the end. What there is
no time for is named. The parts can be run one by one (--append keeps what is there of today, and
--work FOLDER the engines): together (tests that may run side by side), alone (the other tests),
build, and measure.
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
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.gpu_models import Models
from benchmarks.gpu_table import table
from trtbuild.cuda.probe import DeviceFacts, probe

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
    "onnxruntime-gpu",
    "onnxruntime",
    "pycuda",
    "cuda-bindings",
    "nvidia-modelopt",
    "numpy",
)
ALONE = ("tests/gpu/test_agreement.py", "tests/gpu/test_device.py", "tests/gpu/test_memory.py")
"""Tests of times and of memory, which others on the GPU would disturb."""
PARTS = ("together", "alone", "build", "measure")


@dataclass
class Report:
    """The document so far, written after every step."""

    path: Path
    document: dict[str, Any]
    until: float  # monotonic

    def save(self) -> None:
        """Writes it; what was there is replaced at once."""
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(without_places(json.dumps(self.document, indent=1)) + "\n")
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
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--work", type=Path, help="where engines are kept for another run")
    parser.add_argument(
        "--append", action="store_true", help="keep what else the file of today has"
    )
    options = parser.parse_args(arguments)
    found = probe()
    if not found.devices:
        print(found.reason)
        return 2
    report = _report(options.out, found.devices[0], options.minutes)
    parts = set(options.only)
    recipes = [path.resolve() for path in options.recipes or [ROOT / name for name in RECIPES]]
    recipes = recipes if parts & {"build", "measure"} else []
    if options.append:
        _take_over(report, {recipe.stem for recipe in recipes}, parts)
    good = run_tests(report, parts)
    with ExitStack() as stack:
        folder = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        models = Models(folder, report.document, report.save, report.left, again="build" in parts)
        good &= models.build(recipes)
        if "measure" in parts:
            models.measure()
    text = table(report.document)
    report.path.with_suffix(".md").write_text(text)
    print(text)
    return 0 if good else 1


def _report(folder: Path, device: DeviceFacts, minutes: float) -> Report:
    versions = {name: found for name in PACKAGES if (found := _version(name))}
    if "onnxruntime-gpu" in versions:  # both put a package of the same name into one place
        versions.pop("onnxruntime", None)
    backend = versions.get(PACKAGES[0]) or versions.get(PACKAGES[1]) or "none"
    name = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "format": 2,
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


def _take_over(report: Report, again: set[str], parts: set[str]) -> None:
    """Keep the earlier results of the same day, GPU and versions, but for what is run again."""
    try:
        earlier = json.loads(report.path.read_text())
    except (OSError, ValueError):
        return
    same = ("format", "date", "gpu", "driver", "python", "versions")
    if all(earlier.get(key) == report.document[key] for key in same):
        report.document["tests"] = [t for t in earlier["tests"] if t["part"] not in parts]
        report.document["models"] = [m for m in earlier["models"] if m["recipe"] not in again]
        report.document["not_run"] = [n for n in earlier["not_run"] if n.split()[0] not in again]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def without_places(text: str) -> str:
    """A text without the folders of this machine, which say nothing elsewhere."""
    text = text.replace(f"{ROOT}/", "").replace(str(ROOT), ".")
    return re.sub(re.escape(tempfile.gettempdir()) + r"/(?:[\w.+-]+/)*", "", text)


def run_tests(report: Report, parts: set[str]) -> bool:
    """`pytest -m gpu`: those that may run side by side, then the others."""
    workers = ["-n", str(min(8, os.cpu_count() or 1))] if _version("pytest-xdist") else []
    together = ["tests/gpu", *(f"--ignore={path}" for path in ALONE)]
    good = "together" not in parts or _pytest(report, "together", [*workers, *together])
    return ("alone" not in parts or _pytest(report, "alone", [*ALONE])) and good


def _pytest(report: Report, name: str, arguments: list[str]) -> bool:
    xml = report.path.with_name(f"{report.path.stem}-tests-{name}.xml")
    xml.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={xml}"]
    command += ["-p", "no:benchmark"]  # which warns beside xdist, and warnings are errors
    done = subprocess.run([*command, *arguments], cwd=ROOT, check=False)
    report.document["tests"].append({"part": name, **_test_results(xml, arguments)})
    report.save()
    return done.returncode == 0


def _test_results(xml: Path, arguments: list[str]) -> dict[str, Any]:
    """Counts, what failed, and the properties that tests recorded; the file loses the host."""
    if not xml.exists():
        return {"arguments": arguments, "failed": ["pytest did not finish"]}
    tree = ElementTree.parse(xml)  # noqa: S314 - pytest wrote it just now
    for suite in tree.iter("testsuite"):
        suite.attrib.pop("hostname", None)
    xml.write_text(without_places(ElementTree.tostring(tree.getroot(), encoding="unicode")) + "\n")
    cases = list(tree.iter("testcase"))
    properties = {
        found.attrib["name"]: _value(found.attrib["value"])
        for case in cases
        for found in case.iter("property")
    }
    bad = [case for case in cases for kind in ("failure", "error") if case.find(kind) is not None]
    return {
        "arguments": arguments,
        "tests": len(cases),
        "skipped": {
            f"{case.attrib['name']}": skipped.attrib.get("message", "")
            for case in cases
            if (skipped := case.find("skipped")) is not None
        },
        "failed": [case.attrib["name"] for case in bad],
        "seconds": round(sum(float(case.attrib["time"]) for case in cases), 1),
        "recorded": properties,
    }


def _value(text: str) -> Any:
    """A recorded property: JSON where it is, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
