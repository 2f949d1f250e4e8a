"""A stage for tests of the executor: does what its options say."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time

from trtbuild.errors import StageError
from trtbuild.stages.base import StageContext


def run(context: StageContext) -> None:
    """Do what `options["do"]` names."""
    print("a line in the log")
    context.reporter.progress("half", 0.5)
    match context.options["do"]:
        case "write":
            (context.outputs / "made").write_bytes(context.inputs["in"].read_bytes())
        case "warn":
            context.reporter.warn("mind the step")
        case "refuse":
            raise StageError("no such operator", where="node 'a'", hint="use another")
        case "refuse its own":
            made = context.outputs / "model.onnx"
            context.reporter.warn(f"{made} is odd")
            raise StageError(f"{made} does not run", where=str(made))
        case "bug":
            raise KeyError("lost")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            sys.exit(7)
        case "sleep":
            subprocess.run(["sleep", "60"], check=False)
        case "hang":
            time.sleep(60)
        case "exhaust":
            raise MemoryError
        case "read":
            sys.path.insert(0, str(context.folder))
            importlib.import_module("factory").make()
