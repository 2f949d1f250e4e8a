"""Hears what TensorRT says: one native logger per process, routed to the work at hand."""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from trtbuild.errors import StageError, UsageError
from trtbuild.trt.apart import outside
from trtbuild.trt.errors import NO_DRIVER, explain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from trtbuild.trt.flavour import Flavour

_ERRORS = ("INTERNAL_ERROR", "ERROR")
_REMEMBERED = frozenset((*_ERRORS, "WARNING"))

_NOISE = (
    # A CUDA call of TensorRT's own error handling fails where there is no GPU: a line that
    # follows each real error (35: no driver, 100: no device; RTX 1.4 leaves the number out).
    re.compile(
        r"^\[checkMacros\.cpp::catchCudaError::\d+\] Error Code 1: Cuda Runtime "
        r"\(In catchCudaError at \S+?:\d+( \(cudaError (35|100): .*\))?\)$"
    ),
    # For callers that fill every integer input with int32: we go by the engine's own types.
    re.compile(r"Make sure (input|output) .* has Int64 binding\.$"),
    # RTX 1.4 says it of every network.
    re.compile(r"^In JIT build, strongly typed is enabled by default\.$"),
)

_TUNED = re.compile(r"Autotuning op (?P<name>.+)\(key: (?P<key>0x[0-9a-f]+)\)")
"""Said of each operation where the timing cache is editable."""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that TensorRT said; the severity is the name of an ILogger.Severity."""

    severity: str
    text: str


class Log:
    """What TensorRT says during one piece of work, noise left out of what is remembered."""

    def __init__(self, flavour: Flavour, native: Any, file: BinaryIO | None) -> None:
        self.flavour = flavour
        self._native = native
        self._file = file
        self._heard: list[Message] = []
        self.refusal: OSError | None = None  # why the file holds less than was said
        self.tuned: dict[str, str] = {}  # names of the operations that it timed kernels of, by key

    @property
    def native(self) -> Any:
        """The logger that TensorRT was given, for functions that want it again."""
        return self._native

    @property
    def errors(self) -> tuple[str, ...]:
        """Every ERROR and INTERNAL_ERROR, in order, each once."""
        return self._texts(_ERRORS)

    @property
    def last_error(self) -> str:
        """What was said last of those, also where it was said before; "" before any."""
        return next((m.text for m in reversed(self._heard) if m.severity in _ERRORS), "")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every WARNING, in order, each once."""
        return self._texts(("WARNING",))

    def create(self, factory: str, *arguments: Any) -> Any:
        """Make a Builder, Runtime, OnnxParser or Refitter; they take the logger last.

        Raises UsageError, with what TensorRT said, where the native library made none: the
        bindings then raise a TypeError about a null pointer, which says nothing to a user.
        """
        try:
            return getattr(self.flavour.module, factory)(*arguments, self._native)
        except TypeError as error:
            if "nullptr" not in str(error):
                raise
            said = "".join(f"\n  {text}" for text in self.errors)
            cause = next(filter(None, map(explain, self.errors)), None)
            raise UsageError(
                f"{self.flavour.title} could not make a {factory}{said}",
                hint=cause.remedy if cause else NO_DRIVER,
            ) from error

    def hear(self, severity: str, text: str) -> None:
        """Take one message. Never raises: an exception in TensorRT's threads ends the process."""
        if severity in _REMEMBERED and not any(noise.search(text) for noise in _NOISE):
            self._heard.append(Message(severity, text))
        elif found := _TUNED.match(text):
            self.tuned[found["key"]] = found["name"]
        if self._file is None or self.refusal is not None:
            return
        try:
            self._file.write(f"[{severity}] {text}\n".encode(errors="replace"))
        except OSError as error:
            self.refusal = error

    def _texts(self, severities: tuple[str, ...]) -> tuple[str, ...]:
        heard = (message.text for message in self._heard if message.severity in severities)
        return tuple(dict.fromkeys(heard))


_routers: dict[str, Any] = {}
"""The native logger of each backend: TensorRT keeps the first one of a process and ignores
every further one, so that it must live as long as the process and be the same for all."""


@contextmanager
def recording(flavour: Flavour, path: Path | None = None) -> Iterator[Log]:
    """Hear everything that TensorRT says within the block, and write all of it to a file.

    Within another recording, the inner one hears alone. Raises StageError where the file cannot
    be written.
    """
    router = _router(flavour)
    before = router.log_now
    with _opened(path) as file:
        log = Log(flavour, router, file)
        router.log_now = log
        try:
            yield log
        finally:
            router.log_now = before
    if log.refusal is not None:
        raise _unwritable(path, log.refusal) from log.refusal


def _opened(path: Path | None) -> AbstractContextManager[BinaryIO | None]:
    if path is None:
        return nullcontext()
    try:
        # Unbuffered: the log of a build that was killed is the one that is needed most, and
        # closing has nothing left to write, which could fail on a full disk.
        return path.open("wb", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path | None, error: OSError) -> StageError:
    return StageError(f"TensorRT's log cannot be written: {error.strerror}", where=str(path))


def _router(flavour: Flavour) -> Any:
    if flavour.backend in _routers:
        return _routers[flavour.backend]
    base: Any = flavour.module.ILogger
    # An enum's own `name` is a search in Python, too slow for some ten thousand messages.
    names = {int(value): name for name, value in base.Severity.__members__.items()}

    class Router(base):  # type: ignore[misc] # the base is known only once a backend is loaded
        """Passes each message on to the recording that is open."""

        def __init__(self) -> None:
            super().__init__()
            self.log_now: Log | None = None

        def log(self, severity: Any, msg: str) -> None:
            if self.log_now is not None:
                outside(self.log_now.hear, names[int(severity)], msg)

    return _routers.setdefault(flavour.backend, Router())
