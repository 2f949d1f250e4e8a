"""Actions in a cache without running anything: real blobs, real traces, chosen ages."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from trtbuild.graph.action import Action
from trtbuild.store.action_cache import Trace
from trtbuild.store.digest import Digest
from trtbuild.store.store import Store


def action(number: int = 0, **changed: Any) -> Action:
    """An action that no other number gives."""
    fields: dict[str, Any] = {
        "stage": "build",
        "stage_version": 1,
        "options": {"number": number},
        "inputs": (("model/model.onnx", Digest("a" * 64, 10)),),
        "outputs": ("engine.plan", "build.log"),
        "toolchain": (("tensorrt-rtx", "1.7.1.116"),),
        "discovered": (),
    }
    return Action(**{**fields, **changed})


def put(
    store: Store, made: Action, contents: dict[str, bytes], *, age: float = 0.0
) -> tuple[str, Trace]:
    """Store some bytes as an action's outputs, as if that was `age` seconds ago."""
    outputs = []
    with store.scratch() as folder:
        for name, data in contents.items():
            (folder / name).write_bytes(data)
            outputs.append((name, store.cas.adopt(folder / name)))
    trace = Trace(made.document(), tuple(sorted(outputs)), 2.5)
    store.actions.record(made.key(), trace)
    set_age(store, made.key(), trace, age)
    return made.key(), trace


def set_age(store: Store, key: str, trace: Trace, age: float) -> None:
    """Let a trace and its blobs look as if they had last been used so many seconds ago."""
    then = time.time() - age
    paths = [store.actions.path(key), *(store.cas.path(digest) for _, digest in trace.outputs)]
    for path in paths:
        os.utime(path, (then, then))


def files_in(root: Path) -> set[str]:
    """Every file of the cache but for the databases."""
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and ".sqlite" not in path.name
    }
