"""What this machine has, and what recipes need that it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trtbuild.errors import RecipeError, TrtbuildError
from trtbuild.graph.bind import options_of
from trtbuild.graph.capable import check_capable
from trtbuild.graph.device import device_of
from trtbuild.graph.plan import plan
from trtbuild.graph.toolchain import missing, required_version, version_of
from trtbuild.recipe.build_options import TITLES, numbers
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Recipe
from trtbuild.stages import STAGES, backend_requirement

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?P<range>[^;]*)"
    r"(?:;.*extra == ['\"](?P<extra>[^'\"]+)['\"].*)?"
)
_LIMIT = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9.]+)")
_COMPARE = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}
_NOT_NEEDED = ("dev", "all")  # extras for the tests, and for everything


def packages() -> list[dict[str, Any]]:
    """Each package that trtbuild or an extra of it wants, and whether it is there and right."""
    found = []
    for text in importlib.metadata.requires("trtbuild") or ():
        match = _REQUIREMENT.match(text)
        if match is None or match["extra"] in _NOT_NEEDED or match["name"] == "trtbuild":
            continue
        wanted = match["range"].strip().strip("()")
        installed = version_of(match["name"])
        found.append(
            {
                "name": match["name"],
                "extra": match["extra"] or "",
                "wanted": wanted,
                "installed": installed,
                "right": installed is not None and within(installed, wanted),
            }
        )
    return found


def within(version: str, wanted: str) -> bool:
    """Whether a version lies in a range such as ">=2.8,<2.15"."""
    limits = _LIMIT.findall(wanted)
    return all(_COMPARE[sign](_padded(version), _padded(limit)) for sign, limit in limits)


def _padded(version: str) -> tuple[int, ...]:
    """A version as four numbers, so that 1 and 1.0.0 are the same."""
    return (*numbers(version), 0, 0, 0, 0)[:4]


def flavours() -> list[dict[str, Any]]:
    """Each backend: the version that is installed, and what loading it says."""
    return [
        {
            "backend": backend,
            "installed": required_version(backend_requirement(backend)),
            "loads": _loads(backend),
        }
        for backend in TITLES
    ]


def gpus() -> dict[str, Any]:
    """The driver and the GPUs, or why there are none."""
    from trtbuild.cuda.probe import driver_version, probe

    found = probe()
    return {
        "driver": driver_version(),
        "reason": found.reason,
        "devices": [asdict(device) for device in found.devices],
    }


def compilers() -> dict[str, str | None]:
    """What PyCUDA is built with: where each is, or None."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=str(Path(home) / "bin"))
    header = Path(home) / "include" / "cuda.h"
    return {
        "g++": shutil.which("g++"),
        "nvcc": nvcc,
        "cuda.h": str(header) if header.is_file() else None,
    }


def cache_state(cache: Path) -> dict[str, Any]:
    """Where the cache is, the free space there, and whether it can be written to."""
    there = cache
    while not there.exists() and there != there.parent:
        there = there.parent
    return {
        "path": str(cache),
        "exists": cache.is_dir(),
        "free_bytes": shutil.disk_usage(there).free,
        "writable": os.access(there, os.W_OK),
    }


def machine(cache: Path, recipes: Sequence[Path]) -> dict[str, Any]:
    """Everything, as one document; a recipe that is not right lacks what is wrong with it."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages(),
        "flavours": flavours(),
        "gpu": gpus(),
        "compilers": compilers(),
        "cache": cache_state(cache),
        "recipes": [_file_state(path) for path in recipes],
    }


def _file_state(path: Path) -> dict[str, Any]:
    try:
        (recipe,) = load_recipes([path])
    except RecipeError as error:
        unknown: dict[str, Any] = {"needs": {}, "skipped_without_gpu": []}
        lacks = list(error.problems)
        return {"name": None, "path": str(path), "valid": False, "lacks": lacks, **unknown}
    return recipe_state(recipe)


def recipe_state(recipe: Recipe) -> dict[str, Any]:
    """What a recipe's stages need that this machine lacks, and which will be skipped without."""
    skipped = []
    needs: dict[str, str | None] = {}
    lacks: dict[str, None] = {}
    try:
        device = device_of(recipe)
        check_capable(recipe, device)
    except TrtbuildError as error:
        device = None
        lacks[str(error)] = None
    for task in plan(recipe):
        stage = STAGES[task.stage]
        options = options_of(task, stage, device)
        needs.update({r.distribution: required_version(r) for r in stage.requires(options)})
        if device is None and stage.needs_gpu(options):
            skipped.append(task.id)
            continue
        lacks.update(dict.fromkeys(_install_lines(stage.name, missing(stage, options))))
    return {
        "name": recipe.name,
        "path": str(recipe.path),
        "valid": True,
        "needs": dict(sorted(needs.items())),
        "lacks": list(lacks),
        "skipped_without_gpu": skipped,
    }


def _install_lines(stage: str, lacking: tuple[Any, ...]) -> Iterator[str]:
    for item in lacking:
        extra = f"[{item.extra}]" if item.extra else ""
        yield f"{stage}: {item.distribution} (pip install 'trtbuild{extra}')"


def _loads(backend: str) -> str:
    """What loading a backend says, in a process of its own: "" where it works."""
    code = f"from trtbuild.trt.flavour import load_backend; load_backend({backend!r})"
    process = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    if process.returncode == 0:
        return ""
    lines = [line for line in process.stderr.splitlines() if line and not line.startswith(" ")]
    return lines[-1].partition(": ")[2] if lines else f"it ended with code {process.returncode}"
