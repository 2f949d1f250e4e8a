"""Says before anything runs which options of a recipe this machine's TensorRT cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trtbuild.errors import RecipeError
from trtbuild.graph.device import Device
from trtbuild.graph.toolchain import required_version
from trtbuild.precision.limits import beyond_target
from trtbuild.recipe.build_options import TITLES, Option
from trtbuild.recipe.build_table import present
from trtbuild.recipe.check_build import wheres
from trtbuild.recipe.model import Recipe
from trtbuild.stages import backend_requirement


def check_capable(recipe: Recipe, device: Device | None) -> None:
    """Raise a RecipeError with every key of `build` that the installed version cannot do here.

    Only names of installed packages are looked at. Where the backend is not installed nothing is
    said: that is an error of its own.
    """
    version = required_version(backend_requirement(recipe.build.backend))
    if version is None:
        return
    problems = tuple(
        f"{recipe.where('build', *row.path)}: {text}"
        for row, value in present(recipe.build.options)
        for text in _problems(recipe, row, value, version, device)
    )
    if problems:
        raise RecipeError(problems)


def check_targets(recipe: Recipe, device: Device | None) -> None:
    """Raise a RecipeError with every precision that one of the engine's GPUs does not have."""
    capabilities = _targets(recipe, device)
    problems = tuple(
        f"{recipe.where('precisions', name)}: {limit.what}\n"
        "  hint: leave this precision out, or that GPU out of build.compute_capabilities"
        for name, options in recipe.precisions.items()
        for limit in beyond_target(
            name, str(options.get("base", name)), recipe.build.backend, capabilities
        )
    )
    if problems:
        raise RecipeError(problems)


def _targets(recipe: Recipe, device: Device | None) -> list[int]:
    """The compute capabilities, times ten, that are known to be built for."""
    asked: Any = recipe.build.options["compute_capabilities"]
    known = [int(name) for name in asked if name != "current"]
    if device is not None and (recipe.build.backend == "tensorrt" or "current" in asked):
        known.append(round(float(dict(device.facts)["gpu.compute_capability"]) * 10))
    return known


def _problems(
    recipe: Recipe, row: Option, value: Any, version: str, device: Device | None
) -> Iterator[str]:
    backend = recipe.build.backend
    for where in wheres(row, value):
        if not where.has(backend, version):
            what = "no such option"
            if where is not row.where:
                shown = ", ".join(map(str, value)) if isinstance(value, list) else value
                what += f" (value {shown})"
            yield (
                f"{TITLES[backend]} {version} has {what}\n"
                f"  hint: it is in {where.text}; install such a version, or leave it out"
            )
    if backend == "tensorrt_rtx" and row.on_rtx and value != row.default:
        yield from _on_rtx(recipe, row, device)


def _on_rtx(recipe: Recipe, row: Option, device: Device | None) -> Iterator[str]:
    targets = recipe.build.options["compute_capabilities"]
    several = isinstance(targets, list) and len(targets) > 1
    if device is not None and not several:
        return
    lacks = ["this machine has no GPU"] if device is None else []
    lacks += ["build.compute_capabilities names several"] if several else []
    yield (
        f"TensorRT-RTX needs a GPU and one compute capability {row.on_rtx}\n"
        f"  hint: {' and '.join(lacks)}; the backend tensorrt does it for the GPU that it runs on"
    )
