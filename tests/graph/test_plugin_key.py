"""The bytes of a plugin's library are in the key of what is built with it, its path is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.graph.bind import bind
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes
from trtbuild.store.digest import digest_of_bytes
from trtbuild.store.memo import Memo


def build_key(project: Project, folder: str, content: bytes, kind: str) -> str:
    """The key of the build with a library of some content, below a folder."""
    path = project.folder / folder / "libdecode.so"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    plugins = f"build: {{backend: tensorrt, plugins: {{{kind}: [{folder}/libdecode.so]}}}}"
    text = RECIPE.replace("build: {backend: tensorrt_rtx, optimization_level: 0}", plugins)
    project.write("tiny.yaml", text)
    (recipe,) = load_recipes([project.folder / "tiny.yaml"])
    task = next(task for task in plan(recipe) if task.id == "build:fp32")
    made = {name: (("model.onnx", digest_of_bytes(b"model")),) for name in task.needs}
    memo = Memo(project.root / "memo.sqlite")
    try:
        action = bind(task, made, recipe.folder, None, memo, partial=True)
    finally:
        memo.close()
    return action.key()


@pytest.mark.parametrize("kind", ["static", "dynamic", "serialize"])
def test_another_library_is_another_build(tmp_path: Path, kind: str) -> None:
    project = Project(tmp_path).tiny()
    first = build_key(project, "plugins", b"one", kind)
    assert build_key(project, "plugins", b"two", kind) != first
    assert build_key(project, "elsewhere", b"one", kind) == first
    others = {"static", "dynamic", "serialize"} - {kind}
    assert all(build_key(project, "plugins", b"one", other) != first for other in others)
