"""Limits: the recipe's, or a precision's own where none of those applies."""

from __future__ import annotations

import numpy as np
import pytest

from trtbuild.model.compare import Tally, compare
from trtbuild.verify.tolerance import DEFAULTS, judge, told_apart


def tally(result: np.ndarray, reference: np.ndarray) -> Tally:
    made = Tally()
    made.add(compare(result, reference), 0, shares=True)
    return made


def test_the_defaults_of_cosine_and_ratio_mean_the_same_error() -> None:
    for limits in DEFAULTS.values():
        ratio = -10 * np.log10(1 / limits["cosine"] ** 2 - 1)
        assert abs(ratio - limits["snr_db"]) < 0.1


def test_the_limits_given_replace_the_defaults() -> None:
    off = tally(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    assert judge("y", off, {"max_abs": 0.5}, "fp32") == ()
    (breach,) = judge("y", off, {"max_abs": 0.4}, "fp32")
    assert breach.text == "has max_abs = 0.5 (at most 0.4)"
    (breach,) = judge("y", off, {}, "fp32")
    assert breach.text == "has cosine = 0.996546 (at least 0.9999)"


def test_an_output_that_no_given_limit_applies_to_is_judged_by_the_defaults() -> None:
    number = tally(np.array(3.0), np.array(2.0))  # has no rows to agree on
    (breach,) = judge("y", number, {"top1_agreement": 0.5}, "fp32")
    assert breach.metric == "snr_db"
    index = tally(np.array([1, 2, 3, 5]), np.array([1, 2, 3, 4]))
    (breach,) = judge("y", index, {"cosine": 0.5}, "fp16")
    assert breach.text == "has equal = 0.75 (at least 0.99)"


def test_a_limit_that_is_missed_by_little_reads_as_missed() -> None:
    off = tally(np.array([1.0, 2.0]), np.array([1.0, 2.0004]))
    limit = 1 - 1e-11
    (breach,) = judge("y", off, {"cosine": limit}, "fp32")
    value, bound = told_apart(off.metrics()["cosine"], limit)
    assert value != bound
    assert breach.text == f"has cosine = {value} (at least {bound})"
    assert told_apart(0.5, 0.4) == ("0.5", "0.4")
    assert told_apart(12.5, 20.0) == ("12.5", "20")
    assert told_apart(0.99999993, 0.99999999) == ("0.9999999", "0.99999999")
    assert told_apart(1.0, 1.0 - 2**-53) == ("1", repr(1.0 - 2**-53))


def test_an_empty_output_breaks_nothing() -> None:
    assert judge("y", tally(np.zeros((0, 3)), np.zeros((0, 3))), {}, "fp32") == ()


def test_a_difference_that_no_limit_allows_is_the_worst() -> None:
    nan = judge("y", tally(np.array([np.nan]), np.array([1.0])), {"max_abs": 9}, "fp32")[0]
    far = judge("y", tally(np.array([-9e9]), np.array([1.0])), {}, "fp32")[0]
    assert nan.severity > far.severity


def test_the_worst_is_what_is_furthest_beyond_its_limit_whatever_its_metric() -> None:
    index = np.arange(1000)
    flipped = index.copy()
    flipped[:12] += 1  # 0.988 equal, 0.99 asked
    random = np.random.default_rng(0)
    scores = random.normal(size=1000)
    wrong = scores + random.normal(scale=0.7, size=1000)
    (little,) = judge("index", tally(flipped, index), {}, "fp16")
    (much,) = judge("scores", tally(wrong, scores), {}, "fp16")
    assert (little.metric, much.metric) == ("equal", "cosine")
    assert 0 < little.severity < 2 < 20 < much.severity
    (noisy,) = judge("scores", tally(wrong, scores), {"snr_db": 27.0}, "fp16")
    assert 20 < noisy.severity < 27
    (far,) = judge("scores", tally(scores + 10.0, scores), {"max_abs": 0.1}, "fp16")
    assert far.severity == pytest.approx(40.0)
