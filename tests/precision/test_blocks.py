"""int4 by blocks: each method against its definition written down on the data itself."""

from __future__ import annotations

import numpy as np
import pytest

from trtbuild.precision.blocks import Blocks, Method, decoded, quantize_matrices
from trtbuild.precision.moments import Moments

BLOCK, CHANNELS, COLUMNS = 16, 64, 12


def activations() -> np.ndarray:
    """Rows in which a few channels are much larger than the others."""
    random = np.random.default_rng(3)
    values = random.standard_normal((200, CHANNELS))
    values[:, [3, 20, 41]] *= 30
    return values.astype(np.float32)


def weight(seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_t(4, size=(CHANNELS, COLUMNS))
    return (values * 0.1).astype(np.float32)


def moments() -> Moments:
    found = Moments(np.zeros((CHANNELS, CHANNELS)), np.zeros(CHANNELS))
    for part in np.array_split(activations(), 5):
        found.add(part)
    return found


def round_block(values: np.ndarray, shrink: float = 1.0) -> np.ndarray:
    """What one block of one column becomes: 16 levels, the largest magnitude at 7."""
    scale = np.float32(np.abs(values).max() * shrink / 7)
    return np.clip(np.rint(values / scale), -8, 7) * scale


def by_blocks(values: np.ndarray, shrinks: dict[tuple[int, int], float]) -> np.ndarray:
    result = np.empty_like(values)
    for start in range(0, CHANNELS, BLOCK):
        for column in range(values.shape[1]):
            part = values[start : start + BLOCK, column]
            shrink = shrinks.get((start, column), 1.0)
            result[start : start + BLOCK, column] = round_block(part, shrink)
    return result


def best_alpha(weights: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """AWQ's search: the power of mean(|x|) whose scaling leaves the least error in the product."""
    x = activations().astype(np.float64)
    mean = np.abs(x).mean(axis=0)
    errors = {}
    for alpha in np.linspace(0, 1, 21):
        scales = mean**alpha
        scales = (scales / np.sqrt(scales.max() * scales.min())).astype(np.float32)
        errors[alpha] = sum(
            np.square(x @ (by_blocks(w * scales[:, None], {}) / scales[:, None] - w)).sum()
            for w in weights
        )
    alpha = min(errors, key=errors.__getitem__)
    scales = mean**alpha
    return alpha, scales / np.sqrt(scales.max() * scales.min())


def best_shrinks(values: np.ndarray, x: np.ndarray) -> dict[tuple[int, int], float]:
    """auto_clip: for each block and column the scale whose part of the product is nearest."""
    found = {}
    for start in range(0, CHANNELS, BLOCK):
        part = x[:, start : start + BLOCK].astype(np.float64)
        for column in range(values.shape[1]):
            block = values[start : start + BLOCK, column]
            shrinks = [1 - step / 20 for step in range(11)]
            errors = [np.square(part @ (round_block(block, s) - block)).sum() for s in shrinks]
            found[start, column] = shrinks[int(np.argmin(errors))]
    return found


def found(method: Method, *weights: np.ndarray) -> tuple[list[np.ndarray], np.ndarray | None]:
    result = quantize_matrices(weights, BLOCK, method, moments())
    for matrix in result.matrices:
        assert_int4(matrix)
    return [decoded(matrix) for matrix in result.matrices], result.smoothing


def assert_int4(matrix: Blocks) -> None:
    assert matrix.codes.min() >= -8
    assert matrix.codes.max() <= 7
    assert matrix.scales.shape == (CHANNELS // BLOCK, COLUMNS)


def near(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal, but for values that lie between two codes."""
    differ = ~np.isclose(got, expected, rtol=1e-4, atol=1e-6)
    assert differ.mean() < 0.01


def test_rtn_rounds_each_block_to_16_levels() -> None:
    (got,), smoothing = found("rtn", weight())
    assert smoothing is None
    near(got, by_blocks(weight(), {}))


def test_awq_clip_shrinks_the_scale_of_each_block_as_its_part_of_the_product_says() -> None:
    (got,), smoothing = found("awq_clip", weight())
    assert smoothing is None
    shrinks = best_shrinks(weight(), activations())
    assert len(set(shrinks.values())) > 3
    near(got, by_blocks(weight(), shrinks))


def test_awq_lite_scales_channels_by_the_power_that_leaves_the_least_error() -> None:
    weights = [weight(0), weight(1)]  # that read one activation share its scales
    alpha, scales = best_alpha(weights)
    assert 0.1 < alpha < 1
    got, smoothing = found("awq_lite", *weights)
    assert smoothing == pytest.approx(scales, rel=1e-3)
    for matrix, values in zip(got, weights, strict=True):
        near(matrix, by_blocks(values * scales[:, None].astype(np.float32), {}))


def test_awq_full_scales_and_then_clips() -> None:
    _, scales = best_alpha([weight()])
    (got,), smoothing = found("awq_full", weight())
    assert smoothing == pytest.approx(scales, rel=1e-3)
    scaled = (weight() * scales[:, None]).astype(np.float32)
    near(got, by_blocks(scaled, best_shrinks(scaled, activations() / scales)))
