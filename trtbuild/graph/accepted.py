"""The accepted results beside a recipe: which engine a regression is judged against."""

from __future__ import annotations

import json
import re
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
    except (ValueError, RecursionError) as error:
        raise UsageError("this is no JSON document", where=str(path), hint=_RESTORE) from error
    if problem := _problem(document):
        what = f"these are no accepted results: {problem}"
        raise UsageError(what, where=str(path), hint=_RESTORE)
    return dict(document)


def _problem(document: Any) -> str:
    """Why a document holds no accepted results; "" where it has all that readers rely on."""
    if not isinstance(document, dict) or document.get("format") != 1:
        return "format should be 1"
    entries = document.get("accepted")
    if not isinstance(entries, list):
        return "accepted should be a list"
    for index, entry in enumerate(entries):
        where = f"accepted[{index}]"
        if found := _wrong_key(entry, {"variant": str, "gpu": str, "settings": dict}):
            return f"{where}{found}"
        engine = entry.get("engine")
        kept = {"path": str} if isinstance(engine, dict) and "path" in engine else {}
        if found := _wrong_key(engine, {"digest": str, "backend": str, "version": str, **kept}):
            return f"{where}.engine{found}"
        if not _DIGEST.fullmatch(engine["digest"]):
            return f"{where}.engine.digest should be sha256:HASH:SIZE"
    return ""


def _wrong_key(value: Any, kinds: Mapping[str, type]) -> str:
    if not isinstance(value, dict):
        return " should be a mapping"
    names: dict[type, str] = {str: "a text", dict: "a mapping"}
    for key, kind in kinds.items():
        if not isinstance(value.get(key), kind):
            return f".{key} should be {names[kind]}"
    return ""


_DIGEST = re.compile(r"sha256:([0-9a-f]{64}):([0-9]+)")

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

    settings = measured_settings({"settings": settings_of(task.options).as_options()})
    gpu = dict(device.facts).get("gpu", "")
    document = read_accepted(accepted_file(recipe))
    entry = find_accepted(document, variant_name(recipe, task), gpu, settings)
    return AcceptedEngine() if entry is None else _usable(recipe, entry["engine"], store)


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
    except (OSError, ValueError):  # ValueError: a name that no file can have
        pass  # as good as another file
    why = f"the accepted engine {hashed[:12]} is neither in the cache nor beside the recipe"
    return AcceptedEngine(digest, None, why)
