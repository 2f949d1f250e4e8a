"""The recipe that README shows does what README says."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.project import Project
from tests.recipes.conftest import RECIPES
from trtbuild.recipe.load import load_recipes

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tensorrt_rtx", reason="the recipe builds with TensorRT-RTX")

README = (RECIPES.parent / "README.md").read_text("utf-8")
WHOLE, PART = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def test_the_recipe_of_the_readme_runs_with_what_is_put_over_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in ("models", "weights", "data"):
        shutil.copytree(RECIPES / name, project.folder / name)
    (whole,) = load_recipes([project.write("whole.yaml", WHOLE)])
    assert list(whole.precisions) == ["fp32", "fp16"]
    recipe = {**yaml.safe_load(WHOLE), **yaml.safe_load(PART)}
    project.write("both.yaml", yaml.safe_dump(recipe, sort_keys=False))
    done = project.trtbuild("run", "both.yaml", "--json")
    assert done.code == 0, done.out + done.err
    verdicts = done.verdicts()
    assert {verdicts[f"verify:{name}"] for name in ("fp32", "fp16", "int8")} == {"EXECUTED"}
