"""The GPU lease with real processes; locks need no GPU."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from trtbuild.cuda.lease import (
    _FOLDERS,
    FOLDER_VARIABLE,
    acquire,
    holder,
    lease_file,
    lease_folder,
    try_acquire,
)
from trtbuild.cuda.probe import DeviceFacts
from trtbuild.errors import StageError, UsageError

FIRST = DeviceFacts(
    ordinal=0,
    name="NVIDIA Test",
    compute_capability="9.0",
    memory=1 << 30,
    uuid="GPU-00000000-0000-0000-0000-000000000001",
    pci_bus="0000:01:00.0",
    multiprocessors=1,
    l2_cache=0,
    persisting_l2=0,
    integrated=False,
    driver="",
    cuda="13.0",
)
SECOND = replace(FIRST, ordinal=1, uuid="GPU-00000000-0000-0000-0000-000000000002")

HOLD = """
import sys, time
from pathlib import Path
from tests.cuda.test_lease import FIRST
from trtbuild.cuda.lease import acquire
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
with acquire([FIRST], lambda text: None, folder=folder):
    with log.open("a") as file:
        print("in", file=file, flush=True)
        time.sleep(float(sys.argv[3]))
        print("out", file=file, flush=True)
"""


def hold(folder: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(log), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not log.exists() or text not in log.read_text():
        assert time.monotonic() < deadline, "the other process did not start"
        time.sleep(0.01)


def ignore(_text: str) -> None:
    """For leases that are not waited for."""


def test_two_processes_hold_one_gpu_one_after_the_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [hold(tmp_path, log, 0.3) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]
    assert log.read_text().split() == ["in", "out", "in", "out"]


def test_who_waits_is_told_who_holds_it_and_since_when(tmp_path: Path) -> None:
    log, said = tmp_path / "log", list[str]()
    process = hold(tmp_path, log, 1)
    wait_for(log, "in")
    acquire([FIRST], said.append, folder=tmp_path).release()
    process.wait(30)
    assert len(said) == 1
    assert f"waiting for GPU 0 (NVIDIA Test), held by pid {process.pid} (user " in said[0]
    assert ", since 2" in said[0]
    assert "-c" in said[0]  # the command


def test_a_killed_holder_frees_the_lease_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = hold(tmp_path, log, 60)
    wait_for(log, "in")
    assert try_acquire(FIRST, tmp_path) is None
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    lease = try_acquire(FIRST, tmp_path)
    assert lease is not None
    lease.release()


def test_several_gpus_are_used_side_by_side(tmp_path: Path) -> None:
    both = [FIRST, SECOND]
    with (
        acquire(both, ignore, folder=tmp_path) as first,
        acquire(both, ignore, folder=tmp_path) as second,
    ):
        assert (first.device, second.device) == (FIRST, SECOND)
        assert try_acquire(FIRST, tmp_path) is None
        assert try_acquire(SECOND, tmp_path) is None


def test_two_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with acquire([FIRST], ignore, folder=tmp_path):
        assert try_acquire(FIRST, tmp_path) is None


def test_waiting_ends_after_the_timeout_with_the_holder_in_the_message(tmp_path: Path) -> None:
    with (
        acquire([FIRST], ignore, folder=tmp_path),
        pytest.raises(StageError, match=rf"within 0.2 s: GPU 0 .*held by pid {os.getpid()} "),
    ):
        acquire([FIRST], ignore, timeout=0.2, folder=tmp_path)


def test_the_holder_is_wiped_when_the_lease_is_given_back(tmp_path: Path) -> None:
    lease = acquire([FIRST], ignore, folder=tmp_path)
    found = holder(FIRST, tmp_path)
    assert found is not None
    assert found.pid == os.getpid()
    lease.release()
    lease.release()
    assert holder(FIRST, tmp_path) is None


def test_a_child_that_is_given_the_descriptor_keeps_the_lease(tmp_path: Path) -> None:
    lease = acquire([FIRST], ignore, folder=tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lease.fileno(),)
    )
    lease.release()
    assert try_acquire(FIRST, tmp_path) is None
    child.communicate(b"\n", timeout=30)
    again = try_acquire(FIRST, tmp_path)
    assert again is not None
    again.release()


def test_every_user_can_open_the_lock_file_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        acquire([FIRST], ignore, folder=tmp_path).release()
    finally:
        os.umask(before)
    assert stat.S_IMODE(lease_file(FIRST, tmp_path).stat().st_mode) == 0o666


def test_a_link_in_place_of_the_lock_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep me")
    lease_file(FIRST, tmp_path).symlink_to(target)
    with pytest.raises(UsageError, match=r"lock file .* cannot be opened") as caught:
        try_acquire(FIRST, tmp_path)
    assert FOLDER_VARIABLE in caught.value.hint
    assert target.read_text() == "keep me"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_of_a_file_that_a_cleaner_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    path = lease_file(FIRST, tmp_path)
    flock, cleaned = fcntl.flock, list[int]()

    def cleaned_before(descriptor: int, operation: int) -> None:
        if not cleaned:
            cleaned.append(descriptor)
            path.unlink()
            if replaced:
                path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", cleaned_before)
    lease = try_acquire(FIRST, tmp_path)
    assert lease is not None
    assert os.path.samestat(os.fstat(lease.fileno()), path.stat())
    assert try_acquire(FIRST, tmp_path) is None
    lease.release()


def test_a_folder_that_is_cleaned_at_logout_is_the_last_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o755)
    monkeypatch.setattr("trtbuild.cuda.lease._FOLDERS", (str(shut), *_FOLDERS[1:]))
    assert lease_folder() == Path("/tmp")  # noqa: S108 - not written to


def test_a_damaged_note_in_the_lock_file_is_no_obstacle(tmp_path: Path) -> None:
    lease_file(FIRST, tmp_path).write_text('{"pid": 1')
    assert holder(FIRST, tmp_path) is None
    lease = try_acquire(FIRST, tmp_path)
    assert lease is not None
    lease.release()


def test_the_folder_is_one_that_every_user_can_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert lease_folder().stat().st_mode & stat.S_IWOTH


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert lease_folder() == tmp_path
