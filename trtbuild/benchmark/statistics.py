"""Statistics by trtexec's definitions, as pure functions of times in ms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trtbuild.benchmark.trace import Times, Trace

METRICS = ("latency", "enqueue", "h2d", "gpu_compute", "d2h")


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric over all queries that count; ms, and percent for `cv`."""

    min: float
    max: float
    mean: float
    median: float
    cv: float  # coefficient of variation: population standard deviation / mean
    percentiles: tuple[tuple[float, float], ...]  # (percentage, value)


def percentile(ascending: Times, percentage: float) -> float:
    """The value that `percentage` percent of the sorted values do not exceed; never interpolated.

    trtexec's findPercentile (sampleReporting.cpp:51): leave out int((1 - p / 100) * N) values at
    the top, computed in float32, and take the largest of the rest.
    """
    share = np.float32(1) - np.float32(percentage) / np.float32(100)
    excluded = int(share * np.float32(len(ascending)))
    return float(ascending[max(len(ascending) - 1 - excluded, 0)])


def summarise(times: Times, percentages: Sequence[float]) -> Summary:
    """The summary of one metric; `times` is not empty."""
    ascending = np.sort(times)
    mean = float(np.mean(ascending))
    return Summary(
        min=float(ascending[0]),
        max=float(ascending[-1]),
        mean=mean,
        median=float(np.median(ascending)),
        cv=float(np.std(ascending)) / mean * 100 if mean else 0.0,
        percentiles=tuple((p, percentile(ascending, p)) for p in percentages),
    )


def summaries(trace: Trace, percentages: Sequence[float]) -> dict[str, Summary]:
    """The summary of each of METRICS."""
    times = (trace.latency, trace.enqueue, trace.h2d, trace.compute, trace.d2h)
    return {
        name: summarise(values, percentages) for name, values in zip(METRICS, times, strict=True)
    }


def throughput(trace: Trace) -> float:
    """Queries per second: of the batch as a whole, not of its samples."""
    return len(trace) / trace.walltime_ms * 1000


def warnings(
    found: dict[str, Summary], streams: int, *, cuda_graph: bool = False
) -> tuple[str, ...]:
    """What trtexec warns of (sampleReporting.cpp:270-318), in our words."""
    compute = found["gpu_compute"]
    texts = []
    if found["enqueue"].median > 0.8 * compute.median:
        remedy = "" if cuda_graph else ": try cuda_graph: true"
        texts.append(
            f"throughput may be bound by the host's enqueue time rather than by the GPU{remedy}"
        )
    for metric, what in (("h2d", "inputs to the GPU"), ("d2h", "outputs to the host")):
        if found[metric].median and found[metric].median >= compute.median:
            texts.append(
                f"throughput may be bound by copying the {what} rather than by the GPU: "
                "transfers: false leaves that out"
            )
    if compute.cv > 2.5:
        texts.append(
            f"the GPU compute time is not stable (coefficient of variation {compute.cv:.2f} %): "
            "lock the clocks, or keep other work off this GPU"
        )
    if streams > 1:
        texts.append(
            f"with {streams} streams a latency includes waiting for the others: judge by throughput"
        )
    return tuple(texts)
