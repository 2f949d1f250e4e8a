"""The provenance of a bundle: an in-toto Statement v1 with a SLSA provenance v1 predicate.

Forms: github.com/in-toto/attestation (spec/v1/statement.md), slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import trtbuild
from trtbuild.discovery.names import NO_PATHS
from trtbuild.graph.action import SourceFile
from trtbuild.release.archive import Entry
from trtbuild.release.gather import Gathered
from trtbuild.release.lock import EVIDENCE
from trtbuild.release.source import SourceState
from trtbuild.release.tools import Tool, normal, own_tools, parts, tool

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:trtbuild:release:1"
BUILDER = "urn:trtbuild:builder"


def statement(
    found: Sequence[Gathered],
    states: Sequence[SourceState],
    entries: Sequence[Entry],
    tools: Sequence[Tool],
    *,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """What a bundle is made of, and how. No time is in it: the same release has the same bytes."""
    ordered = sorted(entries, key=lambda entry: entry.path)
    recipes = [recipe.rebuilder.recipe for recipe in found]
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": entry.path, "digest": {"sha256": entry.digest.hash}} for entry in ordered
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipes": [recipe.name for recipe in recipes],
                    **parameters,
                },
                "internalParameters": {
                    "actions": {recipe.name: _actions(recipe) for recipe in found}
                },
                "resolvedDependencies": [
                    *_sources(found, states),
                    *_inputs(found),
                    *(_tool(item) for item in tools),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"trtbuild": trtbuild.__version__}},
                "byproducts": list(_byproducts(found)),
            },
        },
    }


def tools_of(found: Sequence[Gathered]) -> tuple[Tool, ...]:
    """Every tool that an action names, Python and trtbuild; sorted."""
    facts: set[tuple[str, str]] = set()
    for recipe in found:
        for task in recipe.lock.tasks.values():
            facts |= {
                (normal(name), str(version))
                for name, version in task.action["toolchain"].items()
                if name != "gpu" and not name.startswith("gpu.")
            }
            facts |= {
                (normal(name.removeprefix("package:")), str(version))
                for name, version in task.action["discovered"].items()
                if name.startswith("package:")
            }
    tools = [
        item
        for name, version in sorted(facts)
        for item in (tool(name, version), *parts(name, version))
    ]
    return tuple(sorted((*tools, *own_tools()), key=lambda item: (item.name, item.version)))


def _actions(found: Gathered) -> dict[str, Any]:
    return {
        task_id: {
            "key": task.key,
            "stage": task.action["stage"],
            "stage_version": task.action["stage_version"],
            "toolchain": task.action["toolchain"],
        }
        for task_id, task in found.lock.tasks.items()
    }


def _sources(found: Sequence[Gathered], states: Sequence[SourceState]) -> Iterator[dict[str, Any]]:
    for commit in sorted({state.commit for state in states if state.commit}):
        yield {"name": "repository", "digest": {"gitCommit": commit}}
    for recipe in found:
        for entry in recipe.entries:
            if entry.role in ("recipe", "lock"):
                yield {"name": entry.path, "digest": {"sha256": entry.digest.hash}}


def input_files(found: Gathered) -> dict[str, str]:
    """The files that a recipe names or its code was seen to read, with their digests; sorted."""
    files: dict[str, str] = {}
    for task_id, locked in found.lock.tasks.items():
        task = found.rebuilder.tasks[task_id]
        paths = {i.role: i.path for i in task.inputs if isinstance(i, SourceFile)}
        for name, text in locked.action["inputs"].items():
            # An input is "role" or, of external data beside an ONNX file, "role/file".
            role = name if name in paths else name.partition("/")[0]
            if role in paths:
                inner = name.removeprefix(role).lstrip("/")
                path = paths[role] if name in paths else _beside(paths[role], inner)
                files[path] = text
        for name, text in locked.action["discovered"].items():
            if not name.startswith(NO_PATHS) and not name.endswith("/"):
                files[name] = str(text)
    return {path: text for path, text in sorted(files.items()) if text.startswith("sha256:")}


def _inputs(found: Sequence[Gathered]) -> Iterator[dict[str, Any]]:
    for recipe in found:
        for path, text in input_files(recipe).items():
            yield {"name": f"{recipe.name}: {path}", "digest": {"sha256": text.split(":")[1]}}


def _beside(path: str, name: str) -> str:
    folder = path.rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


def _tool(item: Tool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": item.name,
        "uri": item.purl,
        "annotations": {"version": item.version, "digest_of": item.of},
    }
    if item.sha256:
        document["digest"] = {"sha256": item.sha256}
    return document


def _byproducts(found: Sequence[Gathered]) -> Iterator[dict[str, Any]]:
    """Outputs that are not in the bundle: logs, and what lies between the source and the engine."""
    for recipe in found:
        shipped = {entry.digest.hash for entry in recipe.entries}
        for task_id, outputs in sorted(recipe.rebuilder.results.items()):
            stage = recipe.rebuilder.tasks[task_id].stage
            for name, digest in outputs:
                if digest.hash not in shipped:
                    kind = "log" if (stage, name) in EVIDENCE else "artifact"
                    yield {
                        "name": f"{recipe.name}: {task_id}/{name}",
                        "digest": {"sha256": digest.hash},
                        "annotations": {"kind": kind},
                    }


def subjects(statement: Any) -> dict[str, str]:
    """The digests of a statement's subjects by name. Raises ValueError where one is there twice."""
    pairs = [(item["name"], item["digest"]["sha256"]) for item in statement["subject"]]
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        raise ValueError(f"names {twice[0]} twice")
    return dict(pairs)
