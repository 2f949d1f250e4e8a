from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.benchmark.documents import point, result
from trtbuild.benchmark.accept import accept, find_accepted, measured_settings
from trtbuild.benchmark.settings import Settings

SCHEMAS = Path(__file__).parents[2] / "schemas"


def test_an_accepted_result_is_found_by_variant_gpu_and_settings() -> None:
    document = result()
    accepted = accept(None, "digits fp16", document)
    settings = measured_settings(document)
    found = find_accepted(accepted, "digits fp16", "NVIDIA Test", settings)
    assert found is not None
    assert found["engine"] == {
        "digest": document["engine"]["digest"],
        "backend": "tensorrt_rtx",
        "version": "1.6.1.120",
    }
    assert find_accepted(accepted, "digits fp32", "NVIDIA Test", settings) is None
    assert find_accepted(accepted, "digits fp16", "NVIDIA Other", settings) is None
    other = settings | {"transfers": False}
    assert find_accepted(accepted, "digits fp16", "NVIDIA Test", other) is None


def test_a_later_result_takes_the_place_of_the_one_before_it() -> None:
    first = accept(None, "digits fp16", result(point(compute=1.0)))
    second: Any = accept(first, "digits fp16", result(point(compute=2.0)))
    (entry,) = second["accepted"]
    assert entry["points"][0]["metrics"]["gpu_compute"]["median"] > 2.0


def test_results_of_other_variants_stay_and_are_sorted() -> None:
    accepted: Any = accept(accept(None, "b", result()), "a", result())
    assert [entry["variant"] for entry in accepted["accepted"]] == ["a", "b"]


def test_what_is_only_reported_is_no_other_setting() -> None:
    plain = result()
    detailed = result(settings=Settings(layer_profile=True, percentiles=(50.0,)).as_options())
    assert measured_settings(plain) == measured_settings(detailed)


def test_a_file_of_a_newer_format_is_refused() -> None:
    with pytest.raises(ValueError, match="have format 2, this trtbuild reads 1"):
        accept({"format": 2, "accepted": []}, "a", result())


def test_the_file_is_as_its_schema_says() -> None:
    schema = json.loads((SCHEMAS / "accepted.schema.json").read_text())
    jsonschema.validate(accept(None, "a", result(), engine_path="e.plan"), schema)
