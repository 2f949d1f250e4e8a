"""One cache for many machines: `--remote`, `--only-cached`, push and pull, in the pipeline."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from tests.store.servers import SECRET, http_server, s3_server, ssh_server

TASKS = ("export", "surgery", "reference", "build:fp32", "verify:fp32")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was run with a remote cache, the folder `shared` beside it."""
    project = Project(tmp_path_factory.mktemp("first")).tiny()
    remote = ("--remote", project.root / "shared")
    result = project.trtbuild("run", "tiny.yaml", "--json", *remote, TRTBUILD_REMOTE_WAIT="60s")
    assert result.code == 0, result.err
    assert result.err == ""
    return project


def other_machine(machine: Project, root: Path) -> Project:
    """The same checkout with another cache and no outputs."""
    shutil.copytree(machine.folder, root / "project", ignore=shutil.ignore_patterns("build"))
    return Project(root)


def engine(project: Project) -> bytes:
    return (project.folder / "build/tiny/fp32/engine.plan").read_bytes()


def test_another_machine_restores_without_running_anything(
    machine: Project, tmp_path: Path
) -> None:
    other = other_machine(machine, tmp_path)
    other.write("trtbuild.toml", f'remote = "{machine.root}/shared"\n')
    predicted = other.trtbuild("plan", "tiny.yaml", "--json")
    assert set(predicted.verdicts().values()) == {"RESTORED"}
    result = other.run("--only-cached")
    assert result.verdicts() == dict.fromkeys(TASKS, "RESTORED")
    assert (result.code, result.err) == (0, "")
    assert engine(other) == engine(machine)
    assert other.run().verdicts() == dict.fromkeys(TASKS, "UP_TO_DATE")


def test_only_cached_fails_with_the_list_of_what_is_lacking(
    machine: Project, tmp_path: Path
) -> None:
    other = other_machine(machine, tmp_path)
    other.replace("tiny.yaml", "optimization_level: 0", "optimization_level: 1")
    remote = str(machine.root / "shared")
    result = other.run("--only-cached", "--remote", remote)
    assert result.code == 1
    verdicts = result.verdicts()
    assert verdicts["surgery"] == "RESTORED"
    assert verdicts["build:fp32"] == "FAILED"
    assert verdicts["verify:fp32"] == "SKIPPED"
    assert "not in the cache" in result.task("build:fp32")["error"]
    why = other.trtbuild("cache", "why", "tiny.yaml", "--cache", machine.cache)
    assert why.code == 0
    assert "build:fp32" in why.out
    assert "options.optimization_level: 0 -> 1" in why.out


def test_what_cannot_be_pulled_from_is_said(machine: Project, tmp_path: Path) -> None:
    none = machine.trtbuild("cache", "pull", "--remote", tmp_path / "typo")
    assert (none.code, none.out) == (2, "")
    assert f"nothing can be pulled from file://{tmp_path}/typo: there is no such folder" in none.err
    with http_server(machine.root / "shared") as server:
        unlisted = machine.trtbuild("cache", "pull", "--remote", server.url)
    assert unlisted.code == 2
    assert "over http files have names, but no list" in unlisted.err
    assert "`trtbuild run --remote` fetches what it needs" in unlisted.err
    assert not (tmp_path / "typo").exists()


def test_push_and_pull_exchange_everything_over_http(machine: Project, tmp_path: Path) -> None:
    with http_server(tmp_path / "served") as server:
        pushed = machine.trtbuild("cache", "push", "--remote", server.url, "--json")
        assert pushed.code == 0, pushed.err + pushed.out
        assert pushed.json["pushed"] == len(TASKS)
        assert machine.trtbuild("cache", "push", "--remote", server.url).out.startswith("pushed 0")
        other = other_machine(machine, tmp_path / "other")
        result = other.run("--only-cached", "--remote", server.url)
        assert result.verdicts() == dict.fromkeys(TASKS, "RESTORED"), result.err
    folder = str(machine.root / "shared")
    third = Project(other_machine(machine, tmp_path / "third").root)
    (tmp_path / "third/cache").mkdir(mode=0o700)
    pulled = third.trtbuild("cache", "pull", "--remote", folder)
    assert pulled.out == f"pulled {len(TASKS)} of {len(TASKS)} actions\n"
    assert third.run("--only-cached").verdicts() == dict.fromkeys(TASKS, "RESTORED")


