"""Whatever is changed in a bundle is found where it is: bytes, files, documents."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.release.bundles import (
    OTHER,
    append,
    consistent,
    contents,
    files_of,
    places,
    rewrite,
    sums,
    swap,
)


def test_every_one_of_300_changed_bytes_is_found_in_its_file(made: Path, bundle: Path) -> None:
    rng = random.Random(7)  # noqa: S311 - to choose, not to protect
    files = files_of(bundle)
    for number in range(300):
        path = files[number % len(files)] if number < 5 * len(files) else rng.choice(files)
        data = bytearray(path.read_bytes())
        position = rng.randrange(len(data))
        data[position] ^= 1 << rng.randrange(8)
        original = path.read_bytes()
        path.write_bytes(data)
        found = places(bundle, None)  # no key is needed to find an accident
        path.write_bytes(original)
        name = str(path.relative_to(bundle))
        hit = any(where == name or where.startswith(f"{name}:") for where in found)
        # A line of SHA256SUMS that was changed shows at the file that it names.
        assert hit or (name == "SHA256SUMS" and found), (name, position, found)
    assert places(bundle, None) == set()


def test_every_one_of_300_changed_bytes_of_an_archive_is_found(made: Path, tmp_path: Path) -> None:
    rng = random.Random(8)  # noqa: S311
    data = (made / "bundle.tar").read_bytes()
    path = tmp_path / "bundle.tar"
    with tarfile.open(made / "bundle.tar") as archive:
        headers = [member.offset for member in archive.getmembers()]
    for number in range(300):
        position = (
            rng.choice(headers) + rng.randrange(512) if number % 2 else rng.randrange(len(data))
        )
        changed = bytearray(data)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        assert places(path, None), position
    for length in (0, 1, 511, 512, len(data) // 2, len(data) - 1, len(data) - 512):
        path.write_bytes(data[:length])
        assert places(path, None), length
    path.write_bytes(data + b"\0")
    assert places(path, None)


def structural() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """50 changes that keep every file well formed."""
    files = (
        "tiny/fp32/engine.plan",
        "tiny/fp32/build.json",
        "tiny/fp32/verify.json",
        "tiny/fp32/model.onnx",
        "tiny/golden/reference.npz",
        "tiny/golden/reference.json",
        "tiny/recipe.yaml",
        "tiny/recipe.lock",
        "sbom.cdx.json",
        "LICENCES.txt",
    )
    for name in files:
        yield f"remove {name}", lambda b, n=name: (b / n).unlink()
        yield f"empty {name}", lambda b, n=name: (b / n).write_bytes(b"")
        yield (
            f"append to {name} with recomputed sums",
            lambda b, n=name: ((b / n).write_bytes((b / n).read_bytes() + b"\n"), sums(b)),
        )
    for name in ("manifest.json", "provenance.json", "provenance.dsse.json", "SHA256SUMS"):
        yield f"remove {name}", lambda b, n=name: (b / n).unlink()
    for first, second in (
        ("tiny/fp32/engine.plan", "tiny/fp32/model.onnx"),
        ("tiny/fp32/build.json", "tiny/fp32/verify.json"),
        ("manifest.json", "provenance.json"),
    ):
        yield f"swap {first} and {second}", lambda b, x=first, y=second: swap(b / x, b / y)
        yield (
            f"swap {first} and {second} with recomputed sums",
            lambda b, x=first, y=second: (swap(b / x, b / y), sums(b)),
        )
    yield "add a file", lambda b: (b / "tiny/extra.bin").write_bytes(b"x")
    yield "add a file with recomputed sums", lambda b: ((b / "extra").write_text("x"), sums(b))
    for what, change in (
        ("version", lambda d: d["recipes"][0]["variants"][0].update(version="1.0.0.0")),
        ("name", lambda d: d["recipes"][0].update(name="other")),
        (
            "tolerance",
            lambda d: d["recipes"][0]["variants"][0]["verification"]["tolerance"].clear(),
        ),
        ("allowed", lambda d: d["allowed"].clear()),
        ("format", lambda d: d.update(format=2)),
        ("a key more", lambda d: d.update(extra=1)),
    ):
        yield (
            f"manifest: {what}, all recomputed",
            lambda b, c=change: (rewrite(b / "manifest.json", c), consistent(b)),
        )
    yield "all recomputed and signed by another key", lambda b: consistent(b, OTHER)
    yield (
        "another engine, all recomputed and signed by another key",
        lambda b: (append(b / "tiny/fp32/engine.plan"), consistent(b, OTHER)),
    )


CHANGES = list(structural())


def test_there_are_50_structural_changes() -> None:
    assert len(CHANGES) == 50


@pytest.mark.parametrize("change", [c for _, c in CHANGES], ids=[n for n, _ in CHANGES])
def test_a_structural_change_is_found_where_it_is(
    made: Path, bundle: Path, change: Callable[[Path], object]
) -> None:
    change(bundle)
    before, after = contents(made / "folder"), contents(bundle)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed
    # Where all is consistent again, only the signature can tell.
    assert places(bundle) & (changed | {"provenance.dsse.json"})


def test_an_unsigned_bundle_whose_engine_was_changed_contradicts_its_lock(
    made: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(made / "unsigned", tmp_path / "bundle"))
    append(bundle / "tiny/fp32/engine.plan")
    consistent(bundle)
    engine = hashlib.sha256((bundle / "tiny/fp32/engine.plan").read_bytes()).hexdigest()

    def other_engine(document: Any) -> None:
        document["recipes"][0]["variants"][0]["engine"]["sha256"] = engine

    rewrite(bundle / "manifest.json", other_engine)
    consistent(bundle)
    assert places(bundle, None) == {"tiny/fp32/engine.plan"}


SEEDS = range(150)


def mutate(value: Any, rng: random.Random) -> Any:
    """The document with one thing in it another: gone, of another type, or doubled."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        made: Any = dict(value) if isinstance(value, dict) else list(value)
        place = rng.choice(list(made) if isinstance(made, dict) else range(len(made)))
        choice = rng.random()
        if choice < 0.15:
            del made[place]
        elif choice < 0.25 and isinstance(made, list):
            made.append(made[place])
        else:
            made[place] = mutate(made[place], rng)
        return made
    others = (None, True, -1, 2**70, 1e308, "", "../../etc/passwd", "a\0b", [], {}, [[[]]], {"": 0})
    return rng.choice([other for other in others if other != value])


@pytest.mark.parametrize("name", ["manifest.json", "provenance.json"])
def test_a_document_that_was_made_up_is_found_and_never_a_crash(bundle: Path, name: str) -> None:
    good = json.loads((bundle / name).read_text())
    for seed in SEEDS:
        changed = mutate(good, random.Random(seed))  # noqa: S311 - to choose, not to protect
        if changed == good:
            continue
        (bundle / name).write_text(json.dumps(changed, indent=1, sort_keys=True) + "\n")
        sums(bundle)
        assert {name, "provenance.dsse.json"} & {p.partition(" ")[0] for p in places(bundle)}, seed
