"""Archives and folders that were made to harm who checks them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.release.bundles import (
    places,
)
from trtbuild.cli import main
from trtbuild.errors import ExitCode, ReleaseError
from trtbuild.release.verify import verify_release

HOSTILE = [
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "./manifest.json",
    "a//b",
    "a\\b",
    "a\nb",
    ".hidden",
    "a/.hidden",
    "C:evil",
    "\u202egnp.exe",
    "é",
    "-rf",
    "x" * 300,
    "MANIFEST.json",  # the same name where case does not count
    "manifest.json/x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_archive_with_a_hostile_name_is_refused(made: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bundle.tar"
    shutil.copy(made / "bundle.tar", path)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ReleaseError):
        verify_release(path, None)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_an_archive_with_something_else_than_files_is_refused(
    made: Path, tmp_path: Path, kind: bytes
) -> None:
    path = tmp_path / "bundle.tar"
    shutil.copy(made / "bundle.tar", path)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ReleaseError, match="no regular file"):
        verify_release(path, None)


def test_a_member_that_is_twice_in_an_archive_is_refused(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar"
    shutil.copy(made / "bundle.tar", path)
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("manifest.json")
        archive.addfile(info)
    with pytest.raises(ReleaseError, match="twice"):
        verify_release(path, None)


def link_to_file(path: Path) -> None:
    """In the place of a file a link to the same bytes elsewhere."""
    path.rename(path.parents[3] / "elsewhere")
    path.symlink_to(path.parents[3] / "elsewhere")


def link_to_folder(path: Path) -> None:
    """In the place of a folder a link to it."""
    path.parent.rename(path.parents[3] / "folder")
    path.parent.symlink_to(path.parents[3] / "folder")


def socket_beside(path: Path) -> None:
    """A socket, whose path must be short: it is made in place."""
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind("s")


@pytest.mark.parametrize(
    "change",
    [
        link_to_file,
        link_to_folder,
        socket_beside,
        lambda path: os.mkfifo(path.with_name("pipe")),
        lambda path: path.with_name("dangling").symlink_to("nowhere"),
        lambda path: path.with_name("..hidden").write_text("x"),
        lambda path: path.with_name("a b").write_text("x"),
    ],
    ids=["file link", "folder link", "socket", "pipe", "dangling link", "hidden", "space"],
)
def test_a_folder_with_something_else_than_plain_files_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object]
) -> None:
    change(bundle / "tiny/fp32/engine.plan")
    assert places(bundle) == {"refused"}
    assert main(["verify-release", str(bundle)]) == ExitCode.FAILED
    assert "bug" not in capsys.readouterr().err


def member(name: str, **changes: Any) -> bytes:
    """The header of a tar member, and a block for it, as a hostile writer makes them."""
    info = tarfile.TarInfo(name)
    info.size = 1
    for key, value in changes.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT) + b"x".ljust(512, b"\0")


def with_checksum(header: bytes) -> bytes:
    """A header whose checksum is right again."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank[:512]) + blank[156:]


END = b"\0" * 1024
RAW = {
    "a path in a pax header": member("ok", pax_headers={"path": "../../outside"}),
    "a size in a pax header": member("ok", pax_headers={"size": "99999999999"}),
    "a size below zero": with_checksum(
        member("ok")[:124] + b"\xff" * 12 + member("ok")[136:512] + b"\0" * 512
    ),
    "a size of 8 EB": with_checksum(
        member("ok")[:124] + b"\x80" + b"\0" * 3 + b"\x7f" * 8 + member("ok")[136:512]
    ),
    "a sparse file": member("ok", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "a folder": member("folder", type=tarfile.DIRTYPE, size=0),
    "a block device": member("disk", type=tarfile.BLKTYPE, devmajor=8, size=0),
    "a hard link": member("link", type=tarfile.LNKTYPE, linkname="manifest.json", size=0),
    "a hard link to outside": member("link", type=tarfile.LNKTYPE, linkname="/etc/passwd", size=0),
    "a link out": member("link", type=tarfile.SYMTYPE, linkname="../../outside", size=0),
    "an unknown type": with_checksum(member("ok")[:156] + b"Z" + member("ok")[157:]),
    "a long name": member("x/" * 5000 + "y"),
}


@pytest.mark.parametrize("what", RAW)
def test_a_hostile_archive_is_refused_and_never_a_crash(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    good = (made / "bundle.tar").read_bytes()
    with tarfile.open(made / "bundle.tar") as archive:
        archive.getmembers()
        end = archive.offset
    path = tmp_path / "bundle.tar"
    for content in (RAW[what] + good, good[:end] + RAW[what] + END):
        path.write_bytes(content)
        assert main(["verify-release", str(path)]) == ExitCode.FAILED
        told = capsys.readouterr()
        assert "bug" not in told.err
        assert told.out or told.err
    assert not (tmp_path.parent / "outside").exists()
