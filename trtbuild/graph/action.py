"""Tasks, which are planned, and actions, which are run: the values between plan and rebuild."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trtbuild.discovery.names import UNSET, VARIABLE
from trtbuild.recipe.model import Options
from trtbuild.store.digest import Digest, canonical_json

ACTION_FORMAT = 3
"""In every action key: raise it when the form of the action changes; everything is then rebuilt."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that the recipe names; `path` is relative to the recipe's folder."""

    role: str
    path: str
    external: bool = False  # an ONNX file, whose external data files are inputs too
    unless: str = ""  # a role: with the same bytes as its file, this one is no input of the action


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """An artifact of another task of the same recipe."""

    role: str
    task: str
    artifact: str


InputRef: TypeAlias = SourceFile | ArtifactRef


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the plan: a stage with its options and the names of its inputs.

    `id` is unique in the recipe, `folder` is where its outputs go below the recipe's output
    folder, `where` the recipe's key that asks for it.
    """

    id: str
    stage: str
    variant: str | None
    options: Options
    inputs: tuple[InputRef, ...]
    folder: str
    where: tuple[str | int, ...] = field(compare=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """The ids of the tasks whose artifacts this one reads, sorted."""
        return tuple(sorted({i.task for i in self.inputs if isinstance(i, ArtifactRef)}))


@dataclass(frozen=True, slots=True)
class Action:
    """Everything that decides a stage's outputs, and nothing else.

    `inputs` pairs "role/file" with digests; `discovered` pairs what the user's own code was seen
    to read (files, folders, packages, variables: `discovery.names`) with their states;
    `toolchain` pairs names of tools and devices with versions. All are sorted.
    """

    stage: str
    stage_version: int
    options: Options
    inputs: tuple[tuple[str, Digest], ...]
    outputs: tuple[str, ...]
    toolchain: tuple[tuple[str, str], ...]
    discovered: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """The action as JSON; its canonical text is what the action key is the sha256 of."""
        return {
            "format": ACTION_FORMAT,
            "stage": self.stage,
            "stage_version": self.stage_version,
            "options": self.options,
            "inputs": {name: digest.text for name, digest in self.inputs},
            "outputs": list(self.outputs),
            "toolchain": dict(self.toolchain),
            "discovered": dict(self.discovered),
        }

    def key(self) -> str:
        """The action key: 64 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self.document())).hexdigest()


class Verdict(enum.StrEnum):
    """What became of a task."""

    UP_TO_DATE = "UP_TO_DATE"  # its outputs are there and are what its action gives
    RESTORED = "RESTORED"  # its outputs were taken from the cache
    EXECUTED = "EXECUTED"  # it was run
    SKIPPED = "SKIPPED"  # it cannot or need not run here; the reason says why
    FAILED = "FAILED"  # it was run, and something went wrong


class ReasonKind(enum.StrEnum):
    """Why a task is not simply up to date: a closed set."""

    FIRST_RUN = "first_run"  # nothing is recorded of it in this output folder
    CHANGED = "changed"  # its action differs from the recorded one
    OUTPUT_MISSING = "output_missing"
    OUTPUT_DAMAGED = "output_damaged"
    EVICTED = "evicted"  # its action is recorded, but the cache no longer holds the result
    FORCED = "forced"  # --rebuild
    UPSTREAM = "upstream"  # a task before it has to run first
    UPSTREAM_FAILED = "upstream_failed"
    NO_DEVICE = "no_device"
    ACCEPTED = "accepted"  # an entry was taken that differs in what the recipe's policy allows
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, in words; `field` names the action's field that differs, if one does."""

    kind: ReasonKind
    text: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A task's verdict with everything that a report says about it.

    `outputs` pairs file names with digests; `seconds` is how long the stage took when it was
    executed, here or wherever the cache got it from. `certain` is false in a plan where a task
    before it may yet turn out to give the same bytes.
    """

    task: Task
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    key: str = ""
    outputs: tuple[tuple[str, Digest], ...] = ()
    seconds: float = 0.0
    error: str = ""
    log: str = ""
    warnings: tuple[str, ...] = ()
    certain: bool = True
    mistake: bool = False  # of a failure: whether an option of the recipe is wrong


def differences(old: Any, new: Any, path: str = "") -> tuple[Reason, ...]:
    """What differs between two action documents, field by field, in the order of the fields.

    >>> [r.text for r in differences({"options": {"opt": 8}}, {"options": {"opt": 16}})]
    ['options.opt: 8 -> 16']
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found: list[Reason] = []
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}.{name}" if path else str(name)
            found += differences(old.get(name, _ABSENT), new.get(name, _ABSENT), inner)
        return tuple(found)
    if old == new:
        return ()
    if _named(old) and _named(new):
        return differences(
            {item["name"]: item for item in old}, {item["name"]: item for item in new}, path
        )
    return (Reason(ReasonKind.CHANGED, _told(path, old, new), path),)


def _told(path: str, old: Any, new: Any) -> str:
    """What a field was and is; of an environment variable not even the digest, by which a secret
    that is easily guessed could be told."""
    _, is_variable, name = path.partition(f"discovered.{VARIABLE}")
    if not is_variable:
        return f"{path}: {_brief(old)} -> {_brief(new)}"
    if old is _ABSENT or new is _ABSENT:
        return f"environment variable {name} {'is' if old is _ABSENT else 'is no longer'} read"
    become = {old: "is set now", new: "is no longer set"}.get(UNSET, "changed")
    return f"environment variable {name} {become}"


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _named(value: Any) -> bool:
    """Whether a value is a list of named things, such as inputs, which compare by name."""
    return isinstance(value, list) and all(isinstance(v, dict) and "name" in v for v in value)


def _brief(value: Any) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[7:19]
    if value is _ABSENT:
        return "absent"
    text = canonical_json(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
