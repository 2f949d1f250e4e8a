"""Says without running anything whether an ONNX model's data files can be had."""

from __future__ import annotations

from trtbuild.errors import RecipeError, StageError
from trtbuild.recipe.model import OnnxSource, Recipe


def check_external_data(recipe: Recipe) -> None:
    """Raise a RecipeError where a data file of the model is missing or outside of its folder.

    It parses the model, which a run does only once for each content.
    """
    if not isinstance(recipe.source, OnnxSource):
        return
    from trtbuild.model.onnx_file import external_files

    path = recipe.folder / recipe.source.file
    place = recipe.where("model", "onnx")
    try:
        missing = [name for name in external_files(path) if not (path.parent / name).is_file()]
    except StageError as error:
        remedy = f"\n  hint: {error.hint}" if error.hint else ""
        raise RecipeError((f"{place}: {error.what}{remedy}",)) from error
    if missing:
        text = f"the model's data is missing: there is no {path.parent / missing[0]}"
        hint = "an ONNX file with external data needs its data files beside it: copy them too"
        raise RecipeError((f"{place}: {text}\n  hint: {hint}",))
