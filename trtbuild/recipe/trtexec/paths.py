"""The files that a command line names, which a recipe names relative to itself."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

from trtbuild.recipe.trtexec.made import Made

_LISTS = ("build.plugins.static", "build.plugins.dynamic", "build.plugins.serialize")
_MAPPING = "benchmark.inputs.files"


def rebase(made: Made, folder: Path) -> None:
    """Name files as they are found from the recipe's folder; they are given from this one."""

    def moved(path: str) -> str:
        # C:/net.onnx has its place on another machine.
        absolute = Path(path).is_absolute() or PureWindowsPath(path).is_absolute()
        return path if not path or absolute else os.path.relpath(path, folder)

    if "model.onnx" in made.values:
        made.values["model.onnx"] = moved(made.values["model.onnx"])
    for key in _LISTS:
        if key in made.values:
            made.values[key] = list(map(moved, made.values[key]))
    if _MAPPING in made.values:
        files = made.values[_MAPPING]
        made.values[_MAPPING] = {name: moved(path) for name, path in files.items()}
    made.types.table = moved(made.types.table)
