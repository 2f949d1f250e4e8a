"""Random bytes of the whole store are flipped: what matters is noticed, dropped and made again."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.project import Project
from trtbuild.store.audit import audit
from trtbuild.store.digest import digest_of_file


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_a_run_is_right_whatever_bytes_of_the_cache_were_flipped(
    tmp_path: Path, rounds: int
) -> None:
    project = Project(tmp_path).tiny()
    assert project.run().code == 0
    chance = random.Random(rounds)  # noqa: S311 - a place, not a secret
    for number in range(rounds):
        flip(project.cache, chance)
        if number % 2:
            shutil.rmtree(project.folder / "build")
        result = project.run()
        assert result.code == 0, result.err + result.out
        assert "Traceback" not in result.err
        used = set()
        for task in result.json["recipes"][0]["tasks"]:
            used.add(task["key"])
            for output in task["outputs"].values():
                assert digest_of_file(project.folder / output["path"]).hash == output["sha256"]
                used.add(output["sha256"])
        assert project.trtbuild("cache", "stats").code == 0
        assert project.trtbuild("cache", "why", "tiny.yaml").code == 0
        if number % 2:
            damaged = {d.path.parent.name + d.path.stem for d in audit(project.cache)}
            assert not damaged & used, "what was damaged and is used was dropped"
        assert project.trtbuild("cache", "verify", "--repair").code == 0
        assert audit(project.cache) == ()


def flip(cache: Path, chance: random.Random) -> None:
    """Flip a bit or some bytes in a few of the store's files, tables included."""
    files = sorted(p for p in cache.rglob("*") if p.is_file() and p.stat().st_size)
    for path in chance.sample(files, min(6, len(files))):
        data = bytearray(path.read_bytes())
        for _ in range(chance.choice((1, 1, 40))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        mode = path.stat().st_mode
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(mode)
