"""Runs the engines of a bundle that passed its check on their golden inputs, on a GPU."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.errors import ReleaseError
from trtbuild.graph.execute import LocalExecutor, Request
from trtbuild.release.archive import FolderBundle, TarBundle, digest_stream, open_bundle
from trtbuild.release.lock_read import parse_lock
from trtbuild.release.verify import Verified

MODULE = "trtbuild.stages.rerun"


@dataclass(frozen=True, slots=True)
class Run:
    """How one variant did: `problems` is empty where all outputs were within its tolerance."""

    name: str
    cases: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it ran and kept its tolerance."""
        return not self.problems


def rerun(path: Path, verified: Verified) -> tuple[Run, ...]:
    """Run every variant; what is run are copies whose digests are those that were checked."""
    runs = []
    with open_bundle(path) as bundle, tempfile.TemporaryDirectory(prefix="trtbuild-") as folder:
        for recipe in verified.manifest["recipes"]:
            with bundle.open(recipe["shared"]["lock"][0]) as file:
                lock = parse_lock(file.read(), "recipe.lock")
            golden = [
                _extract(bundle, verified, name, Path(folder) / recipe["name"])
                for name in recipe["shared"]["golden"]
            ]
            for variant in recipe["variants"]:
                place = Path(folder) / recipe["name"] / variant["name"]
                engine = _extract(bundle, verified, variant["engine"]["path"], place)
                verify = lock.tasks.get(f"verify:{variant['name']}")
                options = verify.action["options"] if verify else {}
                result, error = run_engine_on(variant, engine, golden[0], options, place)
                problems = (error,) if error else tuple(result["problems"])
                name = f"{recipe['name']} {variant['name']}"
                runs.append(Run(name, result.get("cases", 0), problems))
    return tuple(runs)


def run_engine_on(
    variant: Mapping[str, Any],
    engine: Path,
    reference: Path,
    verify: Mapping[str, Any],
    scratch: Path,
) -> tuple[dict[str, Any], str]:
    """Run an engine in a child process; the stage's result, or an error's text."""
    request = Request(
        module=MODULE,
        options={
            "backend": variant["backend"],
            "precision": variant["name"],
            "inputs": [item["name"] for item in variant["inputs"]],
            "tolerance": dict(verify.get("tolerance") or {}),
            "renames": dict(verify.get("renames") or {}),
            "kernel_specialization": verify.get("kernel_specialization"),
        },
        inputs={"engine": engine, "reference": reference},
        folder=scratch,
        project=scratch,
        exclude=(),
        environment={},
    )
    folder = Path(tempfile.mkdtemp(dir=scratch))
    execution = LocalExecutor().run(request, folder, lambda *_: None)
    if execution.error is not None:
        return {}, execution.error.what
    result: dict[str, Any] = json.loads((execution.outputs / "rerun.json").read_bytes())
    return result, ""


def _extract(bundle: FolderBundle | TarBundle, verified: Verified, name: str, folder: Path) -> Path:
    """A file of the bundle as a file of ours. Raises ReleaseError where it has changed since."""
    path = folder / Path(name).name
    path.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(name) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    with path.open("rb") as file:
        if digest_stream(file) != verified.digests[name]:
            raise ReleaseError("changed while it was checked", where=name)
    return path
