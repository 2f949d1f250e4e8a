"""`trtbuild cache` and `trtbuild config`, as their users meet them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.store.entries import action, put
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.store.store import Store

DAY = 86400.0


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with an old and a new action."""
    store = Store(tmp_path / "cache")
    put(store, action(1), {"engine.plan": b"old", "build.log": b""}, age=100 * DAY)
    put(store, action(2), {"engine.plan": b"new" * 1000}, age=2 * DAY)
    store.close()
    return tmp_path / "cache"


def cli(cache: Path, *arguments: str, code: ExitCode = ExitCode.DONE) -> None:
    assert main(["cache", *arguments, "--cache", str(cache)]) == code


def test_stats_counts_by_stage(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli(cache, "stats", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["actions"] == found["stages"]["build"]["actions"] == 2
    assert found["stages"]["build"]["size_bytes"] == 3003
    cli(cache, "stats")
    assert "oldest use  100 days ago" in capsys.readouterr().out


def test_ls_has_the_most_recently_used_first(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(cache, "ls")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [action(n).key()[:16] for n in (2, 1)]
    cli(cache, "ls", "--stage", "verify")
    assert capsys.readouterr().out == ""


def test_show_takes_the_beginning_of_a_key(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = action(1).key()
    cli(cache, "show", key[:10], "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["key"] == key
    assert found["action"] == json.loads(json.dumps(action(1).document()))
    assert found["outputs"]["engine.plan"]["present"]
    cli(cache, "show", key)
    assert "toolchain  tensorrt-rtx: 1.7.1.116" in capsys.readouterr().out
    for unknown in ("ffff", "../../etc", "*"):
        cli(cache, "show", unknown, code=ExitCode.INVALID)
        assert "no action" in capsys.readouterr().err


def test_verify_finds_every_damage_and_repair_removes_it(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(cache, "verify")
    assert "whole" in capsys.readouterr().out
    store = Store(cache)
    trace = store.actions.lookup(action(2).key())
    assert trace is not None
    blob = store.cas.path(trace.outputs[0][1])
    before = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(b"nem" * 1000)
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    copied = store.actions.path("ab" * 32)
    copied.parent.mkdir(parents=True)
    copied.write_bytes(store.actions.path(action(1).key()).read_bytes())
    store.close()
    cli(cache, "verify", code=ExitCode.FAILED)
    out = capsys.readouterr().out
    assert "its bytes hash to" in out
    assert "its engine.plan is not in the cache" in out
    assert "its action has another key" in out
    assert "3 damaged" in out
    cli(cache, "verify", "--repair")
    cli(cache, "verify")
    store = Store(cache)
    assert store.actions.lookup(action(1).key()) is not None
    assert store.actions.lookup(action(2).key()) is None


def test_gc_takes_limits_from_the_command_line_and_says_what_it_did(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(cache, "gc", "--max-age", "90d", "--dry-run")
    assert "would remove 1 actions and 2 blobs" in capsys.readouterr().out
    cli(cache, "gc", "--max-age", "90d", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["actions"] == [action(1).key()]
    cli(cache, "ls", "--json")
    assert len(json.loads(capsys.readouterr().out)["actions"]) == 1


def test_gc_keeps_what_lock_files_below_a_folder_name(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release/digits.lock").write_text(action(1).key())
    cli(cache, "gc", "--max-age", "1d", "--keep-locked", str(tmp_path / "release"))
    assert "1 actions stay over the limits" in capsys.readouterr().out
    cli(cache, "show", action(1).key())
    lock = tmp_path / "release/digits.lock"
    cli(cache, "gc", "--max-age", "1d", "--dry-run", "--keep-locked", str(lock))
    assert "1 actions stay over the limits" in capsys.readouterr().out


def test_gc_removes_nothing_where_it_is_to_keep_what_is_not_there(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name, why in (("typo", "no such folder"), ("empty", "no lock file is at or below it")):
        place = str(tmp_path / name)
        cli(cache, "gc", "--max-age", "1d", "--keep-locked", place, code=ExitCode.INVALID)
        assert f"{place} keeps nothing: " in (err := capsys.readouterr().err)
        assert why in err
    cli(cache, "show", action(1).key())


@pytest.mark.parametrize("option", ["--cache", "--out"])
def test_the_empty_text_is_no_folder(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "tiny.yaml", option, ""])
    assert ended.value.code == ExitCode.INVALID
    assert f"argument {option}: a folder's name is empty" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["stats", "ls", "show x", "verify", "gc", "push", "pull"])
def test_what_looks_at_no_outputs_takes_no_folder_of_theirs(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cache", *action.split(), "--out", "d"])
    assert ended.value.code == ExitCode.INVALID
    assert "unrecognized arguments: --out d" in capsys.readouterr().err


def test_ls_knows_the_stages(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli(cache, "ls", "--stage", "bogus")
    assert ended.value.code == ExitCode.INVALID
    assert "build" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("stats",), ("ls",), ("gc", "--dry-run"), ("verify",)])
def test_every_document_has_the_exit_code(
    cache: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    cli(cache, *arguments, "--json")
    assert json.loads(capsys.readouterr().out)["exit_code"] == 0


@pytest.mark.parametrize("size", ["much", "-5", "12 parsecs"])
def test_a_size_that_is_none_is_usage(
    cache: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(cache, "gc", f"--max-size={size}", code=ExitCode.INVALID)
    assert "a size, such as 50GB" in capsys.readouterr().err


def test_without_a_cache_there_is_nothing_to_look_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli(tmp_path / "none", "stats", code=ExitCode.INVALID)
    assert "there is no cache at" in capsys.readouterr().err


def test_a_new_cache_is_its_owners_alone(tmp_path: Path) -> None:
    Store(tmp_path / "deep" / "cache").close()
    assert stat.S_IMODE((tmp_path / "deep/cache").stat().st_mode) == 0o700


def test_a_shared_cache_belongs_to_the_group(tmp_path: Path) -> None:
    Store(tmp_path / "cache", shared=True).close()
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o2770
    Store(tmp_path / "cache", shared=True).close()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_cache_that_others_can_write_to_is_refused(
    cache: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.chmod(mode)
    cli(cache, "show", action(1).key(), code=ExitCode.FAILED)
    assert "other users can write to the cache" in capsys.readouterr().err
