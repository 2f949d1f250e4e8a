"""Which optimization profile a case runs in; tests/gpu has the rest of the runtime."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from trtbuild.trt.runtime import Runner
from trtbuild.trt.tensors import Tensor

RANGES = [((1, 4), (2, 4), (4, 4)), ((4, 4), (6, 4), (8, 4))]


def runner() -> Runner:
    """A runner of an engine with two profiles."""
    x = Tensor("x", True, "float32", (-1, 4), on_host=False)
    engine: Any = SimpleNamespace(
        inputs=(x,), profiles=2, ranges=lambda profile: {"x": RANGES[profile]}
    )
    stream: Any = None
    return Runner(engine, stream)


def test_cases_of_the_same_shapes_take_turns_among_the_profiles_that_take_them() -> None:
    found = runner()
    sizes = (1, 4, 8, 4, 4, 2, 9)
    profiles = [found._profile({"x": np.zeros((size, 4), np.float32)}) for size in sizes]
    assert profiles == [0, 0, 1, 1, 0, 0, 0]  # of 9 the first says what it would take
