"""What every test stands on: no default cache, small real models, a project folder to work in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import Project


@pytest.fixture(autouse=True)
def _no_default_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A test that forgets to choose a cache fails: a file stands where the folder would be."""
    poison = tmp_path_factory.mktemp("poison") / "choose-a-cache-in-your-test"
    poison.write_text("")
    monkeypatch.setenv("TRTBUILD_CACHE", str(poison))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with a cache of its own."""
    return Project(tmp_path)
