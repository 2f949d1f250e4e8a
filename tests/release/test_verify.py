"""Checking bundles: whatever is changed in one is found, and named."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.release.test_release import write_key
from trtbuild.cli import main
from trtbuild.errors import ExitCode, ReleaseError, UsageError
from trtbuild.release.rerun import rerun
from trtbuild.release.signing import read_public_key, sign
from trtbuild.release.verify import verify_release

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(b"o" * 32)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """The signed bundle as a folder that a test may change."""
    return Path(shutil.copytree(made / "folder", tmp_path / "bundle"))


def places(path: Path, key: ed25519.Ed25519PrivateKey | None = KEY) -> set[str]:
    """Where the findings of a check are; {"refused"} where it goes no further."""
    try:
        found = verify_release(path, key.public_key() if key else None).findings
    except ReleaseError:
        return {"refused"}
    return {finding.where for finding in found}


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a bundle by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)}


def files_of(folder: Path) -> list[Path]:
    """The files of a bundle, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_good_bundle_has_no_findings(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in ("folder", "bundle.tar", "unsigned"):
        assert places(made / target, KEY if target != "unsigned" else None) == set()
    key = str(made / "key.pub")
    assert main(["verify-release", str(made / "bundle.tar"), "--key", key]) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "14 files are as the manifest and the provenance say" in out
    assert "signed by the key" in out
    assert "released although unverified" in out


def test_every_one_of_300_changed_bytes_is_found_in_its_file(made: Path, bundle: Path) -> None:
    rng = random.Random(7)  # noqa: S311 - to choose, not to protect
    files = files_of(bundle)
    for number in range(300):
        path = files[number % len(files)] if number < 5 * len(files) else rng.choice(files)
        data = bytearray(path.read_bytes())
        position = rng.randrange(len(data))
        data[position] ^= 1 << rng.randrange(8)
        original = path.read_bytes()
        path.write_bytes(data)
        found = places(bundle, None)  # no key is needed to find an accident
        path.write_bytes(original)
        name = str(path.relative_to(bundle))
        hit = any(where == name or where.startswith(f"{name}:") for where in found)
        # A line of SHA256SUMS that was changed shows at the file that it names.
        assert hit or (name == "SHA256SUMS" and found), (name, position, found)
    assert places(bundle, None) == set()


def test_every_one_of_300_changed_bytes_of_an_archive_is_found(made: Path, tmp_path: Path) -> None:
    rng = random.Random(8)  # noqa: S311
    data = (made / "bundle.tar").read_bytes()
    path = tmp_path / "bundle.tar"
    with tarfile.open(made / "bundle.tar") as archive:
        headers = [member.offset for member in archive.getmembers()]
    for number in range(300):
        position = (
            rng.choice(headers) + rng.randrange(512) if number % 2 else rng.randrange(len(data))
        )
        changed = bytearray(data)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        assert places(path, None), position
    for length in (0, 1, 511, 512, len(data) // 2, len(data) - 1, len(data) - 512):
        path.write_bytes(data[:length])
        assert places(path, None), length
    path.write_bytes(data + b"\0")
    assert places(path, None)


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON document in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def consistent(bundle: Path, signer: ed25519.Ed25519PrivateKey | None = None) -> None:
    """What a forger does after a change: recompute manifest, provenance, sums and signature."""

    def sha256(name: str) -> str:
        return hashlib.sha256((bundle / name).read_bytes()).hexdigest()

    proofs = {"manifest.json", "provenance.json", "provenance.dsse.json", "SHA256SUMS"}
    names = [str(path.relative_to(bundle)) for path in files_of(bundle)]

    def manifest(document: Any) -> None:
        roles = {item["path"]: item["role"] for item in document["files"]}
        document["files"] = [
            {
                "path": name,
                "role": roles.get(name, "other"),
                "sha256": sha256(name),
                "size_bytes": (bundle / name).stat().st_size,
            }
            for name in names
            if name not in proofs
        ]

    rewrite(bundle / "manifest.json", manifest)
    outside = {"provenance.json", "provenance.dsse.json", "SHA256SUMS"}
    subjects = [{"name": n, "digest": {"sha256": sha256(n)}} for n in names if n not in outside]
    rewrite(bundle / "provenance.json", lambda document: document.update(subject=subjects))
    if signer is not None:
        envelope = sign((bundle / "provenance.json").read_bytes(), signer)
        (bundle / "provenance.dsse.json").write_bytes(envelope)
    sums(bundle)


def sums(bundle: Path) -> None:
    """Recompute SHA256SUMS."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(bundle)}\n"
        for path in files_of(bundle)
        if path.name != "SHA256SUMS"
    ]
    (bundle / "SHA256SUMS").write_text("".join(sorted(lines, key=lambda line: line[66:])))


def structural() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """50 changes that keep every file well formed."""
    files = (
        "tiny/fp32/engine.plan",
        "tiny/fp32/build.json",
        "tiny/fp32/verify.json",
        "tiny/fp32/model.onnx",
        "tiny/golden/reference.npz",
        "tiny/golden/reference.json",
        "tiny/recipe.yaml",
        "tiny/recipe.lock",
        "sbom.cdx.json",
        "LICENCES.txt",
    )
    for name in files:
        yield f"remove {name}", lambda b, n=name: (b / n).unlink()
        yield f"empty {name}", lambda b, n=name: (b / n).write_bytes(b"")
        yield (
            f"append to {name} with recomputed sums",
            lambda b, n=name: ((b / n).write_bytes((b / n).read_bytes() + b"\n"), sums(b)),
        )
    for name in ("manifest.json", "provenance.json", "provenance.dsse.json", "SHA256SUMS"):
        yield f"remove {name}", lambda b, n=name: (b / n).unlink()
    for first, second in (
        ("tiny/fp32/engine.plan", "tiny/fp32/model.onnx"),
        ("tiny/fp32/build.json", "tiny/fp32/verify.json"),
        ("manifest.json", "provenance.json"),
    ):
        yield f"swap {first} and {second}", lambda b, x=first, y=second: swap(b / x, b / y)
        yield (
            f"swap {first} and {second} with recomputed sums",
            lambda b, x=first, y=second: (swap(b / x, b / y), sums(b)),
        )
    yield "add a file", lambda b: (b / "tiny/extra.bin").write_bytes(b"x")
    yield "add a file with recomputed sums", lambda b: ((b / "extra").write_text("x"), sums(b))
    for what, change in (
        ("version", lambda d: d["recipes"][0]["variants"][0].update(version="1.0.0.0")),
        ("name", lambda d: d["recipes"][0].update(name="other")),
        (
            "tolerance",
            lambda d: d["recipes"][0]["variants"][0]["verification"]["tolerance"].clear(),
        ),
        ("allowed", lambda d: d["allowed"].clear()),
        ("format", lambda d: d.update(format=2)),
        ("a key more", lambda d: d.update(extra=1)),
    ):
        yield (
            f"manifest: {what}, all recomputed",
            lambda b, c=change: (rewrite(b / "manifest.json", c), consistent(b)),
        )
    yield "all recomputed and signed by another key", lambda b: consistent(b, OTHER)
    yield (
        "another engine, all recomputed and signed by another key",
        lambda b: (append(b / "tiny/fp32/engine.plan"), consistent(b, OTHER)),
    )


def swap(first: Path, second: Path) -> None:
    """Exchange two files' bytes."""
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)


def append(path: Path) -> None:
    """Add a byte."""
    path.write_bytes(path.read_bytes() + b"\0")


CHANGES = list(structural())


def test_there_are_50_structural_changes() -> None:
    assert len(CHANGES) == 50


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[n for n, _ in CHANGES])
def test_a_structural_change_is_found_where_it_is(
    made: Path, bundle: Path, change: Callable[[Path], object]
) -> None:
    change(bundle)
    before, after = contents(made / "folder"), contents(bundle)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed
    # Where all is consistent again, only the signature can tell.
    assert places(bundle) & (changed | {"provenance.dsse.json"})


