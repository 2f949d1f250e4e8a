"""The recipe's inputs as options of stages, under their names before surgery and after it."""

from __future__ import annotations

from typing import Any

from trtbuild.recipe.model import Benchmark, Input, Options, Recipe


def input_options(recipe: Recipe) -> list[Any]:
    """Each input under its own name, as JSON."""
    names = ("name", "dtype", "min", "opt", "max", "dims", "range")
    return [
        {**{name: _plain(item, name) for name in names}, **_values(item)} for item in recipe.inputs
    ]


def profile_options(item: Input) -> dict[str, Any]:
    """What the builder tunes for; of integers also the values, since those can decide shapes."""
    names = ("name", "dtype", "min", "opt", "max", *(("range",) if "int" in item.dtype else ()))
    return {**{name: _plain(item, name) for name in names}, **_values(item)}


def renames_of(recipe: Recipe) -> dict[str, Any]:
    """What surgery's rename steps, one after the other, make of the names of tensors."""
    names: dict[str, Any] = {}
    for step in recipe.surgery:
        tensors = step.options.get("tensors") if step.op == "rename" else None
        if isinstance(tensors, dict):
            fresh = {old: new for old, new in tensors.items() if old not in names.values()}
            names = {old: tensors.get(new, new) for old, new in names.items()} | fresh
    return names


def after_surgery(recipe: Recipe, inputs: list[Any]) -> list[Any]:
    """The inputs under the names that they have in the rewritten graph."""
    names = renames_of(recipe)
    return [{**item, "name": names.get(item["name"], item["name"])} for item in inputs]


def profiles_after_surgery(recipe: Recipe) -> Options:
    """The optimization profiles under the names that inputs have in the rewritten graph."""
    names = renames_of(recipe)
    profiles: Any = recipe.build.options.get("profiles", ())
    renamed: list[Any] = [{names.get(n, n): v for n, v in shapes.items()} for shapes in profiles]
    return {"profiles": renamed} if renamed else {}


def points_after_surgery(recipe: Recipe, benchmark: Benchmark) -> Options:
    """The points under the names that the engine has, where surgery renames inputs."""
    names = renames_of(recipe)
    if not any(item.name in names for item in recipe.inputs):
        return {}
    points: Any = benchmark.options["points"]
    renamed: list[Any] = [
        {**point, "shapes": {names.get(n, n): shape for n, shape in point["shapes"].items()}}
        for point in points
    ]
    return {"points": renamed, "renames": names}


def _values(item: Input) -> dict[str, Any]:
    """Where there are none they are no part of an action."""
    return {} if item.values is None else {"values": item.values.as_options()}


def _plain(item: Input, name: str) -> Any:
    value = getattr(item, name)
    return list(value) if isinstance(value, tuple) else value
