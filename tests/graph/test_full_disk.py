"""A disk that is really full: a small one, mounted for the test alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

MOUNTED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'

CODE = """\
import json, subprocess, sys
from pathlib import Path
disk, free, *command = sys.argv[1:]
disk = Path(disk)
filler = disk / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
    file.truncate(max(0, file.tell() - int(free)))
def run():
    done = subprocess.run(command, capture_output=True, text=True)
    return [done.returncode, done.stdout, done.stderr]
full = run()
filler.unlink()
print(json.dumps([full, run(), run()]))
"""


@cache
def why_not() -> str:
    """Why no file system can be mounted here, if none can."""
    try:
        done = subprocess.run(
            [*MOUNTED, MOUNT, "/mnt", "true"], capture_output=True, text=True, timeout=20
        )
    except OSError as error:
        return str(error)
    return done.stderr.strip()


def on_a_full_disk(project: Project, disk: Path, free: int, *arguments: str | Path) -> Any:
    """What a command gives on a disk with so many bytes free, with all of it, and once more."""
    if reason := why_not():
        pytest.skip(f"no file system can be mounted: {reason}")
    disk.mkdir()
    command = project.command(*arguments)
    inside = [sys.executable, "-c", CODE, str(disk), str(free), *command]
    done = subprocess.run(
        [*MOUNTED, MOUNT, str(disk), *inside],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("part", "free"),
    [
        ("--cache", 0),
        ("--cache", 90_112),  # the table of known files fills it
        ("--cache", 131_072),  # the stage cannot write its log
        ("--cache", 200_704),  # the engine does not fit
        ("--out", 90_112),
        *(
            pytest.param(part, free, marks=pytest.mark.slow)
            for part in ("--cache", "--out")
            for free in (4_096, 16_384, 40_960, 65_536, 110_592, 163_840)
        ),
    ],
)
def test_a_full_disk_fails_with_the_remedy_and_spoils_nothing(
    tmp_path: Path, part: str, free: int
) -> None:
    project = Project(tmp_path).tiny()
    disk = tmp_path / "disk"
    if part == "--cache":
        project.cache = disk / "cache"
        arguments: tuple[str | Path, ...] = ()
    else:
        arguments = ("--out", disk)
    full, then, again = on_a_full_disk(
        project, disk, free, "run", "tiny.yaml", "--json", *arguments
    )
    code, out, err = full
    assert code == 1, (out, err)
    failed = [t for t in json.loads(out)["recipes"][0]["tasks"] if t["verdict"] == "FAILED"]
    text = " ".join(task["error"] for task in failed)
    assert "No space left on device" in text
    assert re.search("free (some )?space", text)
    assert "Traceback" not in text + err
    code, out, err = then
    assert code == 0, out + err
    code, out, err = again
    assert {t["verdict"] for t in json.loads(out)["recipes"][0]["tasks"]} == {"UP_TO_DATE"}


def test_a_cache_can_be_looked_into_and_shrunk_on_a_full_disk(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    project.cache = tmp_path / "disk/cache"
    script = "; ".join(
        f"{' '.join(project.command('cache', *words.split()))} || exit 9"
        for words in ("stats", "verify", "gc --max-size 0", "ls")
    )
    run = " ".join(project.command("run", "tiny.yaml"))
    fill = f"(dd if=/dev/zero of={tmp_path}/disk/more bs=4096 || true) 2>/dev/null"
    if reason := why_not():
        pytest.skip(f"no file system can be mounted: {reason}")
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [*MOUNTED, MOUNT, tmp_path / "disk", "sh", "-c", f"{run} && {fill}; {script}"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every blob and every trace is whole" in done.stdout
