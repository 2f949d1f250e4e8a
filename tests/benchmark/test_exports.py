"""trtexec's files: the keys and their order are what other people's scripts read."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np

from trtbuild.benchmark.exports import outputs_json, profile_json, times_json
from trtbuild.benchmark.layers import LayerTimes
from trtbuild.benchmark.trace import trace_of


def test_times_have_trtexecs_keys_and_ends() -> None:
    trace = trace_of([(0, 1.0, 1.5, 0.5, 0.25, 2.0, 3.0, 5.5, 0.125)])
    assert json.loads(times_json(trace)) == [
        {
            "startEnqMs": 1.0,
            "endEnqMs": 1.5,
            "startH2dMs": 0.5,
            "endH2dMs": 0.75,
            "startComputeMs": 2.0,
            "endComputeMs": 5.0,
            "startD2hMs": 5.5,
            "endD2hMs": 5.625,
            "h2dMs": 0.25,
            "computeMs": 3.0,
            "d2hMs": 0.125,
            "latencyMs": 3.375,
        }
    ]


def test_a_profile_begins_with_the_count_and_lists_layers_as_they_ran() -> None:
    layers = LayerTimes()
    for conv, relu in ((3.0, 1.0), (5.0, 1.0), (4.0, 1.0)):
        layers.report("conv", conv)
        layers.report("relu", relu)
    assert json.loads(profile_json(layers)) == [
        {"count": 3},
        {"name": "conv", "timeMs": 12.0, "averageMs": 4.0, "medianMs": 4.0, "percentage": 80.0},
        {"name": "relu", "timeMs": 3.0, "averageMs": 1.0, "medianMs": 1.0, "percentage": 20.0},
    ]


def test_outputs_have_dimensions_with_crosses_and_flat_values() -> None:
    outputs = {
        "logits": np.array([[0.1, -2.5, 3.0]], np.float32),
        "half": np.array([0.5], ml_dtypes.bfloat16),
        "mask": np.array([[True], [False]]),
        "count": np.array(7, np.int64),
    }
    assert json.loads(outputs_json(outputs)) == [
        {"name": "logits", "dimensions": "1x3", "values": [0.1, -2.5, 3.0]},
        {"name": "half", "dimensions": "1", "values": [0.5]},
        {"name": "mask", "dimensions": "2x1", "values": [1, 0]},
        {"name": "count", "dimensions": "", "values": [7]},
    ]


def test_values_that_are_no_numbers_are_still_written() -> None:
    text = outputs_json({"x": np.array([np.nan, np.inf], np.float32)})
    assert '"values": [NaN, Infinity]' in text
