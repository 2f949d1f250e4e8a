"""Calibrates: runs a float32 model over a dataset and finds how far each tensor's range goes.

Memory does not grow with the number of samples: per tensor there is one number (minmax) or one
histogram (entropy, percentile), and one batch is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import onnx

from trtbuild.errors import StageError
from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision import thresholds
from trtbuild.precision.histogram import Histogram
from trtbuild.precision.magnitudes import measure_magnitudes
from trtbuild.precision.watch import watch_tensors

PERCENTILE = 99.99
"""Of the values that are kept, where the recipe does not say: what pytorch-quantization uses."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a threshold is chosen; `percentile` is the share of values kept, for that method."""

    name: str
    percentile: float = PERCENTILE


def calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Arrays],
    method: Method,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """amax of each tensor, in the order given; tensors that never had elements are left out.

    minmax: the largest magnitude, as TensorRT's IInt8MinMaxCalibrator with the symmetric scale
    that its INT8 has. entropy and percentile: see `thresholds`. `done` is called after each batch
    with the number of batches done.

    Raises StageError where a tensor takes NaN or infinity, or the model does not run.
    """
    if method.name == "minmax":
        return _largest(model, tensors, batches, done)
    histograms = {name: Histogram() for name in tensors}

    def count(name: str, values: Array) -> None:
        if not histograms[name].add(values):
            raise _not_finite(name)

    watch_tensors(model, tensors, batches, count, done=done)
    return {
        name: _threshold(histogram, method)
        for name, histogram in histograms.items()
        if histogram.counts.any()
    }


def _largest(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Arrays],
    done: Callable[[int], None],
) -> dict[str, float]:
    found = measure_magnitudes(model, batches, done, only=frozenset(tensors))
    for name, magnitude in found.items():
        if not math.isfinite(magnitude):
            raise _not_finite(name)
    return {name: found[name] for name in tensors if name in found}


def _threshold(histogram: Histogram, method: Method) -> float:
    if method.name == "entropy":
        return thresholds.entropy(histogram)
    return thresholds.percentile(histogram, method.percentile)


def _not_finite(name: str) -> StageError:
    return StageError(
        f"tensor '{name}' takes NaN or infinity while calibrating",
        where=name,
        hint="the float32 model itself gives that on this data: look at the data, or cut the "
        "model before the tensor",
    )
