"""Calibration: each method against a small implementation of its definition, as data streams."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from onnx import helper

from tests.precision.nets import make, weights
from trtbuild.errors import StageError
from trtbuild.model.inputs import Arrays
from trtbuild.precision.calibration import Method, calibrate
from trtbuild.precision.histogram import FINE, Histogram
from trtbuild.precision.thresholds import BINS, LEVELS, entropy, percentile


def distributions() -> dict[str, np.ndarray]:
    """What activations look like: symmetric, behind a ReLU, with heavy tails, bounded."""
    generator = np.random.default_rng(5)
    normal = generator.standard_normal(60_000)
    return {
        "normal": normal,
        "relu": np.maximum(normal, 0),
        "laplace": generator.laplace(size=60_000),
        "heavy": generator.standard_t(3, size=60_000),
        "uniform": generator.uniform(-2, 2, size=60_000),
    }


DISTRIBUTIONS = distributions()


def slow_divergences(counts: np.ndarray) -> np.ndarray:
    """Of each threshold from LEVELS bins on: pytorch-quantization, calib/histogram.py,
    _compute_amax_entropy, written down bin by bin.
    """
    counts = counts.copy()
    counts[0] = counts[1]
    divergences = []
    for end in range(LEVELS, len(counts) + 1):
        levels = np.digitize(np.arange(end), np.linspace(0, end, LEVELS + 1)) - 1
        inside = counts[:end].astype(np.float64)
        filled = inside > 0
        sums = np.bincount(levels, inside, LEVELS)
        widths = np.bincount(levels, filled, LEVELS)
        candidate = np.where(filled, sums[levels] / np.maximum(widths[levels], 1), 0.0)
        reference = inside.copy()
        reference[-1] += counts[end:].sum()
        p, q = reference / reference.sum(), candidate / candidate.sum()
        with np.errstate(divide="ignore"):
            divergences.append(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))
    return np.array(divergences)


def slow_entropy(counts: np.ndarray, largest: float) -> float:
    """The threshold with the least divergence, the last of equals."""
    divergences = slow_divergences(counts)
    last = len(divergences) - 1 - int(np.argmin(divergences[::-1]))
    return (last + LEVELS) / BINS * largest


def at_once(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Counts in BINS bins up to the largest magnitude, and that."""
    largest = float(np.abs(values).max())
    counts, _ = np.histogram(np.abs(values), bins=BINS, range=(0, largest))
    return counts, largest


def filled(values: np.ndarray, parts: int = 1) -> Histogram:
    histogram = Histogram()
    for part in np.array_split(values.astype(np.float32), parts):
        assert histogram.add(part)
    return histogram


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_finds_the_threshold_of_its_definition(name: str) -> None:
    histogram = filled(DISTRIBUTIONS[name])
    expected = slow_entropy(histogram.rebinned(BINS), histogram.largest)
    assert entropy(histogram) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_loses_what_a_search_over_all_values_at_once_loses(name: str) -> None:
    """Where few values fill a tail, thresholds far apart lose nearly the same: any is right."""
    values = DISTRIBUTIONS[name]
    counts, largest = at_once(values)
    divergences = slow_divergences(counts)
    place = round(entropy(filled(values)) / largest * BINS) - LEVELS
    assert divergences[place - 1 : place + 2].min() <= 1.02 * divergences.min()  # to a bin


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("share", [90.0, 99.9, 99.99])
def test_percentile_finds_the_quantile_of_the_magnitudes(name: str, share: float) -> None:
    values = DISTRIBUTIONS[name]
    expected = np.percentile(np.abs(values), share)
    assert percentile(filled(values), share) == pytest.approx(expected, rel=0.01)


def test_the_whole_range_is_the_hundredth_percentile() -> None:
    values = DISTRIBUTIONS["heavy"]
    assert percentile(filled(values), 100.0) == pytest.approx(np.abs(values).max())


def test_entropy_of_zeros_and_of_one_value_is_that_value() -> None:
    assert entropy(filled(np.zeros(10))) == 0
    assert entropy(filled(np.full(10, 3.0))) == 3


def test_a_histogram_counts_every_value_in_its_bin() -> None:
    values = DISTRIBUTIONS["heavy"].astype(np.float32)
    histogram = filled(values, parts=7)
    assert histogram.largest == np.abs(values).max()
    reach = len(histogram.counts) * histogram.width
    assert reach / 2 <= histogram.largest < reach
    expected, _ = np.histogram(np.abs(values), bins=FINE, range=(0, reach))
    np.testing.assert_array_equal(histogram.counts, expected)


