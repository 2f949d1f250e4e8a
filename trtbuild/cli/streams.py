"""Standard streams that were closed, whose reader left or whose disk is full: what cannot be said
there ends no work, and hides no exit code.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Lenient(io.FileIO):
    """A descriptor that takes what is written, also when nobody can have it any more."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop what cannot be written."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


def open_streams() -> None:
    """Make standard output and standard error what prints go on with, whatever becomes of them.

    A descriptor that the shell has closed is opened again, on nothing: else the next file that is
    opened, such as the cache's index, would get its number.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, which is this one
    sys.stdout = _lenient(sys.stdout, 1)
    sys.stderr = _lenient(sys.stderr, 2)


def close_streams() -> str:
    """Write out what is left; why standard output is not whole, or "" where it is.

    A reader who has seen enough, as `head` has, is no reason.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    raw = sys.stdout.buffer.raw if isinstance(sys.stdout, io.TextIOWrapper) else None
    lost = raw.lost if isinstance(raw, _Lenient) else None
    if lost is None or lost.errno == errno.EPIPE:
        return ""
    return str(lost.strerror or lost)


def _lenient(stream: TextIO | None, descriptor: int) -> TextIO:
    """A stream like this one (None for one that was closed) on a descriptor."""
    raw = _Lenient(descriptor)
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), errors="backslashreplace")
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        # What the encoding cannot hold, as of a path that is no UTF-8, is escaped.
        errors="backslashreplace" if stream.errors == "strict" else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
