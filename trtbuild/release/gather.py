"""Collects what a release holds of one recipe: its files, and what the manifest says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtbuild.errors import ReleaseError
from trtbuild.graph.action import ArtifactRef, Task, Verdict
from trtbuild.graph.made import LEVELS
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.release.archive import Entry
from trtbuild.release.lock import Lock
from trtbuild.release.start import Start
from trtbuild.stages import STAGES
from trtbuild.store.digest import Digest, digest_of_bytes, digest_of_file

ROLES = {
    ("reference", "reference"): "golden",
    ("calibrate", "table"): "calibration",
    ("calibrate", "report"): "calibration",
    ("quantize", "report"): "quantization",
    ("build", "engine"): "engine",
    ("build", "info"): "build",
    ("build", "timing"): "timing_cache",
    ("verify", "result"): "verification",
    ("benchmark", "result"): "benchmark",
}
"""The artifacts that are shipped, and what for: (stage, artifact) -> role."""


DOCUMENTS = {"recipe": "recipe.yaml", "lock": "recipe.lock", "accepted": "accepted.json"}
"""What the documents beside a recipe are called in a bundle, by role."""


@dataclass(slots=True)
class Gathered:
    """What a release holds of one recipe."""

    rebuilder: Rebuilder
    lock: Lock
    entries: list[Entry] = field(default_factory=list)
    variants: list[dict[str, Any]] = field(default_factory=list)
    shared: dict[str, list[str]] = field(default_factory=dict)  # role -> paths

    @property
    def name(self) -> str:
        """The recipe's name, which is its folder in the bundle."""
        return self.rebuilder.recipe.name

    def result(self, task_id: str, name: str) -> Any:
        """A JSON result of a task, or None where it has none."""
        outcome = self.rebuilder.outcomes.get(task_id)
        if outcome is None or outcome.verdict is Verdict.SKIPPED or not outcome.outputs:
            return None
        return json.loads(self.rebuilder.workspace.path(outcome.task, name).read_bytes())

    def add(self, path: str, role: str, content: Path | bytes, digest: Digest) -> dict[str, Any]:
        """Put a file into the bundle; returns what the manifest says of it elsewhere."""
        self.entries.append(Entry(path, role, content, digest))
        return {"path": path, "sha256": digest.hash, "size_bytes": digest.size_bytes}


def gather(rebuilder: Rebuilder, lock: Lock, start: Start, *, with_onnx: bool) -> Gathered:
    """Everything of one recipe that a release holds, but for what Triton needs.

    The session has brought all up to date. Raises ReleaseError for a task without result.
    """
    found = Gathered(rebuilder, lock)
    recipe = rebuilder.recipe
    for role, name in DOCUMENTS.items():
        if (data := start.content(role)) is not None:
            entry = found.add(f"{recipe.name}/{name}", role, data, digest_of_bytes(data))
            found.shared[role] = [entry["path"]]
    for task in rebuilder.tasks.values():
        if task.variant is None:
            for role, files in _artifacts(found, task):
                found.shared.setdefault(role, []).extend(item["path"] for item in files)
    for index, notice in enumerate(recipe.package.notices):
        path = recipe.folder / notice
        name = f"{recipe.name}/notices/{index}-{_plain(path.name)}"
        found.shared.setdefault("notice", []).append(
            found.add(name, "notice", path, digest_of_file(path))["path"]
        )
    best = rebuilder.choice.variant if rebuilder.choice else None
    for variant in (best,) if best else recipe.precisions:
        found.variants.append(_variant(found, variant, with_onnx=with_onnx))
    return found


def _variant(found: Gathered, variant: str, *, with_onnx: bool) -> dict[str, Any]:
    tasks = [task for task in found.rebuilder.tasks.values() if task.variant == variant]
    build = next(task for task in tasks if task.stage == "build")
    info = found.result(build.id, "build.json")
    if info is None:
        raise ReleaseError("has no engine", where=f"{found.rebuilder.recipe.path} {build.id}")
    document: dict[str, Any] = {
        "name": variant,
        "backend": info["backend"],
        "version": info["version"],
        "targets": targets_of(found.lock, build),
        "inputs": info["inputs"],
        "outputs": info["outputs"],
    }
    for task in tasks:
        for role, files in _artifacts(found, task):
            document[role] = files[0]
    if with_onnx:
        document["onnx"] = [
            found.add(f"{found.name}/{variant}/{name}", "onnx", path, digest)
            for name, path, digest in model_files(found, build)
        ]
    document["verification"] = _verification(found, variant, document.get("verification"))
    return document


