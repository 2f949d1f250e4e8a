"""How far an output is from its reference: definitions, one case, and the worst of many.

Values are compared in float64. With r the reference and y the result, over all elements:

max_abs         max |y - r|, as numpy.testing.assert_allclose reports it
max_rel         max |y - r| / |r| over elements with r != 0, as numpy.testing.assert_allclose
cosine          <y, r> / (|y| |r|), 1 where both are all zero (Salton and McGill, Introduction to
                Modern Information Retrieval, 1983)
snr_db          20 log10(|r| / |y - r|), infinite for equal values, as onnxruntime.quantization's
                compute_signal_to_quantization_noice_ratio
top1_agreement  share of rows (along the last axis) whose largest element is the same, the first
                of equals (numpy.argmax); none where rows have one element
equal           share of elements that are the same: for integers and booleans, which have none of
                the last four
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trtbuild.model.inputs import Array

HIGHER_IS_BETTER = {
    "max_abs": False,
    "max_rel": False,
    "cosine": True,
    "snr_db": True,
    "top1_agreement": True,
    "equal": True,
}

_CHUNK = 1 << 20  # elements at once: float64 copies of a large output would be many times its size


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output on one case. `problem` says why no numbers can be compared, and is else empty.

    `values` holds the metrics of whole arrays, `shares` those that are counted: (hits, of).
    """

    values: dict[str, float]
    shares: dict[str, tuple[int, int]]
    problem: str = ""


def compare(result: Array, reference: Array) -> Comparison:
    """Compare one output with its reference; any number types, any rank, empty arrays too."""
    if result.shape != reference.shape:
        return _problem(f"has the shape {list(result.shape)} instead of {list(reference.shape)}")
    if not _is_exact(result) and not _is_exact(reference):
        return _compare_floats(result, reference)
    same = int(np.count_nonzero(result == reference))
    values = {"max_abs": _sums(result, reference).max_abs} if result.size else {}
    return Comparison(values, {"equal": (same, result.size)})


class Tally:
    """One output over many cases: the worst value of each metric, and on which case it was."""

    def __init__(self) -> None:
        self.problem = ""
        self.case: int | None = None  # of the problem
        self._worst: dict[str, tuple[float, int]] = {}
        self._shares: dict[str, tuple[int, int]] = {}
        self._share_worst: dict[str, tuple[float, int]] = {}

    def add(self, comparison: Comparison, case: int, *, shares: bool) -> None:
        """Take one case in; `shares` says whether it counts for the metrics that are shares."""
        if comparison.problem and not self.problem:
            self.problem, self.case = comparison.problem, case
        for name, value in comparison.values.items():
            _keep_worst(self._worst, name, value, case)
        for name, (hits, total) in comparison.shares.items():
            if shares and total:
                old = self._shares.get(name, (0, 0))
                self._shares[name] = (old[0] + hits, old[1] + total)
                _keep_worst(self._share_worst, name, hits / total, case)

    def metrics(self) -> dict[str, float]:
        """The worst value of each metric that applies, and the shares over all cases."""
        found = {name: value for name, (value, _) in self._worst.items()}
        found.update((name, hits / total) for name, (hits, total) in self._shares.items())
        return found

    def worst_case(self, metric: str = "") -> int | None:
        """The case where a metric is worst; without one, where the output is worst."""
        if self.problem and not metric:
            return self.case
        known = {**self._worst, **self._share_worst}
        for name in (metric, "snr_db", "equal"):
            if name in known:
                return known[name][1]
        return None


@dataclass(slots=True)
class _Sums:
    """What the metrics are made of."""

    products: float = 0.0
    squares: float = 0.0
    reference: float = 0.0
    errors: float = 0.0
    max_abs: float = 0.0
    max_rel: float = 0.0

    def cosine(self) -> float:
        if self.squares == 0 or self.reference == 0:
            return 1.0 if self.squares == self.reference else 0.0
        cosine = self.products / (math.sqrt(self.squares) * math.sqrt(self.reference))
        return max(-1.0, min(1.0, cosine))

    def snr_db(self) -> float:
        if self.errors == 0:
            return math.inf
        return 10 * math.log10(self.reference / self.errors) if self.reference else -math.inf


def _compare_floats(result: Array, reference: Array) -> Comparison:
    problem = _not_finite(result, reference)
    if problem:
        return _problem(problem)
    shares = {}
    if result.ndim and result.shape[-1] > 1 and result.size:
        agreeing = result.argmax(axis=-1) == reference.argmax(axis=-1)
        shares["top1_agreement"] = (int(np.count_nonzero(agreeing)), agreeing.size)
    if not result.size:
        return Comparison({}, shares)
    sums = _sums(result, reference)
    values = {
        "max_abs": sums.max_abs,
        "max_rel": sums.max_rel,
        "cosine": sums.cosine(),
        "snr_db": sums.snr_db(),
    }
    return Comparison(values, shares)


def _sums(result: Array, reference: Array) -> _Sums:
    """Over the elements that are finite in both."""
    sums = _Sums()
    flat_result, flat_reference = result.reshape(-1), reference.reshape(-1)
    for start in range(0, result.size, _CHUNK):
        y = flat_result[start : start + _CHUNK].astype(np.float64)
        r = flat_reference[start : start + _CHUNK].astype(np.float64)
        finite = np.isfinite(y) & np.isfinite(r)
        if not finite.all():
            y, r = y[finite], r[finite]
        error = np.abs(y - r)
        nonzero = r != 0
        sums.products += float(y @ r)
        sums.squares += float(y @ y)
        sums.reference += float(r @ r)
        sums.errors += float(error @ error)
        sums.max_abs = max(sums.max_abs, float(error.max(initial=0)))
        relative = error[nonzero] / np.abs(r[nonzero])
        sums.max_rel = max(sums.max_rel, float(relative.max(initial=0)))
    return sums


def _not_finite(result: Array, reference: Array) -> str:
    """What NaN and infinities differ in, or nothing: equal ones at the same places are equal."""
    if np.isfinite(result).all() and np.isfinite(reference).all():
        return ""
    nan, nan_before = np.isnan(result), np.isnan(reference)
    inf, inf_before = np.isinf(result), np.isinf(reference)
    for what, now, before in (("NaN", nan, nan_before), ("infinite", inf, inf_before)):
        new = int(np.count_nonzero(now & ~before))
        if new:
            return f"is {what} in {new} of {result.size} values where the reference is not"
    lost = (nan_before & ~nan) | (inf_before & ~inf) | (inf & inf_before & (result != reference))
    count = int(np.count_nonzero(lost))
    return f"is finite in {count} values where the reference is NaN or infinite" if count else ""


def _is_exact(values: Array) -> bool:
    return values.dtype.kind in "iub"


def _problem(text: str) -> Comparison:
    return Comparison({}, {}, text)


def _keep_worst(known: dict[str, tuple[float, int]], name: str, value: float, case: int) -> None:
    old = known.get(name)
    worse = old is None or (value < old[0] if HIGHER_IS_BETTER[name] else value > old[0])
    if worse:
        known[name] = (value, case)
