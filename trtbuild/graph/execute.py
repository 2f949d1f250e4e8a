"""Running a stage in a child process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trtbuild.errors import OptionError, StageError
from trtbuild.recipe.model import Options
from trtbuild.stages.steady import fixed_addresses, stage_environment
from trtbuild.store.files import store_errors

Progress = Callable[[str, float | None], None]

CHILD = "trtbuild.stages.child"
SAME = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
"""What every stage has in its environment, so that runs do not differ from each other."""

LOG_TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Request:
    """A stage to run: its module, options and inputs, and where the user's code lives.

    `inputs` maps roles to absolute paths; `project` is the folder whose files count as the
    user's own; `exclude` are folders in it that hold outputs. `environment` is added to this
    process's own. `shared` is a folder of the cache that decides no result.
    """

    module: str
    options: Options
    inputs: Mapping[str, Path]
    folder: Path
    project: Path
    exclude: tuple[Path, ...]
    environment: Mapping[str, str]
    shared: Path | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of a request: `error` is None for a success; `outputs` holds the files.

    `discovered` names what the user's code read, and `seen` says what that was like when it was
    first read (`discovery.seen`).
    """

    outputs: Path
    log: Path
    seconds: float
    discovered: tuple[str, ...]
    warnings: tuple[str, ...]
    error: StageError | None
    seen: Mapping[str, str] = field(default_factory=dict)


class Executor(Protocol):
    """Runs requests, here or elsewhere."""

    # Runs one request below an empty scratch folder; returns when it has ended.
    def run(self, request: Request, scratch: Path, progress: Progress) -> Execution: ...

    # Ends whatever is running, at once.
    def stop(self) -> None: ...


class LocalExecutor:
    """Runs each request in a child process of its own on this machine."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def run(self, request: Request, scratch: Path, progress: Progress) -> Execution:
        """Run the stage; whatever it does, even a crash, comes back as an Execution.

        Raises StoreError where there is no place to run it.
        """
        outputs, log = scratch / "outputs", scratch / "log"
        document = scratch / "request.json"
        with store_errors("cannot prepare the stage", scratch):
            outputs.mkdir()
            log.touch()
            given = {**SAME, **request.environment}
            self._write_request(request, document, outputs, sorted(given))
        started = time.monotonic()
        inherited = stage_environment(request.module, request.options.get("backend"))
        environment = {**inherited, **given}
        events, returncode = self._child(environment, document, log, progress)
        error = _error(events, returncode, log)
        done = [event for event in events if event["event"] == "done"]
        return Execution(
            outputs=outputs,
            log=log,
            seconds=time.monotonic() - started,
            discovered=tuple(done[-1]["discovered"]) if done else (),
            warnings=tuple(event["text"] for event in events if event["event"] == "warning"),
            error=error,
            seen=done[-1]["seen"] if done else {},
        )

    def stop(self) -> None:
        """Kill the children and theirs."""
        with self._lock:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _write_request(self, request: Request, path: Path, outputs: Path, given: list[str]) -> None:
        document = {
            "module": request.module,
            "options": request.options,
            "inputs": {role: str(file.absolute()) for role, file in request.inputs.items()},
            "folder": str(request.folder),
            "project": str(request.project),
            "exclude": [str(folder) for folder in request.exclude],
            "given": given,  # variables that this process does not have so
            "outputs": str(outputs.absolute()),  # a stage may work in a folder of its own
            "shared": None if request.shared is None else str(request.shared),
        }
        path.write_text(json.dumps(document))

    def _child(
        self, environment: Mapping[str, str], request: Path, log: Path, progress: Progress
    ) -> tuple[list[dict[str, Any]], int]:
        reading, writing = os.pipe()
        with log.open("wb") as sink, fixed_addresses():
            process = subprocess.Popen(
                # -P: a folder "onnx" where the user stands must not shadow the library
                [sys.executable, "-P", "-m", CHILD, str(request), str(writing), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                env=environment,
                start_new_session=True,  # an interrupt at the terminal is ours to pass on
            )
        os.close(writing)
        with self._lock:
            self._running.add(process)
        try:
            events = _read_events(reading, progress)
            return events, process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _read_events(descriptor: int, progress: Progress) -> list[dict[str, Any]]:
    """The events up to the end of the pipe; progress is passed on, the rest is returned."""
    events: list[dict[str, Any]] = []
    with os.fdopen(descriptor, "r", encoding="utf-8", errors="replace") as pipe:
        for line in pipe:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the last line of a process that was killed while it wrote
            if event["event"] == "progress":
                progress(event["text"], event["fraction"])
            else:
                events.append(event)
    return events


def _error(events: list[dict[str, Any]], returncode: int, log: Path) -> StageError | None:
    errors = [event for event in events if event["event"] == "error"]
    if errors:
        event = errors[-1]
        hint = event["hint"] or (f"the log's end:\n{_tail(log)}" if event["bug"] else "")
        kind = OptionError if event.get("option") else StageError
        return kind(event["what"], where=event["where"], hint=hint)
    if returncode == 0:
        return None
    if returncode < 0:
        name = signal.Signals(-returncode).name
        what = f"the stage's process was ended by {name}"
        if returncode == -signal.SIGKILL:
            what += " (out of memory, or killed by somebody)"
        return StageError(what, hint=f"the log's end:\n{_tail(log)}")
    return StageError(
        f"the stage's process ended with code {returncode}", hint=f"the log's end:\n{_tail(log)}"
    )


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (empty)"
