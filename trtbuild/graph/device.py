"""The GPU of this machine, as far as a recipe sees it: what it is, and holding it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trtbuild.errors import RecipeError, StageError
from trtbuild.recipe.model import Recipe

NO_DEVICE = "no CUDA device"


@dataclass(frozen=True, slots=True)
class Device:
    """The GPU of this machine, as far as actions depend on it."""

    facts: tuple[tuple[str, str], ...]  # ("gpu", "NVIDIA H100 80GB HBM3"), ("driver", ...), ...


SOME_GPU = Device(())
"""A GPU of which nothing is known: that of whoever made a result in a cache."""


def device_of(recipe: Recipe) -> Device | None:
    """The facts of the CUDA device that a recipe is built on, or None where there is none.

    Raises RecipeError where the recipe asks for one that is not there.
    """
    asked = recipe.build.device
    if asked is None:
        return find_device()
    from trtbuild.cuda.probe import probe

    count = len(probe().devices)
    if count and asked >= count:
        text = f"there is no CUDA device {asked}: this machine has {count}"
        raise RecipeError((f"{recipe.where('build', 'device')}: {text}",))
    return find_device(asked)


def find_device(number: int = 0) -> Device | None:
    """The facts of a CUDA device, or None."""
    from trtbuild.cuda.probe import probe

    devices = probe().devices
    if not devices:
        return None
    gpu = devices[number]
    return Device(
        (
            ("gpu", gpu.name),
            ("gpu.compute_capability", gpu.compute_capability),
            ("gpu.driver", gpu.driver),
        )
    )


def demand_gpu(stage: str, options: Mapping[str, Any]) -> None:
    """Raise a StageError where an action of a required stage does its work without a GPU, as far
    as it goes: verify compares the graphs then, and runs no engine.
    """
    if options.get("gpu") is False:
        text = f"the engine cannot be run here: {NO_DEVICE}"
        raise StageError(text, hint=f"--require {stage} asks for it")


@contextlib.contextmanager
def leased(recipe: Recipe, waiting: Callable[[str], None]) -> Iterator[Mapping[str, str]]:
    """Hold a GPU while a stage runs on it, since timings decide tactics: the one that the recipe
    asks for, else any like the first; `waiting` is told who has it.

    Yields what the stage's process must have in its environment to see that one.
    """
    from trtbuild.cuda.lease import acquire
    from trtbuild.cuda.probe import probe

    devices, asked = probe().devices, recipe.build.device
    chosen = devices[asked or 0]
    alike = [chosen] if asked is not None else [gpu for gpu in devices if gpu.name == chosen.name]
    with acquire(alike, waiting) as lease:
        yield {"CUDA_VISIBLE_DEVICES": lease.device.uuid}