@pytest.mark.parametrize("kind", ["s3", "ssh"])
def test_what_one_machine_pushes_another_restores_with_nothing_run(
    machine: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with contextlib.ExitStack() as servers:
        if kind == "s3":
            pytest.importorskip("moto.server")
            pytest.importorskip("s3fs")
            address = servers.enter_context(s3_server(monkeypatch))
        else:
            server = ssh_server(tmp_path / "home", monkeypatch)
            address = f"{servers.enter_context(server)}{tmp_path}/shared"
        pushed = machine.trtbuild("cache", "push", "--remote", address)
        assert pushed.out == f"pushed {len(TASKS)} of {len(TASKS)} actions\n", pushed.err
        other = other_machine(machine, tmp_path / "other")
        result = other.run("--only-cached", "--remote", address)
        assert result.verdicts() == dict.fromkeys(TASKS, "RESTORED"), result.err
        assert (result.code, result.err) == (0, "")
    assert engine(other) == engine(machine)
    secrets = (SECRET, "BEGIN OPENSSH")
    for path in (*machine.cache.rglob("*"), *other.root.rglob("*")):
        assert not any(secret in read(path) for secret in secrets), path


@pytest.mark.parametrize("behaviour", ["403", "500", "lying", "cutting", "slowly", "gone"])
def test_a_build_goes_on_whatever_its_remote_cache_does(
    machine: Project, tmp_path: Path, behaviour: str
) -> None:
    with http_server(machine.root / "shared") as server:
        address = server.url.replace("//", f"//me:{SECRET}@")
        server.now = behaviour
        if behaviour == "gone":
            server.server_close()
        other = other_machine(machine, tmp_path)
        env = {"TRTBUILD_REMOTE_TIMEOUT": "500ms", "TRTBUILD_REMOTE_WAIT": "500ms"}
        arguments = ("--only", "export", "--remote", address)
        result = other.trtbuild("run", "tiny.yaml", "--json", *arguments, **env)
    assert result.code == 0, result.err
    assert result.verdicts() == {"export": "EXECUTED"}
    assert "warning: remote cache http://127.0.0.1" in result.err
    for text in (result.out, result.err, *map(read, other.root.rglob("*"))):
        assert SECRET not in text


def read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if path.is_file() else ""


def test_a_laxer_entry_is_said_each_time_and_recorded(machine: Project, tmp_path: Path) -> None:
    other = other_machine(machine, tmp_path)
    other.write("tiny.yaml", RECIPE + "cache: {policy: [same-trt-minor]}\n")
    shutil.copytree(machine.cache, other.cache)
    age_the_builder(other)
    strict = other.trtbuild("cache", "why", "tiny.yaml")
    assert "up to date, or can be restored" in strict.out
    result = other.run()
    assert result.verdicts()["build:fp32"] == "RESTORED"
    task = result.task("build:fp32")
    assert "(same-trt-minor)" in task["warnings"][-1]
    assert task["reasons"][-1]["kind"] == "accepted"
    record = json.loads((other.folder / "build/tiny/.trtbuild/build.fp32.json").read_text())
    assert record["accepted"] == task["warnings"][-1:]
    again = other.run()
    assert again.verdicts()["build:fp32"] == "UP_TO_DATE"
    assert again.task("build:fp32")["warnings"] == task["warnings"]
    other.write("tiny.yaml", RECIPE)
    assert other.trtbuild("plan", "tiny.yaml", "--json").verdicts()["build:fp32"] == "EXECUTED"
    why = other.trtbuild("cache", "why", "tiny.yaml").out
    assert "in the entry that shares all else" in why


def test_another_machine_is_told_the_field_that_differs(machine: Project, tmp_path: Path) -> None:
    """A checkout that was never built in, of which the caches hold all but for one fact."""
    other = other_machine(machine, tmp_path)
    builder = Project(tmp_path / "builder")
    shutil.copytree(machine.cache, builder.cache)
    age_the_builder(builder)
    remote = ("--remote", tmp_path / "shared")
    assert builder.trtbuild("cache", "push", *remote).code == 0
    for command in (("explain", "tiny.yaml", "build:fp32"), ("cache", "why", "tiny.yaml")):
        told = other.trtbuild(*command, *remote)
        assert told.code == 0, told.err
        assert re.search(
            r"tensorrt-rtx 1\.\S+ here, 1\.\d+\.0\.1 in the entry that shares all else", told.out
        ), told.out
    found = other.trtbuild("explain", "tiny.yaml", "build:fp32", *remote, "--json").json["tasks"]
    assert "in the entry that shares all else" in found[0]["nearest"][0]
    assert found[0]["recorded"] is None


def age_the_builder(project: Project) -> None:
    """Let the engine in the cache be of another patch of TensorRT-RTX."""
    from trtbuild.graph.action import canonical_json
    from trtbuild.store.action_cache import Trace
    from trtbuild.store.digest import digest_of_bytes
    from trtbuild.store.store import Store

    store = Store(project.cache)
    for path in (project.cache / "actions").glob("*/*.json"):
        trace = store.actions.lookup(path.parent.name + path.stem)
        assert trace is not None
        if trace.action["stage"] == "build":
            major, minor, *_ = trace.action["toolchain"]["tensorrt-rtx"].split(".")
            older = {**trace.action["toolchain"], "tensorrt-rtx": f"{major}.{minor}.0.1"}
            document = {**trace.action, "toolchain": older}
            path.unlink()
            key = digest_of_bytes(canonical_json(document)).hash
            store.record(key, Trace(document, trace.outputs, trace.seconds))
    store.close()
