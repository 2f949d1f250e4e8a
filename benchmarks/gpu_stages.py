"""Measures several engines in one process: python -m benchmarks.gpu_stages REQUESTS RESULTS.

Starting a process costs as much as measuring in it, and PyTorch compiles a model once per process.
REQUESTS is a JSON list of {"options", "inputs", "folder"}; RESULTS gets a line for each, as soon as
it is done: the benchmark stage's document, or {"error": ...}. It ends after an error, since that
may have spoilt the GPU's context.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from trtbuild.errors import TrtbuildError
from trtbuild.stages.base import StageContext
from trtbuild.stages.benchmark import run


class Silent:
    """What the stage reports is in its document too."""

    def progress(self, text: str, fraction: float | None = None) -> None:
        """One line of what is being done."""

    def warn(self, text: str) -> None:
        """Something that does not stop the stage."""


def main(arguments: list[str]) -> None:
    """Works the requests off, in order."""
    requests, results = Path(arguments[0]), Path(arguments[1])
    with results.open("a") as target:
        for request in json.loads(requests.read_bytes()):
            document = measured(request)
            target.write(json.dumps(document) + "\n")
            target.flush()
            if "error" in document:
                return


def measured(request: dict[str, Any]) -> dict[str, Any]:
    """The document of one request, or {"error": ...}."""
    with tempfile.TemporaryDirectory() as outputs:
        context = StageContext(
            options=request["options"],
            inputs={role: Path(path) for role, path in request["inputs"].items()},
            outputs=Path(outputs),
            folder=Path(request["folder"]),
            reporter=Silent(),
        )
        try:
            run(context)
        except TrtbuildError as error:
            traceback.print_exc()
            return {"error": str(error)}
        finally:
            gc.collect()
        document: dict[str, Any] = json.loads((Path(outputs) / "benchmark.json").read_bytes())
        return document


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # native libraries have crashed in their exit handlers; the work is done
