"""Calibration: each method against a small implementation of its definition, as data streams."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from onnx import helper

from tests.precision.nets import make, weights
from trtbuild.errors import StageError
from trtbuild.model.inputs import Arrays
from trtbuild.precision.calibration import Method, calibrate
from trtbuild.precision.histogram import MOST, Histogram
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


def collected(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges: pytorch-quantization, calib/histogram.py, HistogramCalibrator.collect."""
    first = np.abs(parts[0])
    counts, edges = np.histogram(first, bins=BINS, range=(0, first.max()))
    for part in parts[1:]:
        magnitudes, width = np.abs(part), edges[1] - edges[0]
        if magnitudes.max() > edges[-1]:
            more = np.arange(edges[-1] + width, magnitudes.max() + width, width)
            edges = np.hstack((edges, more))
        added, _ = np.histogram(magnitudes, bins=edges)
        added[: len(counts)] += counts
        counts = added
    return counts, edges


def slow_entropy(*parts: np.ndarray) -> float:
    """The same, _compute_amax_entropy, written down bin by bin."""
    counts, edges = collected(parts)
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
    last = len(divergences) - 1 - int(np.argmin(divergences[::-1]))
    return float(edges[last + LEVELS])


def filled(values: np.ndarray, bins: int = BINS, parts: int = 1) -> Histogram:
    histogram = Histogram(bins)
    for part in np.array_split(values.astype(np.float32), parts):
        assert histogram.add(part)
    return histogram


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_finds_the_threshold_of_its_definition(name: str) -> None:
    values = DISTRIBUTIONS[name]
    assert entropy(filled(values)) == pytest.approx(slow_entropy(values), rel=0.01)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("share", [90.0, 99.9, 99.99])
def test_percentile_finds_the_quantile_of_the_magnitudes(name: str, share: float) -> None:
    values = DISTRIBUTIONS[name]
    expected = np.percentile(np.abs(values), share)
    assert percentile(filled(values, 8 * BINS), share) == pytest.approx(expected, rel=0.01)


def test_the_whole_range_is_the_hundredth_percentile() -> None:
    values = DISTRIBUTIONS["heavy"]
    assert percentile(filled(values, 8 * BINS), 100.0) == pytest.approx(np.abs(values).max())


def test_entropy_of_zeros_and_of_one_value_is_that_value() -> None:
    assert entropy(filled(np.zeros(10))) == 0
    assert entropy(filled(np.full(10, 3.0))) == 3


def test_a_histogram_counts_every_value_however_it_comes() -> None:
    values = DISTRIBUTIONS["heavy"]
    split = filled(values, parts=7)
    assert split.counts.sum() == len(values)
    assert split.largest == np.abs(values.astype(np.float32)).max()
    assert len(split.counts) * split.width >= split.largest
    expected, _ = np.histogram(
        np.abs(values), bins=len(split.counts), range=(0, len(split.counts) * split.width)
    )
    assert np.abs(split.counts - expected).sum() <= 4  # values on the edge of a bin


def test_a_histogram_does_not_grow_without_end() -> None:
    histogram = filled(np.array([1e-6, 1.0, 1e3, 1e6]), parts=4)
    assert len(histogram.counts) <= MOST
    assert histogram.counts.sum() == 4
    assert histogram.counts[-1] == 1 or histogram.counts[int(1e6 / histogram.width)] == 1


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
            "entropy": lambda parts=parts: slow_entropy(*parts),
        }[method]()
        assert found[name] == pytest.approx(expected, rel=0.01)


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
