"""A cache that cannot be read, or has something else in a place, is said with place and remedy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.entries import action, put
from tests.store.nobody import as_nobody, give, open_folder
from trtbuild.errors import ExitCode
from trtbuild.store.action_cache import Trace
from trtbuild.store.store import Store


@pytest.fixture
def root() -> Iterator[Path]:
    """A cache with two results, of a user for whom permissions hold."""
    with open_folder() as folder:
        store = Store(folder / "cache")
        for number in range(2):
            put(store, action(number), {"engine.plan": bytes([number])})
        store.close()
        give(folder)
        yield folder / "cache"
        for path in (folder / "cache", *map((folder / "cache").joinpath, FOLDERS)):
            if path.is_dir():
                path.chmod(0o700)


FOLDERS = ("cas", "actions", "runs", "roots")


def first(root: Path, kind: str) -> Path:
    """The first file of a kind."""
    return sorted(path for path in (root / kind).rglob("*") if path.is_file())[0]


def a_file_for(name: str) -> Callable[[Path], Path]:
    """Put a file in the place of a folder."""

    def change(root: Path) -> Path:
        place = root / name
        if place.exists():
            place.rename(root / "moved")
        place.write_text("a file")
        return place

    return change


def closed(name: str) -> Callable[[Path], Path]:
    """Take all permissions of a folder away; "?" is the first of those that files are spread on."""

    def change(root: Path) -> Path:
        place = first(root, name[:-2]).parent if name.endswith("/?") else root / name
        place.mkdir(exist_ok=True)
        place.chmod(0)
        return place

    return change


CHANGES = {
    "cas is a file": a_file_for("cas"),
    "actions is a file": a_file_for("actions"),
    "discovered is a file": a_file_for("discovered"),
    **{f"{name} is closed": closed(name) for name in ("cas", "actions", "runs", "roots", "cas/?")},
    "a part of actions is closed": closed("actions/?"),
    "the cache is closed": closed("."),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_cannot_be_read_is_an_error_with_place_and_remedy(
    root: Path, change: Callable[[Path], Path]
) -> None:
    place = change(root)
    failed = 0
    for command in (["stats"], ["ls"], ["verify"], ["gc", "--max-size", "0"], ["show", "ab"]):
        result = as_nobody("cache", *command, "--cache", root)
        assert result.returncode in (ExitCode.DONE, ExitCode.FAILED, ExitCode.INVALID), (
            result.stderr
        )
        if result.returncode == ExitCode.FAILED:
            failed += 1
            assert str(place) in result.stderr
            assert "hint: " in result.stderr
    assert failed
    place.chmod(0o700)


def moved_away(path: Path) -> None:
    """Put a folder with a file in the place of a file."""
    path.unlink()
    path.mkdir()
    (path / "inner").write_text("x")


@pytest.mark.parametrize("kind", ["cas", "actions"])
def test_a_folder_in_the_place_of_a_file_is_found_and_repaired(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from trtbuild.cli import main

    root = tmp_path / "cache"
    store = Store(root)
    key, trace = put(store, action(1), {"engine.plan": b"engine"}, age=9 * 86400.0)
    path = first(root, kind)
    moved_away(path)
    os.utime(path, (0, 0))
    assert main(["cache", "stats", "--cache", str(root)]) == ExitCode.DONE
    if kind == "actions":
        assert main(["cache", "gc", "--max-size", "0", "--cache", str(root)]) == ExitCode.FAILED
        assert "cache verify --repair" in capsys.readouterr().err
    assert main(["cache", "verify", "--cache", str(root)]) == ExitCode.FAILED
    assert str(path) in capsys.readouterr().out
    assert main(["cache", "verify", "--repair", "--cache", str(root)]) == ExitCode.DONE
    assert not path.exists()
    put(store, action(1), {"engine.plan": b"engine"})
    found = store.actions.lookup(key)
    assert isinstance(found, Trace)
    assert found.outputs == trace.outputs
    assert main(["cache", "verify", "--cache", str(root)]) == ExitCode.DONE
    store.close()
