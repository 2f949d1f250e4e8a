"""What the caches have of a task: finding it, bringing it here, and putting in what is new."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trtbuild.discovery.names import LINK, MODULE, PACKAGE, VARIABLE, checkout_of
from trtbuild.errors import StageError
from trtbuild.graph.action import Action, Reason, ReasonKind, Task, differences
from trtbuild.graph.bind import with_discovered
from trtbuild.graph.execute import Execution
from trtbuild.graph.workspace import Record, Workspace
from trtbuild.stages import STAGES
from trtbuild.store.action_cache import Trace
from trtbuild.store.store import Store

EXACT = "exact"
LINKED = frozenset({"engine.plan"})
"""Files that may be hard links of the cache's: nothing reads them but as whole and closed files."""


class Found(NamedTuple):  # a dataclass takes longer to make, on the path of a no-op
    """The action of a task, and the entry that is taken for it, if there is one.

    `key` is the entry's. `accepted` says how that differs from the action where a policy allows
    it; without an entry, `action` has the files that the latest run was seen to read.
    """

    action: Action
    key: str
    trace: Trace | None = None
    accepted: tuple[Reason, ...] = ()


class Results:
    """The caches as one recipe uses them.

    `policies` are the recipe's: what may differ between an action and an entry. With `anywhere`
    what is not known on this machine (a GPU, a package) may be anything.
    """

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        folder: Path,
        policies: tuple[str, ...] = (EXACT,),
        *,
        anywhere: bool = False,
        link: bool = False,
    ) -> None:
        self.store = store
        self.workspace = workspace
        self.folder = folder
        self.policies = policies
        self.anywhere = anywhere
        self.link = link

    def find(self, action: Action) -> Found:
        """The entry of an action; of the sets of discovered files, the first with a known key."""
        base = action.key()
        candidates = [self.as_read(action, names) for names in self.store.actions.discovered(base)]
        candidates.append(action)
        for candidate in candidates:
            key = base if candidate is action else candidate.key()
            if (trace := self.store.actions.lookup(key)) is not None:
                return Found(candidate, key, trace)
        return self._find_elsewhere(action, base, candidates)

    def restore(self, task: Task, trace: Trace, progress: Callable[[float], None]) -> bool:
        """Put a task's outputs into its folder; False where the cache has lost one.

        Raises StoreError.
        """
        wrong = {reason.field for reason in self.workspace.differences(task, trace.outputs)}
        with self.store.in_use():
            for name, digest in trace.outputs:
                path = self.workspace.path(task, name)
                link = self.link and name in LINKED
                if name in wrong and not self.store.cas.materialise(
                    digest, path, link=link, progress=progress
                ):
                    return False
        names = tuple(n for output in STAGES[task.stage].outputs for n in output.files)
        self.workspace.remove_others(task, names, {name for name, _ in trace.outputs})
        return True

    def record(
        self, task: Task, action: Action, execution: Execution, progress: Callable[[float], None]
    ) -> Trace:
        """Store what a stage made. Blobs first, trace last: what a trace names is always there.

        Raises StageError for an output that is missing, StoreError.
        """
        made = []
        with self.store.in_use():
            for output in STAGES[task.stage].outputs:
                for name in output.files:
                    file = execution.outputs / name
                    if file.exists():
                        made.append((name, self.store.cas.adopt(file, progress=progress)))
                    elif name not in output.optional:
                        raise StageError(f"the stage made no {name}", hint="see its log")
            outputs = tuple(sorted(made))
            trace = Trace(action.document(), outputs, execution.seconds, execution.warnings)
            self.store.record(action.key(), trace)
        return trace

    def as_read(self, action: Action, names: tuple[str, ...]) -> Action:
        """The action with the present states of what a run was seen to read."""
        return with_discovered(action, names, self.folder, self.store.memo) if names else action

    def as_recorded(self, action: Action, record: Record) -> Action:
        """The action with what the recorded run was seen to read, where nothing newer is known."""
        names = tuple(record.action.get("discovered", {}))
        return action if action.discovered else self.as_read(action, names)

    def as_it_was_read(self, action: Action, entry: dict[str, Any]) -> dict[str, Any]:
        """The action's document with the present states of what an entry's run was seen to read."""
        names = tuple(entry.get("discovered", {}))
        return (self.as_read(action, names) if self._are_ours(names) else action).document()

    def why_unknown(self, action: Action, record: Record | None) -> tuple[Reason, ...]:
        """Why there is no entry, as far as this folder's record says."""
        if record is None:
            return (Reason(ReasonKind.FIRST_RUN, "never built here"),)
        changed = differences(record.action, self.as_recorded(action, record).document())
        return changed or (Reason(ReasonKind.EVICTED, "the cache no longer holds its result"),)

    def kin(self, action: Action) -> Iterator[tuple[str, Trace]]:
        """Entries that share all with an action but tools, devices and what it discovered."""
        from trtbuild.store.index import Index, kin_of

        kin = kin_of(action.document())
        index = Index(self.store.root)
        keys = index.kin(kin)
        index.close()
        if self.store.remote is not None:
            keys += [key for key in self.store.remote.kin(kin) if key not in keys]
        for key in keys:  # a listing, and a table, may be wrong
            if (trace := self.store.find(key)) is not None and kin_of(trace.action) == kin:
                yield key, trace

    def _find_elsewhere(self, action: Action, base: str, candidates: list[Action]) -> Found:
        """The entry in the remote cache, or another that will do."""
        remote = self.store.remote
        if remote is not None:
            sets = [names for names in remote.discovered(base) if self._are_ours(names)]
            candidates[:-1] += [self.as_read(action, names) for names in sets]
            for candidate in candidates:
                if (trace := remote.trace(key := candidate.key())) is not None:
                    return Found(candidate, key, trace)
        if self.anywhere or set(self.policies) - {EXACT}:
            for key, trace in self.kin(action):
                accepted = self._accepted(action, trace.action)
                if accepted is not None:
                    return Found(action, key, trace, accepted)
        return Found(candidates[0], candidates[0].key())

    def _accepted(self, action: Action, entry: dict[str, Any]) -> tuple[Reason, ...] | None:
        """How an entry differs from an action, or None where it differs too much."""
        names = tuple(entry.get("discovered", {}))
        if not self._are_ours(names):
            return None
        if dict(entry.get("options") or {}).get("gpu") != action.options.get("gpu"):
            return None  # kin is whatever else they share
        found = []
        ours = self.as_read(action, names).document()
        for field in ("toolchain", "discovered"):
            here, there = ours[field], entry[field]
            for name in sorted(here.keys() | there.keys()):
                mine, other = here.get(name), there.get(name)
                if mine == other:
                    continue
                why = self._allows(action.stage, name, mine, other)
                if why is None:
                    return None
                mine = "unknown" if mine in (None, "missing") else mine
                text = f"{name} {other} in the entry that was taken, {mine} here ({why})"
                found.append(Reason(ReasonKind.ACCEPTED, text, f"{field}.{name}"))
        return tuple(found)

    def _allows(self, stage: str, name: str, mine: str | None, other: str | None) -> str | None:
        """The policy by which two facts may differ, or None."""
        unknown = mine is None or (name.startswith("package:") and mine == "missing")
        if self.anywhere and unknown and other is not None:
            return "--only-cached"
        if stage != "build" or mine is None or other is None:
            return None
        if "same-sm" in self.policies and (name == "gpu" or name.startswith("gpu.")):
            return None if name == "gpu.compute_capability" else "same-sm"
        if "same-trt-minor" in self.policies and name in ("tensorrt", "tensorrt-rtx"):
            return "same-trt-minor" if mine.split(".")[:2] == other.split(".")[:2] else None
        return None

    def _are_ours(self, names: tuple[str, ...]) -> bool:
        """Whether names from elsewhere lead to nothing but this checkout, as it is laid out.

        A link of the checkout's own may lead out of it: what is there is hashed and no more. A
        variable that may hold a secret is no answer for others: who sees the keys that are asked
        for could try guesses of it.
        """
        from trtbuild.store.address import is_secret  # a no-op takes nothing from elsewhere

        folder = self.folder.resolve()
        checkout = checkout_of(folder)
        if any(is_secret(name) for name in names if name.startswith(VARIABLE)):
            return False
        paths = [
            n.removeprefix(LINK) for n in names if not n.startswith((PACKAGE, VARIABLE, MODULE))
        ]
        return all(Path(os.path.normpath(folder / p)).is_relative_to(checkout) for p in paths)
