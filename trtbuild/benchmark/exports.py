"""trtexec's JSON files, so that scripts that read them go on reading."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from trtbuild.benchmark.layers import LayerTimes
from trtbuild.benchmark.trace import Trace
from trtbuild.trt.tensors import Array


def times_json(trace: Trace) -> str:
    """--exportTimes: a record per query that counts, in ms since the gate was opened."""
    columns = {
        "startEnqMs": trace.enqueue_start,
        "endEnqMs": trace.enqueue_end,
        "startH2dMs": trace.h2d_start,
        "endH2dMs": trace.h2d_start + trace.h2d,
        "startComputeMs": trace.compute_start,
        "endComputeMs": trace.compute_start + trace.compute,
        "startD2hMs": trace.d2h_start,
        "endD2hMs": trace.d2h_end,
        "h2dMs": trace.h2d,
        "computeMs": trace.compute,
        "d2hMs": trace.d2h,
        "latencyMs": trace.latency,
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return _lines([dict(zip(columns, row, strict=True)) for row in rows])


def profile_json(layers: LayerTimes) -> str:
    """--exportProfile: the count, then a record per layer in the order they ran."""
    found: list[Any] = [{"count": layers.count}]
    for layer in layers.layers:
        found.append(
            {
                "name": layer.name,
                "timeMs": layer.total_ms,
                "averageMs": layer.average_ms,
                "medianMs": layer.median_ms,
                "percentage": layers.percentage(layer),
            }
        )
    return _lines(found)


def outputs_json(outputs: dict[str, Array]) -> str:
    """--exportOutput: name, dimensions as "1x1000", and the values in C order.

    NaN and infinities are written as Python's json and C++ streams do: they are no JSON.
    """
    return _lines(
        [
            {"name": name, "dimensions": dimensions(values), "values": _plain(values)}
            for name, values in outputs.items()
        ]
    )


def dimensions(values: Array) -> str:
    """ "1x1000"; "" for a scalar."""
    return "x".join(map(str, values.shape))


def _plain(values: Array) -> list[float | int]:
    flat = values.reshape(-1)
    if flat.dtype == np.bool_:
        return [int(value) for value in flat]
    if flat.dtype.kind in "iu":
        return [int(value) for value in flat]
    # float32's shortest text: as many digits as the value has, and not those of a double
    shown = flat.astype(np.float32)
    return [float(str(value)) if math.isfinite(value) else float(value) for value in shown]


def _lines(records: list[Any]) -> str:
    """A JSON list with a record per line."""
    inner = "\n, ".join(json.dumps(record) for record in records)
    return f"[ {inner}\n]\n"
