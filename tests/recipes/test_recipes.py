"""The recipes of this repository fit together."""

from __future__ import annotations

import ast
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.recipes.conftest import RECIPES, need_fetched
from trtbuild.errors import RecipeError
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import OnnxSource, TorchSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtbuild.recipe.model import JSONValue, Recipe

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
IMPOSSIBLE = ["logreg_iris", "silero_vad_if"]  # valid, and TensorRT refuses them


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, fetch_models: Any) -> Path:
    """The recipes with a stub for each file that is fetched, so that nothing need be fetched."""
    folder = tmp_path_factory.mktemp("copy") / "recipes"
    shutil.copytree(RECIPES, folder, ignore=shutil.ignore_patterns("fetched", "__pycache__"))
    for wheel in fetch_models.read_manifest(RECIPES / "models.toml"):
        for file in wheel.files:
            (folder / "fetched" / file.to).parent.mkdir(parents=True, exist_ok=True)
            (folder / "fetched" / file.to).write_bytes(b"\x08\x08")  # as an ONNX file begins
    return folder


def load(folder: Path, name: str) -> Recipe:
    """A recipe of the copy by its name."""
    path = next(folder.rglob(f"{name}.yaml"))
    return next(iter(load_recipes([path])))


@pytest.mark.parametrize("name", NAMES + IMPOSSIBLE)
def test_a_recipe_is_valid_and_called_as_its_file(copy: Path, name: str) -> None:
    recipe = load(copy, name)
    assert recipe.name == name
    least = {"fp32"} if name in IMPOSSIBLE else {"fp32", "fp16"}
    assert least <= recipe.precisions.keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_has_a_tolerance(copy: Path, name: str) -> None:
    recipe = load(copy, name)
    assert recipe.verify is not None
    assert all(recipe.verify.tolerance[precision] for precision in recipe.precisions)


@pytest.mark.parametrize("name", [*NAMES, *IMPOSSIBLE, "silero_vad_jit"])
def test_a_recipe_names_the_schema_that_editors_use(name: str) -> None:
    path = next(path for path in RECIPES.rglob(f"{name}.yaml"))
    comment = path.read_text("utf-8").splitlines()[0]
    assert comment.startswith("# yaml-language-server: $schema=")
    assert (path.parent / comment.partition("$schema=")[2]).resolve().is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_python_that_a_recipe_refers_to_is_there(copy: Path, name: str) -> None:
    recipe = load(copy, name)
    for reference in references(recipe):
        file, _, function = reference.rpartition(":")
        defined = ast.parse((recipe.folder / file).read_text("utf-8")).body
        kinds = (ast.FunctionDef, ast.ClassDef)
        assert function in {node.name for node in defined if isinstance(node, kinds)}, reference


@pytest.mark.parametrize("name", [*NAMES, *IMPOSSIBLE])
def test_what_a_recipe_fetches_is_pinned_for_it(copy: Path, name: str, fetch_models: Any) -> None:
    recipe = load(copy, name)
    source = recipe.source
    match source:
        case TorchSource():
            used = source.weights or ""
        case _:
            used = source.file
    if "fetched/" in used:
        manifest = fetch_models.read_manifest(RECIPES / "models.toml")
        pinned = [f.to for wheel in fetch_models.select(manifest, [name]) for f in wheel.files]
        assert used.rpartition("fetched/")[2] in pinned
    else:
        assert name == "digits-cnn"
        assert not isinstance(source, OnnxSource)


def test_a_torchscript_archive_is_refused_with_what_to_give_instead(fetch_models: Any) -> None:
    need_fetched(fetch_models, "silero_vad_jit")
    with pytest.raises(RecipeError) as caught:
        load(RECIPES, "silero_vad_jit")
    assert "model.exported_program: '../fetched/silero_vad.jit' is a TorchScript archive" in str(
        caught.value
    )
    assert "hint: give model.torch the factory of the nn.Module" in str(caught.value)


@pytest.mark.parametrize("name", [*NAMES, *IMPOSSIBLE, "silero_vad_jit"])
def test_the_table_of_recipes_has_a_row_for_each(name: str) -> None:
    assert f"\n| `{name}` |" in (RECIPES / "README.md").read_text("utf-8")


def references(recipe: Recipe) -> Iterator[str]:
    """Each "file.py:name" in a recipe."""
    assert recipe.verify is not None
    options: list[JSONValue] = [step.options for step in recipe.surgery]
    options += [recipe.verify.options, recipe.verify.dataset.options]
    if isinstance(recipe.source, TorchSource):
        options.append(recipe.source.factory)
    while options:
        match options.pop():
            case str(text) if ".py:" in text:
                yield text
            case dict(mapping):
                options += mapping.values()
            case list(items):
                options += items
