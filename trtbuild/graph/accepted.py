"""The accepted results beside a recipe: which engine a regression is judged against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.graph.action import SourceFile, Task
from trtbuild.graph.device import Device
from trtbuild.graph.toolchain import required_version
from trtbuild.recipe.gates import REGRESSION
from trtbuild.recipe.model import Options, Recipe
from trtbuild.stages import backend_requirement
from trtbuild.store.digest import Digest
from trtbuild.store.store import Store

FILE = "accepted.json"
"""Written by `trtbuild accept` beside the recipe, and meant to be committed."""

ROLE = "accepted"


@dataclass(frozen=True, slots=True)
class AcceptedEngine:
    """The engine that was accepted for a variant on this GPU, with the settings of now.

    `path` is where its bytes are, None where it cannot be run beside the new one: `why` says so.
    """

    digest: Digest | None = None
    path: Path | None = None
    why: str = "nothing was accepted for this GPU and these settings: `trtbuild accept`"


def accepted_file(recipe: Recipe) -> Path:
    """Where the accepted results of a recipe lie."""
    return recipe.folder / FILE


def read_accepted(path: Path) -> Options | None:
    """A file of accepted results; None where there is none. Raises UsageError."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise UsageError("this is no JSON document", where=str(path), hint=_RESTORE) from error
    if not isinstance(document, dict) or document.get("format") != 1:
        raise UsageError("these are no accepted results", where=str(path), hint=_RESTORE)
    return document


_RESTORE = "restore it from your repository, or remove it and accept again"


def has_regression(recipe: Recipe) -> bool:
    """Whether a recipe has a gate that needs an accepted result."""
    gates: Mapping[str, Any] = recipe.benchmark.gates if recipe.benchmark else {}
    inner = [name for value in gates.values() if isinstance(value, dict) for name in value]
    return REGRESSION in (*gates, *inner)


def with_accepted(recipe: Recipe, task: Task, device: Device | None, store: Store) -> Task:
    """The task, with the accepted engine as one more input where a gate needs it."""
    if task.stage != "benchmark" or device is None or not has_regression(recipe):
        return task
    found = accepted_engine(recipe, task, device, store)
    if found.path is None:
        return task
    engine = SourceFile(ROLE, str(found.path.absolute()), unless="engine")
    return replace(task, inputs=(*task.inputs, engine))


def accepted_engine(recipe: Recipe, task: Task, device: Device, store: Store) -> AcceptedEngine:
    """The engine that was accepted for a benchmark's variant. Raises UsageError."""
    from trtbuild.benchmark.accept import find_accepted, measured_settings
    from trtbuild.benchmark.settings import settings_of

    path = accepted_file(recipe)
    settings = measured_settings({"settings": settings_of(task.options).as_options()})
    gpu = dict(device.facts).get("gpu", "")
    try:
        entry = find_accepted(read_accepted(path), variant_name(recipe, task), gpu, settings)
        if entry is None:
            return AcceptedEngine()
        return _usable(recipe, entry["engine"], store)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError("these are no accepted results", where=str(path), hint=_RESTORE) from error


def variant_name(recipe: Recipe, task: Task) -> str:
    """A variant as accepted results name it: "digits-cnn fp16"."""
    return f"{recipe.name} {task.variant}"


def _usable(recipe: Recipe, engine: Any, store: Store) -> AcceptedEngine:
    _, hashed, size = engine["digest"].split(":")
    digest = Digest(hashed, int(size))
    backend = recipe.build.backend
    version = required_version(backend_requirement(backend))
    if (engine["backend"], engine["version"]) != (backend, version):
        was = f"{engine['backend']} {engine['version']}"
        why = f"the accepted engine is of {was}, which {backend} {version} does not load"
        return AcceptedEngine(digest, None, f"{why}: accept the new one")
    if store.cas.verified(digest):
        return AcceptedEngine(digest, store.cas.path(digest), "")
    kept = recipe.folder / engine["path"] if "path" in engine else None
    try:
        if kept is not None and store.memo.digest(kept) == digest:
            return AcceptedEngine(digest, kept, "")
    except OSError:
        pass  # as good as another file
    why = f"the accepted engine {hashed[:12]} is neither in the cache nor beside the recipe"
    return AcceptedEngine(digest, None, why)