def test_an_unsigned_bundle_whose_engine_was_changed_contradicts_its_lock(
    made: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(made / "unsigned", tmp_path / "bundle"))
    append(bundle / "tiny/fp32/engine.plan")
    consistent(bundle)
    engine = hashlib.sha256((bundle / "tiny/fp32/engine.plan").read_bytes()).hexdigest()

    def other_engine(document: Any) -> None:
        document["recipes"][0]["variants"][0]["engine"]["sha256"] = engine

    rewrite(bundle / "manifest.json", other_engine)
    consistent(bundle)
    assert places(bundle, None) == {"tiny/fp32/engine.plan"}


def test_a_good_signature_by_another_key_is_told_apart(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    consistent(bundle, OTHER)
    assert places(bundle, None) == set()  # without a key nobody can know
    key = write_key(tmp_path / "key.pem", KEY).with_suffix(".pub")
    assert main(["verify-release", str(bundle), "--key", str(key)]) == ExitCode.FAILED
    assert "provenance.dsse.json: signed by the key" in capsys.readouterr().out


def test_a_key_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    path = write_key(tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    with pytest.raises(UsageError, match="of type RSA"):
        read_public_key(path.with_suffix(".pub"))


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


SEEDS = range(150)


def mutate(value: Any, rng: random.Random) -> Any:
    """The document with one thing in it another: gone, of another type, or doubled."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        made: Any = dict(value) if isinstance(value, dict) else list(value)
        place = rng.choice(list(made) if isinstance(made, dict) else range(len(made)))
        choice = rng.random()
        if choice < 0.15:
            del made[place]
        elif choice < 0.25 and isinstance(made, list):
            made.append(made[place])
        else:
            made[place] = mutate(made[place], rng)
        return made
    others = (None, True, -1, 2**70, 1e308, "", "../../etc/passwd", "a\0b", [], {}, [[[]]], {"": 0})
    return rng.choice([other for other in others if other != value])


@pytest.mark.parametrize("name", ["manifest.json", "provenance.json"])
def test_a_document_that_was_made_up_is_found_and_never_a_crash(bundle: Path, name: str) -> None:
    good = json.loads((bundle / name).read_text())
    for seed in SEEDS:
        changed = mutate(good, random.Random(seed))  # noqa: S311 - to choose, not to protect
        if changed == good:
            continue
        (bundle / name).write_text(json.dumps(changed, indent=1, sort_keys=True) + "\n")
        sums(bundle)
        assert {name, "provenance.dsse.json"} & {p.partition(" ")[0] for p in places(bundle)}, seed


def test_what_is_no_bundle_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("empty.tar", b""), ("text.tar", b"hello" * 1000)):
        (tmp_path / name).write_bytes(content)
        assert main(["verify-release", str(tmp_path / name)]) == ExitCode.FAILED
        assert name in capsys.readouterr().err
    assert main(["verify-release", str(tmp_path / "missing")]) == ExitCode.INVALID
    (tmp_path / "folder").mkdir()
    assert main(["verify-release", str(tmp_path / "folder"), "--json"]) == ExitCode.FAILED
    document = json.loads(capsys.readouterr().out)
    assert {"where": "manifest.json", "what": "is missing"} in document["findings"]


def test_documents_that_are_nonsense_are_findings_and_no_crash(bundle: Path) -> None:
    nonsense = (b"", b"[]", b"{}", b"null", b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 100_000)
    for name in ("manifest.json", "provenance.json", "provenance.dsse.json", "SHA256SUMS"):
        good = (bundle / name).read_bytes()
        for content in nonsense:
            (bundle / name).write_bytes(content)
            assert name in {place.partition(":")[0] for place in places(bundle)}
        (bundle / name).write_bytes(good)


def test_nothing_of_a_bundle_is_run_before_its_digests_are_right(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(bundle / "tiny/fp32/engine.plan")
    assert main(["verify-release", str(bundle), "--rerun", "--json"]) == ExitCode.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["findings"]
    assert document["runs"] == []


def test_an_engine_that_changes_after_the_check_is_not_run(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtbuild.release.rerun.run_engine_on", lambda *_: pytest.fail("it ran"))
    verified = verify_release(bundle, KEY.public_key())
    assert verified.findings == ()
    append(bundle / "tiny/fp32/engine.plan")
    with pytest.raises(ReleaseError, match="changed while it was checked"):
        rerun(bundle, verified)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine can run engines")
def test_a_rerun_without_a_gpu_is_no_success(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify-release", str(bundle), "--rerun", "--json"]) == ExitCode.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["findings"] == []
    assert [run["name"] for run in document["runs"]] == ["tiny fp32"]
    assert document["runs"][0]["problems"]
