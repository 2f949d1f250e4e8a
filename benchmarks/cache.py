"""How fast the cache is beside the plain tools, as ratios measured side by side in one run.

    python -m benchmarks.cache [restore] [store] [noop] [many]

`restore` and `store` move a file of 1 GB (GIGABYTES=n for more); `noop` is a run with nothing to do
against plain doit; `many` looks into a cache of 100,000 actions, and compares a no-op over it with
one over a cache of its own. Peak memory is that of the measuring process.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed import noop, ratio
from tests.project import Project
from tests.store.entries import action
from trtbuild.store.action_cache import Trace, encode_trace
from trtbuild.store.digest import digest_of_bytes
from trtbuild.store.gc import Limits, plan_collection, read_entries
from trtbuild.store.roots import Keep
from trtbuild.store.store import Store

SIZE = 1_000_000_000 * int(os.environ.get("GIGABYTES", "1"))
ACTIONS = 100_000
PAIRS = 5
YEAR = 365 * 86400.0


def main(wanted: list[str]) -> None:
    """Run the named measurements, or all."""
    place_of_all = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(dir=place_of_all) as folder:
        for name, measure in MEASUREMENTS.items():
            if not wanted or name in wanted:
                place = Path(folder) / name
                place.mkdir()
                print(f"{name}: {json.dumps(measure(place))}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:.0f} MiB")


def restore(folder: Path) -> dict[str, float]:
    """Restoring a file, against `cp --reflink=auto` of the same."""
    store = Store(folder / "cache")
    digest = store.cas.adopt(large(folder / "made"))
    target, copy = folder / "out" / "engine.plan", folder / "copy"
    time.sleep(0.05)

    def ours() -> float:
        target.unlink(missing_ok=True)
        return timed(lambda: store.cas.materialise(digest, target))

    def cp() -> float:
        copy.unlink(missing_ok=True)
        blob = str(store.cas.path(digest))
        return timed(lambda: run(["cp", "--reflink=auto", blob, str(copy)]))

    found = ratio(ours, cp, pairs=PAIRS)
    store.close()
    return found


def store_(folder: Path) -> dict[str, float]:
    """Storing a file that a stage has made, against `cp` of it and sha256sum."""
    store = Store(folder / "cache")
    made, copy = large(folder / "made"), folder / "copy"
    run(["sync"])

    def ours() -> float:
        file = folder / "stage"
        run(["cp", str(made), str(file)])
        seconds = timed(lambda: store.cas.adopt(file))
        for blob in (folder / "cache" / "cas").glob("*/*"):
            blob.unlink()
        return seconds

    def plain() -> float:
        copy.unlink(missing_ok=True)
        return timed(lambda: (run(["cp", str(made), str(copy)]), sha256(copy)))

    found = ratio(ours, plain, pairs=PAIRS)
    store.close()
    return found


def many(folder: Path) -> dict[str, float]:
    """Looking into a cache of 100,000 actions; `first_s` is when its index is made anew."""
    root = folder / "cache"
    fill(root)
    first = timed(lambda: read_entries(root))
    command = [sys.executable, "-m", "trtbuild", "cache"]
    places = ["--cache", str(root)]
    key = action(ACTIONS // 2).key()
    commands = {
        "stats": [*command, "stats", *places],
        "show": [*command, "show", key, *places],
        "gc_dry_run": [*command, "gc", "--max-age", "100d", "--dry-run", *places],
        "ls": [*command, "ls", *places],
    }
    found = {"first_s": first, **noop_over(root, folder)}
    for name, line in commands.items():
        found[f"{name}_s"] = min(timed(lambda line=line: run(line)) for _ in range(3))
    store = Store(root)
    found["lookup_ms"] = timed(lambda: store.find(key)) * 1000
    store.close()
    entries, damaged = read_entries(root)
    limits = Limits(max_age_seconds=100 * 86400)
    found["plan_only_s"] = timed(lambda: plan_collection(root, entries, damaged, limits, Keep()))
    return {name: round(value, 3) for name, value in found.items()}


def noop_over(root: Path, folder: Path) -> dict[str, float]:
    """A no-op over a large cache against one over a small cache."""
    projects = [Project(folder / name).tiny() for name in ("few", "more")]
    projects[1].cache = root

    def once(project: Project) -> float:
        line = project.command("run", "tiny.yaml")
        return timed(
            lambda: subprocess.run(line, cwd=project.folder, check=True, stdout=subprocess.DEVNULL)
        )

    for project in projects:
        once(project)
        time.sleep(0.1)
    few, more = projects
    return {"noop_ratio": ratio(lambda: once(more), lambda: once(few), pairs=9)["ratio"]}


def fill(root: Path) -> None:
    """A cache of many actions, each with two blobs of its own, used over a year."""
    Store(root).close()
    now = time.time()
    for number in range(ACTIONS):
        made = {name: f"{name} {number}".encode() for name in ("build.log", "engine.plan")}
        outputs = tuple((name, digest_of_bytes(data)) for name, data in made.items())
        trace = Trace(action(number).document(), outputs, 1.0)
        key = action(number).key()
        written = {root / "actions" / key[:2] / f"{key[2:]}.json": encode_trace(trace)}
        for (_, digest), data in zip(outputs, made.values(), strict=True):
            written[root / "cas" / digest.hash[:2] / digest.hash[2:]] = data
        used = now - 7200 - YEAR * number / ACTIONS
        for path, content in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (used, used))


def large(path: Path) -> Path:
    """A file that does not compress."""
    block = os.urandom(1_000_000)
    with path.open("wb") as out:
        for number in range(SIZE // len(block)):
            out.write(number.to_bytes(8, "big") + block[8:])
    return path


def sha256(path: Path) -> None:
    """What `sha256sum` does, by the library that trtbuild uses too."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def run(command: list[str], folder: Path | None = None) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


MEASUREMENTS: dict[str, Callable[[Path], object]] = {
    "restore": restore,
    "store": store_,
    "noop": noop,
    "many": many,
}

if __name__ == "__main__":
    main(sys.argv[1:])
