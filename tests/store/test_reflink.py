"""On a file system that can share extents, restoring takes neither space nor time."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trtbuild.store.store import Store

SIZE = 60 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small btrfs of its own."""
    mkfs = shutil.which("mkfs.btrfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if mkfs is None or os.geteuid() != 0:
        pytest.skip("mounting a btrfs takes root and mkfs.btrfs (Debian: btrfs-progs)")
    image, place = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run([mkfs, "-q", image], check=True, capture_output=True)
    place.mkdir()
    mounted = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def used(disk: Path) -> int:
    subprocess.run(["sync", "-f", disk], check=True)
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_copies_share_their_bytes_until_one_is_changed(disk: Path) -> None:
    store = Store(disk / "cache")
    data = os.urandom(SIZE)
    (disk / "made").write_bytes(data)
    digest = store.cas.adopt(disk / "made")
    before = used(disk)
    for number in range(20):  # a gigabyte and more, on a quarter of one
        assert store.cas.materialise(digest, disk / f"out{number}" / "engine.plan")
    assert used(disk) - before < SIZE // 4
    first = disk / "out0/engine.plan"
    assert first.read_bytes() == data
    with first.open("r+b") as file:
        file.write(b"changed by its owner")
    assert store.cas.verified(digest)
    assert (disk / "out1/engine.plan").read_bytes() == data
    store.close()


def test_a_hard_link_takes_no_space_anywhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    (tmp_path / "made").write_bytes(b"engine")
    digest = store.cas.adopt(tmp_path / "made")
    out = tmp_path / "out/engine.plan"
    assert store.cas.materialise(digest, out, link=True)
    assert out.samefile(store.cas.path(digest))
    assert not out.stat().st_mode & 0o222, "nobody can write to the cache's bytes by it"
    assert store.cas.materialise(digest, out), "and back to a copy of one's own"
    assert not out.samefile(store.cas.path(digest))
    store.close()
