"""Command line over environment over file over defaults, each value with its origin."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from trtbuild.cli import main
from trtbuild.cli.settings import SETTINGS, resolve
from trtbuild.errors import ExitCode, UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below others, where the command is given."""
    monkeypatch.delenv("TRTBUILD_CACHE")
    place = tmp_path / "project" / "recipes"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    return place


def test_each_layer_goes_over_the_one_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (resolve(Namespace())["jobs"].value, resolve(Namespace())["jobs"].origin) == (
        1,
        "default",
    )
    file = folder.parent / "trtbuild.toml"
    file.write_text("jobs = 2\n")
    assert resolve(Namespace())["jobs"].value == 2
    assert resolve(Namespace())["jobs"].origin == str(file)
    monkeypatch.setenv("TRTBUILD_JOBS", "3")
    assert resolve(Namespace())["jobs"].value == 3
    assert resolve(Namespace())["jobs"].origin == "TRTBUILD_JOBS"
    assert resolve(Namespace(jobs=4))["jobs"].value == 4
    assert resolve(Namespace(jobs=None))["jobs"].value == 3


def test_pyproject_counts_only_with_the_table(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (folder.parent / "pyproject.toml").write_text("[tool.trtbuild]\ncache = 'kept'\n")
    assert resolve(Namespace())["cache"].value == folder.parent / "kept"


def test_paths_in_a_file_start_from_its_folder(folder: Path) -> None:
    (folder.parent / "trtbuild.toml").write_text("out = 'engines'\nremote = 'shared'\n")
    values = resolve(Namespace())
    assert values["out"].value == folder.parent / "engines"
    assert values["remote"].value == f"file://{folder.parent}/shared"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jbos = 2", "Did you mean 'jobs'"),
        ("jobs = 0", "a whole number, 1 or more"),
        ("jobs = true", "a whole number"),
        ("cache_link = 'symlink'", "one of copy, hardlink"),
        ("cache_max_size = 'much'", "a size"),
        ("cache_max_age = 'long'", "a duration"),
        ("cache_shared = 'perhaps'", "true or false"),
        ("remote = 'ftp://host/x'", "no place for a remote cache"),
        ("remote = 'simplecache::s3://bucket'", "no place for a remote cache"),
        ("jobs = ", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(folder: Path, text: str, words: str) -> None:
    (folder / "trtbuild.toml").write_text(text + "\n")
    with pytest.raises(UsageError) as caught:
        resolve(Namespace())
    assert words in str(caught.value)


def test_config_prints_each_value_with_its_origin_and_no_credentials(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRTBUILD_REMOTE", "https://me:hunter2@cache.example/x?sig=hunter3")
    assert main(["config", "--json"]) == ExitCode.DONE
    text = capsys.readouterr().out
    assert "hunter" not in text
    settings = json.loads(text)["settings"]
    assert set(settings) == {setting.name for setting in SETTINGS}
    assert settings["remote"]["origin"] == "TRTBUILD_REMOTE"
    assert settings["remote"]["value"] == "https://cache.example/x"
    assert main(["config", "--cache", "here"]) == ExitCode.DONE
    line = next(li for li in capsys.readouterr().out.splitlines() if li.startswith("cache "))
    assert line.split() == ["cache", "here", "command", "line"]


def test_config_prints_units(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "trtbuild.toml").write_text('cache_max_size = "1KiB"\ncache_max_age = "1h"\n')
    assert main(["config"]) == ExitCode.DONE
    lines = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()}
    assert lines["cache_max_size"] == ["1024", "bytes"]
    assert lines["cache_max_age"] == ["3600.0", "s"]
    assert lines["remote_timeout"] == ["10.0", "s"]
