"""Holds the installed TensorRT against where a recipe's engines will run, before any is built."""

from __future__ import annotations

from trtbuild.errors import RecipeError
from trtbuild.graph.toolchain import required_version
from trtbuild.recipe.build_options import TITLES
from trtbuild.recipe.model import Deploy, Recipe
from trtbuild.stages import backend_requirement

TRITON = {
    "24.08": "10.3",
    "24.09": "10.4",
    "24.10": "10.5",
    "24.11": "10.6",
    "24.12": "10.7",
    "25.01": "10.8",
    "25.02": "10.8",
    "25.03": "10.9",
    "25.04": "10.9",
    "25.05": "10.10",
    "25.06": "10.11",
}
"""Triton containers and their TensorRT (NVIDIA, Triton Inference Server release notes)."""


def check_deploy(recipe: Recipe) -> None:
    """Raise a RecipeError where the installed backend builds engines that do not load there.

    An engine loads in the version that built it, major to patch; a recipe states as much of that
    as it wants to hold to. Where the backend is not installed nothing is said: that is an error
    of its own. An engine that is built to be version compatible loads in later versions too.
    """
    deploy = recipe.deploy
    installed = required_version(backend_requirement(recipe.build.backend))
    if deploy is None or installed is None:
        return
    where = recipe.where("deploy", deploy.kind)
    wanted = _version(deploy)
    if wanted is None:
        raise RecipeError(
            (
                f"{where}: the TensorRT of Triton {deploy.version} is not known here"
                f"\n  hint: give its version: deploy: {{tensorrt: '10.x'}}",
            )
        )
    if _loads(recipe, installed, wanted):
        return
    title = TITLES[recipe.build.backend]
    there = f" of Triton {deploy.version}" if deploy.kind == "triton" else ""
    raise RecipeError(
        (
            f"{where}: engines are to run in {title} {wanted}{there}, and {installed} is installed"
            f"\n  hint: pip install '{recipe.build.backend.replace('_', '-')}=={wanted}.*'",
        )
    )


def _version(deploy: Deploy) -> str | None:
    return TRITON.get(deploy.version) if deploy.kind == "triton" else deploy.version


def _loads(recipe: Recipe, installed: str, wanted: str) -> bool:
    have, want = installed.split("."), wanted.split(".")
    if have[: len(want)] == want:
        return True
    compatible = bool(recipe.build.options.get("version_compatible"))
    newer = [int(part) for part in want] > [int(part) for part in have[: len(want)]]
    return compatible and newer and have[0] == want[0]
