"""The output folder of a recipe: artifacts under their own names, and what was last made there."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.discovery.folders import RECORDS
from trtbuild.errors import StoreError
from trtbuild.graph.action import Reason, ReasonKind, Task
from trtbuild.store.digest import Digest, canonical_json
from trtbuild.store.files import copy_file, store_errors, write_file
from trtbuild.store.memo import Memo

LOCK = "lock"
"""The file among the records that a run holds a lock on."""

IGNORE_ALL = b"# outputs of trtbuild; the recipe is what belongs in the repository\n*\n"


@dataclass(frozen=True, slots=True)
class Record:
    """What a task last was in this folder: its action key and the action's document.

    `entry` is the key of the entry that its outputs are from, and `accepted` says how that
    differs from the action, where the recipe's policy allows it.
    """

    key: str
    action: dict[str, Any]
    entry: str = ""
    accepted: tuple[str, ...] = ()


def failed_name(name: str) -> str:
    """What a file of a run that failed is called: verify.failed.json."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.failed{dot}{suffix}"


class Workspace:
    """The folder that one recipe's outputs lie in."""

    def __init__(self, root: Path, memo: Memo) -> None:
        self.root = root
        self._memo = memo

    def path(self, task: Task, file: str) -> Path:
        """Where an output file of a task lies."""
        return self.root / task.folder / file

    def log_path(self, task: Task) -> Path:
        """Where the log of a task that failed is kept."""
        return self.root / task.folder / f"{task.stage}.failed.log"

    def record(self, task: Task) -> Record | None:
        """What the task last was here; None if it never was, or the record is damaged."""
        try:
            document = json.loads(self._record_path(task).read_bytes())
            accepted = tuple(str(text) for text in document.get("accepted", ()))
            entry = str(document.get("entry", ""))
            return Record(str(document["key"]), dict(document["action"]), entry, accepted)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def is_recorded(self, task: Task, key: str) -> bool:
        """Whether the task's record is of that action; a no-op asks, so it is not parsed."""
        try:
            data = self._record_path(task).read_bytes()
        except OSError:
            return False
        return data.endswith(f'"key":"{key}"}}'.encode())

    def write_record(self, task: Task, record: Record) -> None:
        """Remember what the task now is here. Raises StoreError."""
        document: dict[str, Any] = {"key": record.key, "action": record.action}
        if record.accepted:
            document |= {"entry": record.entry, "accepted": list(record.accepted)}
        write_file(self._record_path(task), canonical_json(document))

    def mark(self) -> None:
        """Have the folder ignored by repositories, where it can be written to."""
        with contextlib.suppress(StoreError):
            self.prepare()

    def prepare(self) -> None:
        """Make the folder, which its own folder of records, one per task, tells from others, with
        a .gitignore that keeps it out of repositories.

        Raises StoreError.
        """
        records = self.root / RECORDS
        with store_errors("cannot make", records):
            records.mkdir(parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            write_file(ignore, IGNORE_ALL)

    def differences(self, task: Task, outputs: tuple[tuple[str, Digest], ...]) -> list[Reason]:
        """How the files on disk differ from what the task should have made; empty if they do not.

        A file of an earlier result that this one lacks (an optional one) also counts.
        """
        found = []
        for name, digest in outputs:
            path = self.root / task.folder / name
            try:
                if self._memo.digest(path) != digest:
                    found.append(Reason(ReasonKind.OUTPUT_DAMAGED, f"{name} was changed", name))
            except OSError:
                found.append(Reason(ReasonKind.OUTPUT_MISSING, f"{name} is missing", name))
        return found

    def remove_others(self, task: Task, names: tuple[str, ...], made: set[str]) -> None:
        """Remove output files of this stage that this result does not have. Raises StoreError."""
        for name in names:
            if name not in made:
                path = self.path(task, name)
                with store_errors("cannot remove", path):
                    path.unlink(missing_ok=True)

    def keep_failure(self, task: Task, log: Path, reports: list[Path]) -> None:
        """Keep the log of a failed stage, and what it wrote of its failure, where there is room:
        the stage's own error is the one to tell of.

        They get names of their own: outputs of an earlier success stay what they are.
        """
        for file, kept in ((log, self.log_path(task)), *self._failed(task, reports)):
            with contextlib.suppress(StoreError):
                if file.exists():
                    copy_file(file, kept)

    def forget_failure(self, task: Task, reports: list[Path]) -> None:
        """Remove what is left of an earlier failure. Raises StoreError."""
        for kept in (self.log_path(task), *(path for _, path in self._failed(task, reports))):
            with store_errors("cannot remove", kept):
                kept.unlink(missing_ok=True)

    def _failed(self, task: Task, reports: list[Path]) -> list[tuple[Path, Path]]:
        return [(report, self.path(task, failed_name(report.name))) for report in reports]

    def _record_path(self, task: Task) -> Path:
        return self.root / RECORDS / f"{task.id.replace(':', os.extsep)}.json"
