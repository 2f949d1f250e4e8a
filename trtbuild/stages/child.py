"""The child process that a stage runs in: reads a request, runs the stage, reports by events.

Started as `python -m trtbuild.stages.child REQUEST DESCRIPTOR PARENT`, where the descriptor is the
write end of a pipe, and the parent the id of the process that reads it. Events are JSON lines:
progress, warning, error, and at last done, which names what the user's own code was seen to read
and says what that was like.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from trtbuild.discovery.watch import Watch
from trtbuild.errors import OptionError, TrtbuildError
from trtbuild.stages.base import StageContext

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class PipeReporter:
    """Sends what a stage reports up the pipe.

    Its outputs are named without their folder, which is gone when somebody reads of them.
    """

    def __init__(self, pipe: TextIO, outputs: Path) -> None:
        self._pipe = pipe
        self._folder = f"{outputs}{os.sep}"

    def progress(self, text: str, fraction: float | None = None) -> None:
        """One line of what is being done."""
        self.send(event="progress", text=text, fraction=fraction)

    def warn(self, text: str) -> None:
        """Something that does not stop the stage."""
        self.send(event="warning", text=text)

    def send(self, **event: Any) -> None:
        """Write one event; a parent that is gone ends this process by signal."""
        shown = {
            name: value.replace(self._folder, "") if isinstance(value, str) else value
            for name, value in event.items()
        }
        self._pipe.write(json.dumps(shown) + "\n")
        self._pipe.flush()


def main(arguments: list[str]) -> int:
    """Run the stage that a request file asks for; returns the exit code."""
    _die_with(int(arguments[2]))
    request = json.loads(Path(arguments[0]).read_bytes())
    reporter = PipeReporter(os.fdopen(int(arguments[1]), "w"), Path(request["outputs"]))
    folder = Path(request["folder"])
    context = StageContext(
        options=request["options"],
        inputs={role: Path(path) for role, path in request["inputs"].items()},
        outputs=Path(request["outputs"]),
        folder=folder,
        reporter=reporter,
        shared=Path(request["shared"]) if request["shared"] is not None else None,
    )
    watch = Watch(
        folder,
        Path(request["project"]),
        exclude=tuple(map(Path, request["exclude"])),
        declared=tuple(context.inputs.values()),
        given=frozenset(request["given"]),
        warn=reporter.warn,
    )
    try:
        watch.start()
        importlib.import_module(request["module"]).run(context)
    except TrtbuildError as error:
        _log()
        reporter.send(
            event="error",
            what=error.what,
            where=error.where,
            hint=error.hint,
            bug=False,
            option=isinstance(error, OptionError),
        )
        return 1
    except MemoryError:
        _log()
        reporter.send(
            event="error",
            what="out of memory",
            where="",
            hint="use smaller max shapes or fewer samples, or a machine with more memory",
            bug=False,
        )
        return 1
    except Exception as error:  # the edge of the process: the parent must learn of it in any case
        _log()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        reporter.send(
            event="error",
            what=f"{type(error).__name__}: {error}",
            where="",
            hint="free some space, or use another folder (--cache DIR)" if full else "",
            bug=not full,
        )
        return 1 if full else 3
    discovered = watch.discovered(request["options"])
    reporter.send(event="done", discovered=discovered, seen=watch.seen())
    return 0


def _log() -> None:
    """Write the present exception to the log, which a full disk may refuse."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


def _die_with(parent: int) -> None:
    """A build must not go on, and hold the GPU, when the run that wants it is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # killed before it could be asked: no signal comes any more
        os._exit(1)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # Native libraries have crashed in their exit handlers; the work is done and reported by now.
    os._exit(code)
