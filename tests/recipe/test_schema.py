"""The schema is the one source: it documents every key, and the code agrees with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.recipe.conftest import FULL, SMALL
from trtbuild.recipe import build, precision_section, raw
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.reference import resolved
from trtbuild.recipe.schema import document, find_schema, schema, schema_text, validation_key
from trtbuild.recipe.yaml import parse

REPOSITORY = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((REPOSITORY / "schemas/recipe.schema.json").read_text())
DEFS = SCHEMA["$defs"]


def mappings(rules: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the schema that lists keys, with its path."""
    if isinstance(rules, dict):
        if "properties" in rules and not path.endswith((".if", ".else")):
            yield path, rules
        for name, inner in rules.items():
            yield from mappings(inner, f"{path}.{name}")
    elif isinstance(rules, list):
        for inner in rules:
            yield from mappings(inner, path)


MAPPINGS = dict(mappings(SCHEMA, "recipe"))
KEYS = [
    (f"{path}.{name}", key)
    for path, rules in MAPPINGS.items()
    for name, key in rules["properties"].items()
]


def test_only_verify_has_random_data_by_default() -> None:
    datasets = {path: key for path, key in KEYS if path.endswith(".dataset")}
    defaults = {path.split(".")[2]: key.get("default") for path, key in datasets.items()}
    assert defaults == {"calibration": None, "verify": {"random": {"seed": 0}}}
    rows = [line for line in document().splitlines() if line.startswith("| `dataset`")]
    assert ["`{random: {seed: 0}}`" in row for row in rows] == [False, True]


def test_the_reference_says_both_bounds_of_a_number_that_must_be_above_one() -> None:
    (row,) = (line for line in document().splitlines() if line.startswith("| `percentile`"))
    assert "| number, above 50, at most 100 |" in row


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert schema() == SCHEMA
    assert json.loads(schema_text()) == SCHEMA


@pytest.mark.parametrize("path", MAPPINGS)
def test_a_mapping_takes_no_other_keys(path: str) -> None:
    assert MAPPINGS[path]["additionalProperties"] is False


@pytest.mark.parametrize(("path", "key"), KEYS, ids=[path for path, _ in KEYS])
def test_a_key_has_a_meaning_and_examples_that_are_valid(path: str, key: dict[str, Any]) -> None:
    rules = resolved(key, DEFS)
    assert rules["description"].endswith(".")
    assert rules["examples"]
    validator = jsonschema.Draft202012Validator({**rules, "$defs": DEFS})
    for example in rules["examples"]:
        validator.validate(example)
    if "default" in rules:
        validator.validate(rules["default"])


def test_the_recipes_of_these_tests_are_valid_for_an_editor() -> None:
    for text in (SMALL, FULL):
        jsonschema.Draft202012Validator(SCHEMA).validate(parse(text.encode()).data)


def test_an_editor_is_told_of_an_unknown_operation_and_of_a_wrong_option() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for step in ({"op": "renam"}, {"op": "rename"}, {"hook": "a.py:b", "op": "rename"}, {}):
        assert not validator.is_valid({**parse(SMALL.encode()).data, "surgery": [step]})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("recipe", raw.RawRecipe),
        ("recipe.properties.model", raw.RawModel),
        ("recipe.$defs.torch", raw.RawTorch),
        ("recipe.$defs.exported_program", raw.RawFile),
        ("recipe.$defs.input", raw.RawInput),
        ("recipe.$defs.precision_options", raw.RawPrecision),
        ("recipe.$defs.verify", raw.RawVerify),
        ("recipe.$defs.dataset", raw.RawDataset),
        ("recipe.$defs.dataset.properties.random", raw.RawRandom),
        ("recipe.$defs.benchmark", raw.RawBenchmark),
    ],
)
def test_the_types_name_the_keys_of_the_schema(path: str, typed: type) -> None:
    assert set(typed.__annotations__) == set(MAPPINGS[path]["properties"])


