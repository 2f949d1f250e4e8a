"""Loads recipes: read, compared with the schema, checked, and made into frozen values."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from trtbuild.errors import RecipeError
from trtbuild.recipe.build import build_recipe
from trtbuild.recipe.checks import Checked, check
from trtbuild.recipe.model import JSONValue, Recipe
from trtbuild.recipe.problems import Key, Problem, Report, did_you_mean
from trtbuild.recipe.raw import RawRecipe
from trtbuild.recipe.schema import FORMAT, ValidationMemo, validation_key
from trtbuild.recipe.yaml import Text, parse

_GONE = object()

LARGEST = 4 * 1024**2
"""Bytes of a recipe. What is larger is a model or data, given by mistake."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What became of one file: the recipe in it, or what is wrong with it."""

    path: Path
    text: Text
    problems: tuple[Problem, ...]
    recipe: Recipe | None = None

    def reports(self) -> list[Report]:
        return [problem.report(self.path, self.text.positions) for problem in self.problems]


def load_recipes(
    paths: Sequence[Path], validated: ValidationMemo | None = None
) -> tuple[Recipe, ...]:
    """The recipes in some files.

    What `validated` knows is not compared with the schema again. Raises one RecipeError with all
    the problems of all the recipes, sorted by file, line and column.
    """
    loaded = [_load(path, validated) for path in paths]
    reports = [report for one in loaded for report in one.reports()]
    reports += _same_names(loaded)
    if reports:
        ordered = sorted(reports, key=lambda report: report.order)
        raise RecipeError(tuple(dict.fromkeys(report.text for report in ordered)))
    return tuple(one.recipe for one in loaded if one.recipe is not None)


def _load(path: Path, validated: ValidationMemo | None) -> _Loaded:
    content = _content(path)
    if isinstance(content, Problem):
        return _Loaded(path, Text(), (content,))
    text = parse(content)
    problems = list(text.problems)
    if text.data is not None:
        problems += _version(text.data) or _examined(text, content, path, validated)
    if problems:
        return _Loaded(path, text, tuple(problems))
    recipe = build_recipe(cast("RawRecipe", text.data), path, text.positions)
    return _Loaded(path, text, (), recipe)


def _content(path: Path) -> bytes | Problem:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            inside = sorted(p.name for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
            hint = f"give a file in it, such as {path / inside[0]}" if inside else ""
            return Problem((), "this is a folder, not a recipe", hint)
        if not stat.S_ISREG(status.st_mode):
            return Problem((), "this is not a regular file")
        if status.st_size > LARGEST:
            text = f"{status.st_size / 1024**2:.0f} MiB are too large for a recipe"
            return Problem((), text, "a model is named in a recipe, under `model`")
        return path.read_bytes()
    except FileNotFoundError:
        return Problem((), f"no such file{_near(path)}")
    except OSError as error:
        return Problem((), f"cannot be read: {error.strerror}")
    except ValueError:
        return Problem((), "a path cannot hold a null character")


def _near(path: Path) -> str:
    try:
        near = did_you_mean(path.name, [file.name for file in path.parent.iterdir()])
    except OSError:
        return f"; there is no folder {path.parent} either"
    return near


def _version(data: dict[str, JSONValue]) -> list[Problem]:
    """Whether the recipe is of another format: checked first, since all else may differ then."""
    version = data.get("trtbuild", FORMAT)
    number = isinstance(version, int | float) and not isinstance(version, bool)
    if not number or version == FORMAT or cast("float", version) < FORMAT:
        return []
    return [
        Problem(
            ("trtbuild",),
            f"this recipe needs a newer trtbuild: its format is {version}, and this one reads "
            f"{FORMAT}",
            "pip install --upgrade trtbuild",
        )
    ]


def _examined(
    text: Text, content: bytes, path: Path, validated: ValidationMemo | None
) -> list[Problem]:
    """What is wrong with a document beyond its YAML."""
    key = validation_key(content)
    problems: list[Problem] = []
    if validated is None or not validated.known(key):
        problems = _compared(text)
        if validated is not None and not problems and not text.problems:
            validated.add(key)
    spoiled = {p.spoils for p in (*text.problems, *problems) if p.spoils is not None}
    left = without(text.data, spoiled) if spoiled else text.data
    raw = cast("RawRecipe", left)
    return problems + check(Checked(raw, text.data, path.parent, validated))


def _compared(text: Text) -> list[Problem]:
    """The differences from the schema, but for values that YAML's own problems explain."""
    from trtbuild.recipe.validate import validate  # jsonschema is slow to import

    spoiled = [p.spoils for p in text.problems if p.spoils is not None]
    return [
        problem
        for problem in validate(text.data)
        if not any(problem.key[: len(key)] == key for key in spoiled)
    ]


def without(value: JSONValue, spoiled: Collection[Key]) -> JSONValue:
    """A value without what is spoiled in it: keys go, and a list of plain items goes as a whole.

    In a list of mappings an empty one stands for what is spoiled, so that the others keep their
    places.
    """
    kept = _kept(value, spoiled, ())
    return {} if kept is _GONE else cast("JSONValue", kept)


def _kept(value: JSONValue, spoiled: Collection[Key], key: Key) -> object:
    if key in spoiled:
        return _GONE
    if isinstance(value, dict):
        items = {name: _kept(item, spoiled, (*key, name)) for name, item in value.items()}
        return {name: item for name, item in items.items() if item is not _GONE}
    if isinstance(value, list):
        found = [_kept(item, spoiled, (*key, index)) for index, item in enumerate(value)]
        if _GONE in found and not any(isinstance(item, dict) for item in found):
            return _GONE
        return [{} if item is _GONE else item for item in found]
    return value


def _same_names(loaded: Sequence[_Loaded]) -> list[Report]:
    """Recipes of one name in one folder, which would write to the same place."""
    named: dict[str, list[_Loaded]] = {}
    reports = []
    for one in loaded:
        name = (one.text.data or {}).get("name")
        if not isinstance(name, str):
            continue
        others = named.setdefault(name, [])
        other = next((other for other in others if _folder(other) == _folder(one)), None)
        others.append(one)
        if other is not None:
            reports.append(_same_name(name, one, other).report(one.path, one.text.positions))
    return reports


def _folder(loaded: _Loaded) -> str:
    return os.path.realpath(loaded.path.parent)


def _same_name(name: str, one: _Loaded, other: _Loaded) -> Problem:
    if os.path.realpath(one.path) == os.path.realpath(other.path):
        return Problem(("name",), f"this recipe is given twice, also as {other.path}")
    line = other.text.positions[("name",)].line
    return Problem(
        ("name",),
        f"'{name}' is also the name of {other.path}:{line}",
        "give each recipe of a folder a name of its own",
    )