def model_files(found: Gathered, build: Task) -> Iterator[tuple[str, Path, Digest]]:
    """The ONNX file that an engine was built from, and its external data."""
    source = next(i for i in build.inputs if isinstance(i, ArtifactRef) and i.role == "model")
    task = found.rebuilder.tasks[source.task]
    artifact = next(o for o in STAGES[task.stage].outputs if o.name == source.artifact)
    for name, digest in found.rebuilder.results[task.id]:
        if name in artifact.files:
            yield name, found.rebuilder.workspace.path(task, name), digest


def _artifacts(found: Gathered, task: Task) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The shipped artifacts of a task that has a result, by role."""
    made = dict(found.rebuilder.results.get(task.id, ()))
    for output in STAGES[task.stage].outputs:
        role = ROLES.get((task.stage, output.name))
        files = [name for name in output.files if name in made]
        if role is None or not files:
            continue
        folder = f"{found.name}/golden" if role == "golden" else f"{found.name}/{task.folder}"
        yield (
            role,
            [
                found.add(
                    f"{folder}/{name}",
                    role,
                    found.rebuilder.workspace.path(task, name),
                    made[name],
                )
                for name in files
            ],
        )


def targets_of(lock: Lock, build: Task) -> dict[str, Any]:
    """Where an engine runs: the compute capabilities that it was built for, and the GPU.

    An engine that is compatible with other GPUs than the one that built it names none of them.
    """
    toolchain = lock.tasks[build.id].action["toolchain"]
    gpu = {
        key: toolchain[name]
        for key, name in (("name", "gpu"), ("compute_capability", "gpu.compute_capability"))
        if name in toolchain
    }
    asked = build.options.get("compute_capabilities")
    capabilities = [str(item) for item in asked] if isinstance(asked, list) else []
    compatible = build.options.get("hardware_compatibility")
    if compatible == "ampere_plus":
        return {"compute_capabilities": [], "hardware_compatibility": compatible, "gpu": gpu}
    if gpu and (not capabilities or capabilities == ["current"]):
        capabilities = [gpu["compute_capability"].replace(".", "")]
    return {"compute_capabilities": capabilities, **({"gpu": gpu} if gpu else {})}


def _verification(found: Gathered, variant: str, file: Any) -> dict[str, Any] | None:
    result = found.result(f"verify:{variant}", "verify.json")
    if result is None or result["passed"] is None:  # nothing was compared
        return None
    verify = found.rebuilder.recipe.verify
    return {
        "passed": result["passed"],
        "engine": result["engine"],
        "metrics": {name: score["value"] for name, score in result["metrics"].items()},
        "tolerance": dict(verify.tolerance.get(variant, {})) if verify else {},
        "file": file,
    }


def add_levels(found: Gathered) -> None:
    """Put the levels that a rebuild reached into the variants whose engines it was about."""
    path = found.rebuilder.workspace.root / LEVELS
    try:
        data = path.read_bytes()
        by_engine = _levels_in(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # nothing was measured here, or somebody else's file has the name
    hit = False
    for variant in found.variants:
        item = by_engine.get(variant["engine"]["sha256"])
        if item is not None:
            variant["reproducibility"] = item
            hit = True
    if hit:
        name = f"{found.name}/{LEVELS}"
        found.shared["reproducibility"] = [
            found.add(name, "reproducibility", data, digest_of_bytes(data))["path"]
        ]


def _levels_in(data: bytes) -> dict[str, dict[str, Any]]:
    """What rebuild.json says, by engine. Raises some error for what is no such document."""
    document: Any = json.loads(data)
    return {
        str(item["engine"]): {
            "level": str(item["level"]),
            "levels": {
                name: {"reached": level["reached"], "note": str(level["note"])}
                for name, level in item["levels"].items()
            },
        }
        for item in document["variants"].values()
    }


def _plain(name: str) -> str:
    """A file name without what a bundle refuses in names."""
    return "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name
    )
