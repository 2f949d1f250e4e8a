"""Checks the `package` and `deploy` sections of a recipe: what is shipped, and where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trtbuild.recipe.build_section import BACKEND
from trtbuild.recipe.check_files import Kind
from trtbuild.recipe.problems import Key, Problem, shown
from trtbuild.recipe.raw import RawRecipe
from trtbuild.recipe.units import milliseconds_of

DEPLOYMENTS = ("tensorrt", "tensorrt_rtx", "triton")

File = Callable[[Key, str | None, Kind], Iterator[Problem]]


def check_package(raw: RawRecipe, file: File) -> Iterator[Problem]:
    """Every problem of the package section; `file` gives the problem of a file."""
    package = raw.get("package", {})
    for index, path in enumerate(package.get("notices", ())):
        yield from file(("package", "notices", index), path, Kind.ANY)
    triton = package.get("triton")
    if triton is None:
        return
    key = ("package", "triton")
    delay = triton.get("queue_delay")
    if delay is not None and milliseconds_of(delay) is None:
        text = f"expected a duration such as 2ms, got {shown(delay)}"
        yield Problem((*key, "queue_delay"), text)
    engine = triton.get("engine", True)
    if engine and _backend(raw) == "tensorrt_rtx":
        hint = "build with the backend tensorrt, or give {engine: false, onnx: true}"
        yield Problem(key, "Triton does not serve engines of TensorRT-RTX", hint)
    if not engine and not triton.get("onnx", False):
        yield Problem(key, "nothing to serve: engine and onnx are both false")


def check_deploy(raw: RawRecipe) -> Iterator[Problem]:
    """Engines of a backend that does not run where they are deployed."""
    for name in raw.get("deploy", {}):
        needed = "tensorrt_rtx" if name == "tensorrt_rtx" else "tensorrt"
        if _backend(raw) != needed:
            text = f"engines of the backend {_backend(raw)} do not run there"
            yield Problem(("deploy", name), text, f"build with the backend {needed}")


def _backend(raw: RawRecipe) -> str:
    return str(raw.get("build", {}).get("backend", BACKEND))