@pytest.mark.parametrize("first", [0.0, 1e-30, 1e-3, 1e4], ids=["zeros", "tiny", "quiet", "loud"])
def test_a_histogram_is_the_same_however_the_values_come(first: float) -> None:
    values = DISTRIBUTIONS["heavy"].astype(np.float32)
    values[:1000] *= np.float32(first)
    once = filled(values)
    for others in (filled(values, parts=50), filled(values[::-1], parts=3)):
        assert (others.width, others.largest) == (once.width, once.largest)
        np.testing.assert_array_equal(others.counts, once.counts)


def test_a_histogram_does_not_grow() -> None:
    histogram = filled(np.array([1e-44, 1e-6, 1.0, 1e3, 1e6, 3e38]), parts=6)
    assert len(histogram.counts) == FINE
    assert histogram.counts.sum() == 6
    assert histogram.counts[int(3e38 / histogram.width)] == 1


@pytest.mark.parametrize("value", [1e-44, 1e-38, 1.0, 2.0, 3e38])
def test_a_magnitude_of_any_size_is_its_own_threshold(value: float) -> None:
    for found in (entropy(filled(np.full(9, value))), percentile(filled(np.full(9, value)), 100)):
        assert found == pytest.approx(float(np.float32(value)))


def test_bins_made_of_finer_ones_hold_what_bins_of_their_own_would() -> None:
    values = DISTRIBUTIONS["normal"].astype(np.float32)
    found = filled(values).rebinned(BINS)
    expected, _ = at_once(values)
    assert found.sum() == pytest.approx(len(values))
    assert np.abs(found - expected).max() <= 8  # of up to 110: values in fine bins across an edge


def test_a_histogram_refuses_what_is_not_finite() -> None:
    assert not Histogram(BINS).add(np.array([1, np.inf], np.float32))
    assert not Histogram(BINS).add(np.array([1, np.nan], np.float32))
    assert Histogram(BINS).add(np.zeros((0, 4), np.float32))


def batches(count: int = 6, size: int = 64) -> Iterator[Arrays]:
    generator = np.random.default_rng(2)
    for _ in range(count):
        yield {"x": generator.standard_t(4, size=(size, 8)).astype(np.float32)}


NET = [
    helper.make_node("MatMul", ["x", "w"], ["h"], "matmul"),
    helper.make_node("Relu", ["h"], ["r"], "relu"),
    helper.make_node("MatMul", ["r", "w"], ["y"], "again"),
]


def net() -> object:
    return make(NET, {"x": ["n", 8]}, ["y"], {"w": weights(8, 8)})


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_a_model_is_calibrated_as_each_method_is_defined(method: str) -> None:
    found = calibrate(net(), ["x", "r"], batches(), Method(method, 99.0))
    x = [batch["x"] for batch in batches()]
    values = {"x": x, "r": [np.maximum(part @ weights(8, 8), 0) for part in x]}
    for name, parts in values.items():
        magnitudes = np.abs(np.concatenate(parts))
        expected = {
            "minmax": magnitudes.max,
            "percentile": lambda magnitudes=magnitudes: np.percentile(magnitudes, 99.0),
            "entropy": lambda parts=parts: slow_entropy(*at_once(np.concatenate(parts))),
        }[method]()
        assert found[name] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_neither_the_batch_nor_the_order_of_the_data_changes_a_range(method: str) -> None:
    x = np.concatenate([batch["x"] for batch in batches()])
    x[:8] *= 1e-4  # quiet at first
    tables = [
        calibrate(
            net(),
            ["x", "r"],
            ({"x": data[start : start + size]} for start in range(0, len(data), size)),
            Method(method),
        )
        for size in (1, 8, 64)
        for data in (x, x[::-1])
    ]
    for table in tables:  # onnxruntime's own sums may differ in the last bit by the batch
        assert table == pytest.approx(tables[0], rel=1e-3)


def test_the_three_methods_give_different_tables() -> None:
    found = {
        method: calibrate(net(), ["x"], batches(), Method(method, 99.0))["x"]
        for method in ("minmax", "percentile", "entropy")
    }
    assert found["percentile"] < found["entropy"] < found["minmax"]


@pytest.mark.parametrize("method", ["minmax", "entropy"])
def test_nan_in_a_tensor_is_named(method: str) -> None:
    model = make([helper.make_node("Log", ["x"], ["l"], "log")], {"x": ["n"]}, ["l"], {})
    with pytest.raises(StageError, match="tensor 'l' takes NaN or infinity"):
        calibrate(model, ["l"], [{"x": np.zeros(3, np.float32)}], Method(method))


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        calibrate(net(), ["x", "r"], batches(count, 4096), Method("entropy"))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is loaded once
    assert peak(24) < 1.2 * peak(3)


def test_batches_done_are_reported() -> None:
    done: list[int] = []
    calibrate(net(), ["x"], batches(3), Method("minmax"), done.append)
    calibrate(net(), ["x"], batches(3), Method("entropy"), done.append)
    assert done == [1, 2, 3, 1, 2, 3]
