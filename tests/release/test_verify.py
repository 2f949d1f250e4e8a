"""What checking a bundle says, and that nothing of one is run before it is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.release.bundles import (
    KEY,
    OTHER,
    append,
    consistent,
    places,
    write_key,
)
from trtbuild.cli import main
from trtbuild.errors import ExitCode, ReleaseError, UsageError
from trtbuild.release.rerun import rerun
from trtbuild.release.signing import read_public_key
from trtbuild.release.verify import verify_release


def test_a_good_bundle_has_no_findings(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in ("folder", "bundle.tar", "unsigned"):
        assert places(made / target, KEY if target != "unsigned" else None) == set()
    key = str(made / "key.pub")
    assert main(["verify-release", str(made / "bundle.tar"), "--key", key]) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "14 files are as the manifest and the provenance say" in out
    assert "signed by the key" in out
    assert "released although unverified" in out


def test_a_good_signature_by_another_key_is_told_apart(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    consistent(bundle, OTHER)
    assert places(bundle, None) == set()  # without a key nobody can know
    key = write_key(tmp_path / "key.pem", KEY).with_suffix(".pub")
    assert main(["verify-release", str(bundle), "--key", str(key)]) == ExitCode.FAILED
    assert "provenance.dsse.json: signed by the key" in capsys.readouterr().out


def test_who_checks_with_the_private_key_is_warned(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = write_key(tmp_path / "key.pem", KEY)
    for path, warned in ((key, True), (key.with_suffix(".pub"), False)):
        code = main(["verify-release", str(bundle), "--key", str(path), "--json"])
        told = capsys.readouterr()
        assert json.loads(told.out)["exit_code"] == code == ExitCode.DONE
        assert ("key.pem is the private key" in told.err) is warned


def test_a_key_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    path = write_key(tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    with pytest.raises(UsageError, match="of type RSA"):
        read_public_key(path.with_suffix(".pub"))


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