def test_the_types_of_steps_and_metrics_name_the_keys_of_all_their_kinds() -> None:
    steps = [rules for path, rules in MAPPINGS.items() if ".surgery_" in path]
    metrics = [rules for path, rules in MAPPINGS.items() if ".metric_" in path]
    assert set().union(*(rules["properties"] for rules in steps)) == set(
        raw.RawStep.__annotations__
    )
    assert set().union(*(rules["properties"] for rules in metrics)) == set(
        raw.RawMetric.__annotations__
    )


def test_the_loader_fills_in_the_defaults_of_the_schema(folder: Path) -> None:
    def defaults(name: str) -> dict[str, Any]:
        keys = {key: resolved(rules, DEFS) for key, rules in DEFS[name]["properties"].items()}
        return {key: rules["default"] for key, rules in keys.items() if "default" in rules}

    torch = 'model: {torch: {factory: "files/net.py:make_net"}}\n'
    text = SMALL.replace("model: {onnx: files/model.onnx}\n", torch)
    sections = "precisions: [fp16]\nbuild: {}\nverify: {}\nbenchmark: {}\n"
    implicit, explicit = Path("implicit.yaml"), Path("explicit.yaml")
    implicit.write_text(text + sections)
    written = {
        **parse(text.encode()).data,  # type: ignore[dict-item]
        "model": {"torch": {"factory": "files/net.py:make_net", **defaults("torch")}},
        "surgery": SCHEMA["properties"]["surgery"]["default"],
        "precisions": {
            "fp16": {
                option: default
                for option, default in defaults("precision_options").items()
                if option in precision_section.DEFAULTS["fp16"]
            }
        },
        "build": defaults("build"),
        "verify": defaults("verify"),
        "benchmark": defaults("benchmark"),
    }
    explicit.write_text(json.dumps(written))
    first, second = load_recipes([implicit])[0], load_recipes([explicit.rename("copy.yaml")])[0]
    assert first == second
    assert SCHEMA["properties"]["precisions"]["default"] == build.PRECISIONS
    assert DEFS["verify"]["properties"]["dataset"]["default"] == build.RANDOM


def test_the_documentation_is_made_from_the_schema() -> None:
    assert (REPOSITORY / "docs/recipe.md").read_text() == document()


def test_the_documentation_has_a_row_for_every_key() -> None:
    text = document()
    for path, _ in KEYS:
        assert f"| `{path.rpartition('.')[2]}` |" in text
    # A dataset is described where verify takes one, and again where calibration does; a module
    # where it is the model, and again where it is measured beside one.
    # Values that decide shapes are those of an input, and again those of a profile.
    twice = tuple(f"recipe.$defs.{name}." for name in ("dataset", "torch", "input_values"))
    again = [path for path, _ in KEYS if path.startswith(twice)]
    assert text.count("\n| `") == len(KEYS) + len(again)


def test_the_schema_is_found_in_the_checkout() -> None:
    assert find_schema() == REPOSITORY / "schemas/recipe.schema.json"


def test_the_schema_is_found_in_an_installed_package(tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "trtbuild", tmp_path / "trtbuild", ignore=shutil.ignore_patterns("__pycache__")
    )
    code = "from trtbuild.recipe.schema import find_schema; print(find_schema())"
    arguments = [sys.executable, "-c", code]
    missing = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
    assert "UsageError" in missing.stderr
    assert "recipe.schema.json is missing from this installation" in missing.stderr
    shutil.copytree(REPOSITORY / "schemas", tmp_path / "trtbuild/_schemas")
    found = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(tmp_path / "trtbuild/_schemas/recipe.schema.json")


def test_what_is_remembered_depends_on_the_schema_and_on_the_recipe() -> None:
    assert validation_key(b"a") != validation_key(b"b")
    code = "from trtbuild.recipe.schema import validation_key; print(validation_key(b'a'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == validation_key(b"a")
    assert len(validation_key(b"a")) == 64
