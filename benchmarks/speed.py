"""How fast trtbuild is beside the plain tools, as ratios measured side by side in one run.

    python -m benchmarks.speed [noop] [many] [cold] [hash]

Each comparison alternates A B A B and prints the median of the ratios of neighbouring pairs.
`noop` also compares with `dvc repro` where dvc is on the PATH.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.project import RECIPE, Project
from trtbuild.store.digest import digest_of_file
from trtbuild.store.memo import Memo

ROOT = Path(__file__).parents[1]
PAIRS = 15
TASKS = 6

# Byte code is kept, as where trtbuild is installed; what it is compared with is installed too.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

DODO = f"""\
DOIT_CONFIG = {{"verbosity": 0}}


def task_copy():
    for i in range({TASKS}):
        source, target = f"file{{i}}", f"file{{i + 1}}"
        yield {{
            "name": str(i),
            "file_dep": [source],
            "targets": [target],
            "actions": [f"cp {{source}} {{target}}"],
        }}
"""


def main(wanted: list[str]) -> None:
    """Run the named measurements, or all."""
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in MEASUREMENTS.items():
            if not wanted or name in wanted:
                place = Path(folder) / name
                place.mkdir()
                results[name] = measure(place)
                print(f"{name}: {json.dumps(results[name])}", flush=True)


def timed(command: list[str], folder: Path) -> float:
    """Seconds that a command takes; it must succeed."""
    start = time.perf_counter()
    subprocess.run(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def ratio(a: Callable[[], float], b: Callable[[], float], pairs: int = PAIRS) -> dict[str, float]:
    """The median ratio a/b of alternating runs, with the medians of both in seconds."""
    a(), b()
    measured = [(a(), b()) for _ in range(pairs)]
    return {
        "ratio": round(statistics.median(x / y for x, y in measured), 3),
        "a_s": round(statistics.median(x for x, _ in measured), 4),
        "b_s": round(statistics.median(y for _, y in measured), 4),
    }


def noop(folder: Path) -> dict[str, object]:
    """A no-op of a recipe of six tasks, against doit and dvc with nothing to do in six."""
    precise = RECIPE.replace("[fp32]", "[fp16]")
    project = Project(folder).tiny(precise)
    run = project.command("run", "tiny.yaml")
    timed(run, project.folder)
    plain = folder / "doit"
    plain.mkdir()
    (plain / "dodo.py").write_text(DODO)
    (plain / "file0").write_text("content")
    doit = [sys.executable, "-m", "doit"]
    timed(doit, plain)
    found: dict[str, object] = {
        "trtbuild / doit": ratio(lambda: timed(run, project.folder), lambda: timed(doit, plain))
    }
    if dvc := shutil.which("dvc"):
        found["dvc / trtbuild"] = _against_dvc(dvc, folder / "dvc", run, project)
    return found


def _against_dvc(dvc: str, folder: Path, run: list[str], project: Project) -> dict[str, float]:
    folder.mkdir()
    (folder / "file0").write_text("content")
    stages = "".join(
        f"  copy{i}:\n    cmd: cp file{i} file{i + 1}\n"
        f"    deps: [file{i}]\n    outs: [file{i + 1}]\n"
        for i in range(TASKS)
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    timed([dvc, "init", "-q", "--no-scm"], folder)
    timed([dvc, "repro", "-q"], folder)
    return ratio(
        lambda: timed([dvc, "repro", "-q"], folder), lambda: timed(run, project.folder), pairs=7
    )


def many(folder: Path) -> dict[str, float]:
    """What each further recipe adds to a no-op, over 200 of them."""
    count = 200
    project = Project(folder).tiny(RECIPE.replace("[fp32]", "[fp16]"))
    names = [f"tiny{i}.yaml" for i in range(count)]
    text = (project.folder / "tiny.yaml").read_text()
    for i, name in enumerate(names):
        project.write(name, text.replace("name: tiny", f"name: tiny{i}"))
    timed(project.command("run", *names), project.folder)
    timed(project.command("run", *names), project.folder)  # what had only just changed is old now
    all_of_them = statistics.median(
        timed(project.command("run", *names), project.folder) for _ in range(7)
    )
    one = statistics.median(
        timed(project.command("run", names[0]), project.folder) for _ in range(7)
    )
    return {
        "ms_per_further_recipe": round((all_of_them - one) / (count - 1) * 1000, 3),
        "one_s": round(one, 4),
        f"{count}_s": round(all_of_them, 4),
    }


def cold(folder: Path) -> dict[str, float]:
    """A first run of recipes/digits-cnn.yaml, against the same work by scripts of one's own."""
    recipe = ROOT / "recipes" / "digits-cnn.yaml"
    scripts = ROOT / "benchmarks" / "by_hand"

    def ours() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            command = [sys.executable, "-m", "trtbuild", "run", str(recipe), "--precision", "fp32"]
            return timed([*command, "--cache", f"{place}/cache", "--out", f"{place}/out"], ROOT)

    def by_hand() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            steps = ("export", "surgery", "reference", "build", "verify")
            return sum(
                timed([sys.executable, str(scripts / f"{step}.py"), str(ROOT), place], ROOT)
                for step in steps
            )

    return ratio(ours, by_hand, pairs=5)


def hashing(folder: Path) -> dict[str, float]:
    """The digest of a 2 GB file, against sha256 over bytes in memory; and a second time."""
    size = 2_000_000_000
    file = folder / "large"
    block = os.urandom(1 << 20)
    with file.open("wb") as out:
        for _ in range(size // len(block)):
            out.write(block)
    data = block * 512

    def from_memory() -> float:
        start = time.perf_counter()
        hashlib.sha256(data).hexdigest()
        return (time.perf_counter() - start) / len(data)

    def from_file() -> float:
        start = time.perf_counter()
        digest_of_file(file)
        return (time.perf_counter() - start) / file.stat().st_size

    per_byte = ratio(from_memory, from_file, pairs=5)
    memo = Memo(folder / "memo.sqlite")
    memo.digest(file)
    start = time.perf_counter()
    memo.digest(file)
    again = time.perf_counter() - start
    return {"throughput_of_hashlib": per_byte["ratio"], "second_time_ms": round(again * 1e3, 3)}


MEASUREMENTS: dict[str, Callable[[Path], object]] = {
    "noop": noop,
    "many": many,
    "cold": cold,
    "hash": hashing,
}

if __name__ == "__main__":
    main(sys.argv[1:])
