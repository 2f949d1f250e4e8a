"""Facts about the tools and devices of this machine that decide what a stage gives."""

from __future__ import annotations

import os
import re
import sys
from functools import cache

from trtbuild.errors import MissingPackage
from trtbuild.recipe.model import Options
from trtbuild.stages.base import Requirement, Stage

NAME_AND_VERSION = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist|egg)-info$")


@cache
def installed_versions() -> dict[str, str]:
    """Normalised distribution names and versions on sys.path, the first of each name.

    Read from the names of the .dist-info folders (packaging.python.org, "Recording installed
    projects"), which takes a millisecond where importlib.metadata opens a file per package.
    """
    versions: dict[str, str] = {}
    for entry in sys.path:
        try:
            names = os.listdir(entry or ".")  # noqa: PTH208 - Path objects cost more than the read
        except OSError:
            continue
        for name in names:
            if name.endswith("-info") and (match := NAME_AND_VERSION.match(name)):
                versions.setdefault(_normalise(match["name"]), match["version"])
    return versions


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    return installed_versions().get(_normalise(distribution))


def missing(stage: Stage, options: Options) -> tuple[Requirement, ...]:
    """What the stage requires and this machine lacks."""
    return tuple(r for r in stage.requires(options) if required_version(r) is None)


def toolchain_of(
    stage: Stage, options: Options, *, partial: bool = False
) -> tuple[tuple[str, str], ...]:
    """The toolchain facts of an action: (name, version) pairs, sorted.

    Raises MissingPackage; with `partial`, what is missing is left out.
    """
    lacking = missing(stage, options)
    if lacking and not partial:
        raise missing_error(stage.name, lacking)
    present = [r for r in stage.requires(options) if r not in lacking]
    return tuple(sorted({(r.distribution, required_version(r) or "") for r in present}))


def missing_error(stage: str, lacking: tuple[Requirement, ...]) -> MissingPackage:
    """The error that names what is missing and the line that installs it."""
    names = ", ".join(r.distribution for r in lacking)
    extras = ",".join(sorted({r.extra for r in lacking if r.extra}))
    target = f"'trtbuild[{extras}]'" if extras else "trtbuild"
    return MissingPackage(
        f"the {stage} stage needs {names}, which is not installed",
        hint=f"pip install {target}",
    )


def required_version(requirement: Requirement) -> str | None:
    """The installed version of a requirement or of what stands in for it, or None."""
    for name in (requirement.distribution, *requirement.alternatives):
        if (version := version_of(name)) is not None:
            return version
    return None


@cache
def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
