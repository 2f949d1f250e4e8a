"""What a benchmark is asked to measure: points, and the values of the inputs at each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.benchmark.inputs import input_from_file, load_inputs
from trtbuild.errors import StageError
from trtbuild.recipe.model import Shape
from trtbuild.recipe.problems import did_you_mean, listed
from trtbuild.trt.engine import Engine, require_shapes
from trtbuild.trt.tensors import Array

FILE_ROLE = "input."
"""Before an input's name: the role of the file with its values."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The stage's options `points`, `inputs` and `seed`, its files, and the engine they are for."""

    options: Any
    files: Mapping[str, Path]  # of all roles
    engine: Engine

    def points(self, profile: int) -> list[tuple[str, dict[str, Shape]]]:
        """Names and shapes: as `points` says, else the recipe's opt shapes.

        An input that has no shape there has the opt shape of the optimization profile. Raises
        StageError for shapes outside that profile, for files that do not have these shapes, and for
        shapes and files of inputs that the engine lacks: before anything is measured.
        """
        given, files = self._given(), self._files()
        self._require_known((*files, *(key for _, shapes in given for key in shapes)))
        ranges = self.engine.ranges(profile)
        found = [
            (name, {key: shapes.get(key, opt) for key, (_, opt, _) in ranges.items()})
            for name, shapes in given
        ]
        for name, shapes in found:
            require_shapes(self.engine, shapes, profile, f" of '{name}'")
            for tensor in self.engine.inputs:
                if tensor.name in files:
                    input_from_file(files[tensor.name], tensor, shapes[tensor.name])
        return found

    def values(self, shapes: dict[str, Shape], profile: int) -> dict[str, Array]:
        """The values of every input at these shapes; raises StageError as load_inputs."""
        spans = {
            item["name"]: tuple(item["range"])
            for item in self.options.get("inputs") or ()
            if item.get("range")
        }
        seed = self.options.get("seed", 0)
        return load_inputs(self.engine, shapes, self._files(), seed, spans, profile)

    def _given(self) -> list[tuple[str, dict[str, Shape]]]:
        if points := self.options.get("points"):
            return [
                (point["name"], {name: tuple(shape) for name, shape in point["shapes"].items()})
                for point in points
            ]
        inputs = self.options.get("inputs") or ()
        return [("opt", {item["name"]: tuple(item["opt"]) for item in inputs})]

    def _files(self) -> dict[str, Path]:
        return {
            role.removeprefix(FILE_ROLE): path
            for role, path in self.files.items()
            if role.startswith(FILE_ROLE)
        }

    def _require_known(self, given: Iterable[str]) -> None:
        names = [tensor.name for tensor in self.engine.inputs]
        # Surgery may have removed inputs of the recipe.
        known = {*names, *(item["name"] for item in self.options.get("inputs") or ())}
        unknown = [name for name in dict.fromkeys(given) if name not in known]
        if unknown:
            raise StageError(
                f"the engine has no input {listed(unknown)}{did_you_mean(unknown[0], names)}",
                where=str(self.engine.path),
                hint=f"it takes {listed(names)}",
            )
