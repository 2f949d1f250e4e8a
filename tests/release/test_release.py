"""Releases: what is in a bundle, what is refused, and that the same release has the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.project import Project
from tests.release.bundles import ALLOW, release, write_key
from tests.release.conftest import commit, git
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.release.documents import schema_problem
from trtbuild.release.signing import PAYLOAD_TYPE
from trtbuild.store.digest import canonical_json
from trtbuild.store.store import Store


def test_a_bundle_holds_engines_with_all_that_proves_them(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, key = tmp_path / "out", write_key(tmp_path / "key.pem")
    code = release(
        locked, monkeypatch, "-o", str(out), "--onnx", "--key", str(key), allow="unverified"
    )
    assert code == ExitCode.DONE
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        "manifest.json",
        "SHA256SUMS",
        "provenance.json",
        "provenance.dsse.json",
        "sbom.cdx.json",
        "LICENCES.txt",
        "tiny/recipe.yaml",
        "tiny/recipe.lock",
        "tiny/golden/reference.json",
        "tiny/golden/reference.npz",
        "tiny/fp32/engine.plan",
        "tiny/fp32/build.json",
        "tiny/fp32/verify.json",
        "tiny/fp32/model.onnx",
    }
    built = locked.folder / "build/tiny"
    assert (out / "tiny/fp32/engine.plan").read_bytes() == (built / "fp32/engine.plan").read_bytes()
    assert (out / "tiny/fp32/model.onnx").read_bytes() == (
        built / "surgery/model.onnx"
    ).read_bytes()
    sums = subprocess.run(
        ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=out, capture_output=True
    )
    assert sums.returncode == 0, sums.stdout
    manifest = json.loads((out / "manifest.json").read_text())
    assert schema_problem("manifest", manifest) is None
    assert [item["name"] for item in manifest["allowed"]] == ["unverified"]
    assert manifest["recipes"][0]["commit"] == git(locked.folder, "rev-parse", "HEAD").strip()


def test_the_same_release_from_two_folders_has_the_same_bytes(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = locked.copy_to(tmp_path / "another" / "place")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000123")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "a.tar"), "--onnx") == ExitCode.DONE
    os.umask(0o077)
    try:
        assert release(other, monkeypatch, "-o", str(tmp_path / "b.tar"), "--onnx") == ExitCode.DONE
    finally:
        os.umask(0o022)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (1700000123, 0, 0, "", "", 0o644)
    }


def test_without_source_date_epoch_the_time_is_that_of_the_commit(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    release(locked, monkeypatch, "-o", str(tmp_path / "out"))
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["epoch"] == 1700000000
    assert manifest["created"] == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "other")) == ExitCode.INVALID


def test_the_provenance_is_a_statement_that_names_every_input_and_tool(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release(locked, monkeypatch, "-o", str(tmp_path / "out"))
    text = (tmp_path / "out/provenance.json").read_text()
    document = json.loads(text)
    assert schema_problem("provenance", document) is None
    found = {
        item["name"]: item.get("digest", {})
        for item in document["predicate"]["buildDefinition"]["resolvedDependencies"]
    }
    for file in ("tiny.onnx", "data.npz", "rewrite.py", "helper.py"):
        sha256 = hashlib.sha256((locked.folder / file).read_bytes()).hexdigest()
        assert found[f"tiny: {file}"] == {"sha256": sha256}
    for tool in ("onnx", "onnxruntime", "onnx-graphsurgeon", "tensorrt-rtx", "cpython", "trtbuild"):
        assert len(found[tool]["sha256"]) == 64, tool
    assert all(len(item["sha256"]) == 64 for name, item in found.items() if name != "repository")
    # What builds the engines is in none of the files of the package tensorrt-rtx itself.
    assert any(name.endswith("-libs") for name in found)
    assert found["repository"] == {"gitCommit": git(locked.folder, "rev-parse", "HEAD").strip()}
    subjects = {item["name"] for item in document["subject"]}
    assert subjects >= {"manifest.json", "sbom.cdx.json", "tiny/fp32/engine.plan"}
    for path in (str(tmp_path), str(Path.home())):
        assert path not in text


def test_in_toto_s_own_library_accepts_the_statement_and_its_predicate(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    release(locked, monkeypatch, "-o", str(tmp_path / "out"))
    document = json.loads((tmp_path / "out/provenance.json").read_text())
    subjects = [
        ResourceDescriptor(name=item["name"], digest=item["digest"]).pb
        for item in document["subject"]
    ]
    Statement(subjects, document["predicateType"], document["predicate"]).validate()
    predicate = json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    assert predicate.build_definition.build_type == "urn:trtbuild:release:1"
    for descriptor in predicate.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(descriptor).validate()


def test_the_bill_of_materials_is_accepted_by_cyclonedx_s_own_validator(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release(locked, monkeypatch, "-o", str(tmp_path / "out"))
    text = (tmp_path / "out/sbom.cdx.json").read_text()
    assert text.count("urn:uuid:") == 1
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = json.loads(text)["components"]
    assert not any(item["bom-ref"].startswith("BomRef.") for item in components)  # random ones
    names = {item["name"] for item in components}
    assert {"tiny/fp32/engine.plan", "onnx", "tensorrt-rtx", "trtbuild"} <= names
    licences = {item["name"]: item.get("licenses") for item in components}
    assert licences["tiny/fp32/engine.plan"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert licences["onnx"] == [{"license": {"id": "Apache-2.0"}}]


def test_the_signature_is_over_dsse_s_pre_authentication_encoding(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import base64

    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    path = write_key(tmp_path / "key.pem", key)
    release(locked, monkeypatch, "-o", str(tmp_path / "out"), "--key", str(path))
    payload = (tmp_path / "out/provenance.json").read_bytes()
    envelope = json.loads((tmp_path / "out/provenance.dsse.json").read_text())
    assert base64.b64decode(envelope["payload"]) == payload
    assert envelope["payloadType"] == PAYLOAD_TYPE
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    key.public_key().verify(signature, signed)  # raises if it is wrong


@pytest.mark.parametrize("name", ["unsigned", "unverified"])
def test_what_is_not_allowed_by_name_is_refused_and_nothing_is_written(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    others = ",".join({"unsigned", "unverified"} - {name})
    code = release(locked, monkeypatch, "-o", str(tmp_path / "out"), allow=others)
    assert code == ExitCode.FAILED
    error = capsys.readouterr().err
    assert f"\n  {name}: " in error
    assert f"--allow {name}" in error
    assert not (tmp_path / "out").exists()


def test_a_dirty_repository_or_none_is_refused_unless_it_is_written_down(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    locked.write("note.txt", "not committed")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.FAILED
    assert "dirty: not committed: note.txt" in capsys.readouterr().err
    out = ["-o", str(tmp_path / "out")]
    assert release(locked, monkeypatch, *out, allow=f"{ALLOW},dirty") == ExitCode.DONE
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {"name": "dirty", "what": "not committed: note.txt"} in manifest["allowed"]
    shutil.rmtree(locked.folder / ".git")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "other")) == ExitCode.FAILED
    assert "is in no git repository" in capsys.readouterr().err


def test_random_data_is_refused_unless_it_is_written_down(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    locked.replace("tiny.yaml", "dataset: {npz: data.npz}", "dataset: {random: {seed: 1}}")
    monkeypatch.chdir(locked.folder)
    assert main(["lock", "tiny.yaml", "--cache", str(locked.cache)]) == ExitCode.DONE
    commit(locked)
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.FAILED
    allow = f"{ALLOW},random"
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out"), allow=allow) == ExitCode.DONE
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert "random" in {item["name"] for item in manifest["allowed"]}


def test_what_is_not_as_locked_is_not_released(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    locked.replace("tiny.yaml", "opt: [2, 4]", "opt: [4, 4]")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.DIFFERENT
    (locked.folder / "tiny.lock").unlink()
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.INVALID
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("required", ["benchmark", "R1", "R1,R5"])
def test_a_release_fails_without_what_it_requires(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    required: str,
) -> None:
    out = ["-o", str(tmp_path / "out")]
    assert release(locked, monkeypatch, *out, "--require", required) == ExitCode.FAILED
    error = capsys.readouterr().err
    for name in required.split(","):
        assert name in error or "was not benchmarked" in error
    also = ("--require", required, "--require", "R0")  # which takes nothing back
    assert release(locked, monkeypatch, *out, *also) == ExitCode.FAILED
    assert release(locked, monkeypatch, *out, "--require", "R0") == ExitCode.DONE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.tar.gz"], "a folder or a .tar"),
        (["-o", "."], "exists already"),
        (["-o", "x", "--key", "missing.pem"], "missing.pem: cannot be read"),
        (["-o", "x", "--key", "tiny.yaml"], "tiny.yaml: this is no key"),
    ],
)
def test_what_a_release_cannot_use_is_named(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert release(locked, monkeypatch, *arguments) == ExitCode.INVALID
    assert message in capsys.readouterr().err


def test_keys_of_another_type_or_under_a_password_are_named(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = {
        "RSA": write_key(tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048)),
        "EC": write_key(tmp_path / "ec.pem", ec.generate_private_key(ec.SECP256R1())),
        "password": write_key(tmp_path / "locked.pem", password=b"secret"),
        "public key": write_key(tmp_path / "good.pem").with_suffix(".pub"),
    }
    for word, path in keys.items():
        out = ["-o", str(tmp_path / "out"), "--key", str(path)]
        assert release(locked, monkeypatch, *out) == ExitCode.INVALID
        assert word in capsys.readouterr().err


@pytest.mark.parametrize("target", ["out", "out.tar"])
def test_a_disk_that_is_full_leaves_nothing_behind(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
) -> None:
    import resource

    folder = tmp_path / "full"
    folder.mkdir()
    # The engine has some 150 kB: a limit on file sizes ends the writing in its midst.
    size = (locked.folder / "build/tiny/fp32/engine.plan").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1000, before[1]))
    try:
        code = release(locked, monkeypatch, "-o", str(folder / target))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert code == ExitCode.FAILED
    assert "cannot write" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def as_a_gpu_verified_it(project: Project) -> None:
    """Put a verification into the cache, and into the lock, as a machine with a GPU does."""
    path = project.folder / "tiny.lock"
    lock = yaml.safe_load(path.read_text())
    block = lock["tasks"]["verify:fp32"]
    store = Store(project.cache)
    trace = store.actions.lookup(block["action"])
    assert trace is not None
    result = json.loads((project.folder / "build/tiny/fp32/verify.json").read_text())
    made = project.root / "verify.json"
    made.write_text(json.dumps({**result, "engine": "compared"}))
    gpu = {"gpu": "NVIDIA L4", "gpu.compute_capability": "8.9", "gpu.driver": "580.1"}
    document = {
        **trace.action,
        "options": {**trace.action["options"], "gpu": True},
        "toolchain": {**trace.action["toolchain"], **gpu, "tensorrt-rtx": version("tensorrt-rtx")},
    }
    key = hashlib.sha256(canonical_json(document)).hexdigest()
    outputs = (("verify.json", store.cas.adopt(made)),)
    store.record(key, replace(trace, action=document, outputs=outputs))
    store.close()
    block.update(action=key, options=document["options"], toolchain=document["toolchain"])
    block["engine"] = "compared"
    path.write_text(yaml.safe_dump(lock))
    commit(project)


def test_a_machine_without_a_gpu_releases_what_one_with_a_gpu_has_verified(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_a_gpu_verified_it(locked)
    for build in (False, True):  # with the outputs of this machine in its folder, and without
        if not build:
            shutil.rmtree(locked.folder / "build")
        out = tmp_path / f"out{build}"
        code = release(locked, monkeypatch, "-o", str(out), "--only-cached", allow="unsigned")
        assert code == ExitCode.DONE
        (recipe,) = json.loads((out / "manifest.json").read_text())["recipes"]
        assert recipe["variants"][0]["verification"]["engine"] == "compared"
        again = release(locked, monkeypatch, "-o", str(tmp_path / "no"), allow="unsigned")
        assert again == ExitCode.FAILED  # what this machine verifies is no engine


def test_only_cached_releases_nothing_that_would_have_to_be_made(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(locked.cache)
    code = release(locked, monkeypatch, "-o", str(tmp_path / "out"), "--only-cached")
    assert code == ExitCode.FAILED
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "variants",
    [
        [],
        {"fp32": []},
        {"fp32": {"engine": "ENGINE"}},
        {"fp32": {"engine": "ENGINE", "level": "R1", "levels": []}},
        {"fp32": {"engine": "ENGINE", "level": "R1", "levels": {"R1": {}}}},
        {"fp32": {"engine": "ENGINE", "level": "R1", "levels": {}}},
    ],
)
def test_a_file_that_tells_no_levels_is_no_measurement(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    variants: object,
) -> None:
    engine = (locked.folder / "build/tiny/fp32/engine.plan").read_bytes()
    text = json.dumps({"format": 1, "recipe": "tiny", "variants": variants})
    text = text.replace("ENGINE", hashlib.sha256(engine).hexdigest())
    locked.write("build/tiny/rebuild.json", text)
    code = release(locked, monkeypatch, "-o", str(tmp_path / "out"), "--require", "R1")
    assert code == ExitCode.FAILED
    assert "R1 was not measured for this engine" in capsys.readouterr().err
