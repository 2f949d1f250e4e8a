"""The house: imports go downwards, heavy libraries stay where they run, rooms stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "trtbuild"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    {"cli"},
    {"report"},
    {"release"},
    {"graph"},
    {"stages"},
    {"benchmark", "precision", "verify"},
    {"trt", "dataset", "discovery"},
    {"cuda", "model"},
    {"recipe"},
    {"store"},
    {"errors", "reporter"},
)
"""From the top down; a room imports itself and what stands below it."""

HEAVY = {"torch", "onnx", "onnxruntime", "onnx_graphsurgeon", "numpy", "tensorrt", "tensorrt_rtx"}
LIGHT_ROOMS = {"cli", "report", "release", "graph", "recipe", "store"}


def room_of(module: str) -> str:
    """The room of a dotted module name of ours; "" for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Modules imported by a file: name, line, and whether at module level."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, node.lineno, id(node) in top))
    return found


def level(room: str) -> int:
    """How far up a room stands: 0 is the top."""
    return next(i for i, rooms in enumerate(LAYERS) if room in rooms)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    for module, line, _ in imports(path):
        target = room_of(module) if module.split(".")[0] == "trtbuild" else ""
        if target and target != room:
            assert level(target) > level(room), f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_that_run_in_the_parent_import_nothing_heavy(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] in LIGHT_ROOMS:
        heavy = [(m, line) for m, line, _ in imports(path) if m.split(".")[0] in HEAVY]
        assert not heavy, f"{path} imports {heavy}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_has_one_purpose_and_fits_on_a_few_screens(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 350, f"{path} is crowded"
    assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is for"


def test_a_no_op_imports_no_heavy_library() -> None:
    code = (
        "import sys, trtbuild.cli, trtbuild.recipe.load, trtbuild.cuda.probe;"
        "print([m for m in sys.modules if m in "
        f"{sorted(HEAVY | {'rich', 'jsonschema', 'torch'})!r}])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
