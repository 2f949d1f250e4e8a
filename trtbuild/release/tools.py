"""The tools that had a part in a release, each with a digest of what is installed."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import trtbuild
from trtbuild.store.digest import digest_of_file

OF_AN_INSTALLATION = ("/INSTALLER", "/REQUESTED", "/direct_url.json", "/RECORD")
"""Files of a .dist-info that tell of the installation and not of the package."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool; `sha256` is "" where it is not installed here, `of` says what it is the digest of."""

    name: str
    version: str
    sha256: str
    of: str
    licence: str = ""

    @property
    def purl(self) -> str:
        """Its package URL."""
        kind = "generic" if self.name == "cpython" else "pypi"
        return f"pkg:{kind}/{self.name.lower().replace('_', '-')}@{self.version}"


def tool(name: str, version: str) -> Tool:
    """A distribution that an action's toolchain names."""
    found = _distribution(name)
    if found is None or found.version != version:
        return Tool(name, version, "", "not installed where the release was made")
    return Tool(
        name, version, _record_digest(found), "the sorted hashes of RECORD", _licence(found)
    )


def parts(name: str, version: str) -> tuple[Tool, ...]:
    """The distributions that a package is made of which is published in several.

    TensorRT's own is little more than a name: its libraries and bindings are apart, per CUDA.
    """
    pattern = re.compile(rf"{re.escape(name)}-cu[0-9]+(-bindings|-libs)?")
    return tuple(tool(found, version) for found in _installed() if pattern.fullmatch(found))


@cache
def _installed() -> tuple[str, ...]:
    found = metadata.distributions()
    return tuple(sorted({normal(each.name) for each in found if each.name}))


def normal(name: str) -> str:
    """A distribution's name in its one form (packaging.python.org, Names and normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def own_tools() -> tuple[Tool, ...]:
    """Python and trtbuild itself."""
    executable = Path(sys.executable).resolve()
    return (
        Tool(
            "cpython",
            platform.python_version(),
            digest_of_file(executable).hash,
            "the interpreter's program",
            "PSF-2.0",
        ),
        Tool(
            "trtbuild",
            trtbuild.__version__,
            _own_digest(),
            "the sorted hashes of *.py",
            "Apache-2.0",
        ),
    )


@cache
def _distribution(name: str) -> metadata.Distribution | None:
    # What TensorRT-RTX's toolchain fact names can be installed under the name of its bindings.
    for candidate in (name, f"{name}-cu13-bindings", f"{name}-cu12-bindings"):
        try:
            return metadata.distribution(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def _record_digest(found: metadata.Distribution) -> str:
    """What pip wrote down of the package's files, without what differs between installations."""
    lines = []
    for line in (found.read_text("RECORD") or "").splitlines():
        path, _, rest = line.partition(",")
        kept = rest.startswith("sha256=") and not path.startswith(("..", "/"))
        if kept and not path.endswith(OF_AN_INSTALLATION):
            lines.append(f"{path},{rest}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() if lines else ""


def _licence(found: metadata.Distribution) -> str:
    """An SPDX expression or, of older packages, the classifier's text."""
    told: Any = found.metadata  # a message.Message, whatever its declared type says
    expression = told.get("License-Expression")
    if expression:
        return str(expression)
    prefix = "License :: "
    texts = [c for c in told.get_all("Classifier") or () if c.startswith(prefix)]
    named = [text.rpartition(" :: ")[2] for text in texts]
    short = str(told.get("License") or "").strip()
    return " / ".join(named) or (short if len(short) < 60 else "")


@cache
def _own_digest() -> str:
    root = Path(trtbuild.__file__).parent
    lines = sorted(
        f"{digest_of_file(path).hash}  {path.relative_to(root).as_posix()}\n"
        for path in root.rglob("*.py")
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
