"""Writes the recipe that does what a trtexec call did, with a comment for each thing to know."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.build_options import TITLES, value_at
from trtbuild.recipe.build_table import present
from trtbuild.recipe.check_build import wheres
from trtbuild.recipe.reference import flow
from trtbuild.recipe.trtexec.bench import without_model
from trtbuild.recipe.trtexec.made import Made
from trtbuild.recipe.trtexec.precision import calibration_of, precisions_of, with_io_types
from trtbuild.recipe.trtexec.read import PROGRAM_OF, Call

WIDTH = 100
LONGEST = 100
"""Characters of a recipe's name."""

_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


def recipe_text(call: Call, made: Made, name: str = "") -> str:
    """The recipe as YAML. Raises UsageError where no option names a model."""
    onnx = made.values.get("model.onnx")
    if not onnx:
        raise UsageError(
            "no option names a model: a recipe needs one",
            hint=without_model(call, made),
        )
    if name and not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a recipe",
            hint="letters, digits, '.', '_' and '-'; the first is a letter, a digit or '_'",
        )
    name = name or _name_of(onnx)
    notes = [note.replace("{name}", name) for note in dict.fromkeys(made.notes)]
    precisions = precisions_of(
        made.types, quantized=made.ports is not None and made.ports.quantized, notes=notes
    )
    if made.ports is not None:
        ports = (*made.ports.inputs, *made.ports.outputs)
        precisions = with_io_types(precisions, made.types, ports, notes)
    build = {"backend": made.backend, **_build(made, notes)}
    sections: dict[str, Any] = {
        "trtbuild": 1,
        "name": name,
        "model": {"onnx": onnx},
        "inputs": made.inputs,
        "outputs": made.values.get("outputs"),
        "precisions": precisions,
        "calibration": calibration_of(precisions, made.types, notes),
        "build": build,
    }
    if made.measured:
        sections["benchmark"] = _benchmark(made)
    return "\n".join([*_comments(call, notes), *_lines(sections)]) + "\n"


def _name_of(onnx: str) -> str:
    """A recipe's name for a model: umlauts and accents lose their marks."""
    plain = unicodedata.normalize("NFKD", PurePath(onnx).stem)
    text = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:LONGEST] or "model"


def _build(made: Made, notes: list[str]) -> dict[str, Any]:
    """The build section, without what no version of the backend has."""
    nested: dict[str, Any] = {}
    for key, value in made.values.items():
        if key.startswith("build."):
            _put(nested, key.split(".")[1:], value)
    for row, value in present(nested):
        refusing = [where for where in wheres(row, value) if where.never(made.backend)]
        if refusing:
            _remove(nested, row.path)
            why = f"{TITLES[made.backend]} {refusing[0].why}: {refusing[0].instead}"
            notes.append(f"build.{row.key}: {flow(value)} is left out: {why}")
        elif row.requires and value_at(nested, tuple(row.requires.split("."))) is None:
            _remove(nested, row.path)
            notes.append(f"build.{row.key} is left out: it does nothing without {row.requires}")
    return {key: value for key, value in nested.items() if value != {}}


def _benchmark(made: Made) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for key, value in made.values.items():
        if key.startswith("benchmark."):
            _put(section, key.split(".")[1:], value)
    return section


def _put(nested: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        nested = nested.setdefault(part, {})
    nested[path[-1]] = value


def _remove(nested: dict[str, Any], path: tuple[str, ...]) -> None:
    place = value_at(nested, path[:-1]) if path[:-1] else nested
    del place[path[-1]]


def _comments(call: Call, notes: list[str]) -> list[str]:
    lines = ["# yaml-language-server: $schema=recipe.schema.json"]
    program = PROGRAM_OF[call.backend]
    lines += _wrapped(f"{program} " + " ".join(map(str, call.options)), "# ", "#   ")
    for note in notes:
        lines += _wrapped(note, "# - ", "#   ")
    return lines


def _wrapped(text: str, first: str, further: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lines(sections: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in sections.items():
        if value is None:
            continue
        line = f"{key}: {flow(value)}"
        if not isinstance(value, dict) or (len(line) <= WIDTH and key != "inputs"):
            lines.append(line)
            continue
        lines.append(f"{key}:")
        lines += [f"  {flow(name)}: {flow(item)}" for name, item in value.items()]
    return lines
