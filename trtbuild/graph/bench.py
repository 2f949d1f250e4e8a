"""Measures one engine file, outside any recipe's tasks: the benchmark stage, with the lease."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.cuda.lease import acquire
from trtbuild.cuda.probe import DeviceFacts, probe
from trtbuild.discovery.names import project_of
from trtbuild.errors import StageError
from trtbuild.graph.execute import Execution, Executor, Progress, Request
from trtbuild.recipe.model import Options
from trtbuild.stages import STAGES


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured: options and roles of the stage `benchmark`.

    `device` is the number of a CUDA device, None for any that is free; `patience` is how many
    seconds to wait for it, None for ever.
    """

    options: Options
    inputs: Mapping[str, Path]
    folder: Path
    device: int | None = None
    patience: float | None = None


def devices_for(bench: Bench) -> tuple[DeviceFacts, ...]:
    """The GPUs that it may run on. Raises StageError where there is none."""
    found = probe()
    if not found.devices:
        raise StageError(found.reason, hint="measuring needs a machine with an NVIDIA GPU")
    if bench.device is None:
        return found.devices
    if bench.device >= len(found.devices):
        count = len(found.devices)
        raise StageError(f"there is no CUDA device {bench.device}: this machine has {count}")
    return (found.devices[bench.device],)


def measure(
    bench: Bench, executor: Executor, scratch: Path, progress: Progress
) -> tuple[Any, Execution]:
    """The result document, and the files of the run below `scratch`. Raises StageError."""
    with acquire(
        devices_for(bench), lambda text: progress(text, None), timeout=bench.patience
    ) as lease:
        request = Request(
            module=STAGES["benchmark"].module,
            options=bench.options,
            inputs={role: path.resolve() for role, path in bench.inputs.items()},
            folder=bench.folder.resolve(),
            project=project_of(bench.folder.resolve()),
            exclude=(),
            environment={"CUDA_VISIBLE_DEVICES": lease.device.uuid},
        )
        execution = executor.run(request, scratch, progress)
    if execution.error is not None:
        raise execution.error
    return json.loads((execution.outputs / "benchmark.json").read_bytes()), execution
