from __future__ import annotations

import pytest

from trtbuild.benchmark.settings import Settings, settings_of
from trtbuild.errors import StageError


def test_options_become_settings_and_the_rest_has_its_default() -> None:
    settings = settings_of({"warmup_ms": 50, "percentiles": [99, 99.9], "backend": "tensorrt_rtx"})
    assert settings == Settings(warmup_ms=50, percentiles=(99.0, 99.9))


def test_settings_written_into_a_result_read_back_as_they_were() -> None:
    settings = Settings(streams=4, cuda_graph="capture", percentiles=(50.0,))
    assert settings_of(settings.as_options()) == settings


def test_the_four_settings_that_trtexec_turned_round_are_always_written() -> None:
    written = Settings().as_options()
    assert {"transfers", "spin_wait", "cuda_graph", "layer_profile"} <= written.keys()


def test_every_impossible_value_is_named_in_one_message() -> None:
    with pytest.raises(StageError) as caught:
        Settings(streams=0, allocation="heap", percentiles=(101.0,), persistent_cache_ratio=2)
    message = str(caught.value)
    for part in ("streams is 0", "allocation is 'heap'", "[101.0]", "persistent_cache_ratio is 2"):
        assert part in message


def test_overlap_is_two_queries_in_flight() -> None:
    assert Settings().depth == 2
    assert Settings(overlap=False).depth == 1
