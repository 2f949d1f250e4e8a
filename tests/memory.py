"""How much memory a process has had."""

from __future__ import annotations

from pathlib import Path


def peak_kib() -> int:
    """The most memory that this process has had since it began, in KiB.

    Not getrusage's ru_maxrss, which begins with that of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])
