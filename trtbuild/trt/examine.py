"""What TensorRT itself says of a file, as JSON, from a process of its own.

Started as `python -m trtbuild.trt.examine onnx|engine FILE BACKEND`; prints one JSON document. A
library that brings its process down takes no more than this one with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trtbuild.errors import TrtbuildError
from trtbuild.trt.engine import Engine, opened
from trtbuild.trt.flavour import load_backend
from trtbuild.trt.logger import recording
from trtbuild.trt.parser import parse_onnx


def parser_verdict(path: Path, backend: str) -> dict[str, Any]:
    """Whether the ONNX parser takes a model, and what it refuses; nothing is built."""
    flavour = load_backend(backend)
    found: dict[str, Any] = {"backend": backend, "version": flavour.version}
    with recording(flavour) as log:
        try:
            parsed = parse_onnx(log, path)
        except TrtbuildError as error:
            first, *refusals = error.what.splitlines()
            told = {"reason": first, "refusals": [line.strip() for line in refusals]}
            return found | {"accepted": False, **told, "hint": error.hint}
        return found | {"accepted": True, "layers": parsed.network.num_layers}


def engine_facts(path: Path, backend: str) -> dict[str, Any]:
    """The memory, tensors, profiles, exchangeable weights and layers of an engine, on a GPU."""
    from trtbuild.cuda.device import open_device

    device = open_device()
    with opened(path, backend, device) as engine:
        native = engine.native
        return {
            "device": device.facts.name,
            "activation_bytes": int(native.device_memory_size_v2),
            "streamable_bytes": int(native.streamable_weights_size),
            "refittable": _refittable(engine),
            "tensors": [
                {
                    "name": tensor.name,
                    "input": tensor.is_input,
                    "dtype": tensor.dtype,
                    "shape": list(tensor.shape),
                }
                for tensor in engine.tensors
            ],
            "profiles": [
                {
                    name: dict(zip(("min", "opt", "max"), map(list, ranges), strict=True))
                    for name, ranges in engine.ranges(profile).items()
                }
                for profile in range(engine.profiles)
            ],
            "layers": _layers(engine),
        }


def _layers(engine: Engine) -> list[str]:
    found = json.loads(engine.layer_information()).get("Layers") or ()
    # Names alone are texts; with details each layer is a mapping (profiling_verbosity).
    return [item if isinstance(item, str) else str(item.get("Name", "")) for item in found]


def _refittable(engine: Engine) -> list[str]:
    """The weights that can be exchanged, by name (trtexec --dumpRefit)."""
    if not engine.native.refittable:
        return []
    refitter = engine.log.create("Refitter", engine.native)
    return sorted(refitter.get_all_weights())


def main(arguments: list[str]) -> int:
    """Print what is asked for; an error is part of the document."""
    kind, path, backend = arguments
    examine = parser_verdict if kind == "onnx" else engine_facts
    try:
        document = examine(Path(path), backend)
    except TrtbuildError as error:
        document = {"error": error.what, "hint": error.hint}
    print(json.dumps(document))  # noqa: T201 - the result of this process
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
