"""Say what an engine or ONNX file is, and what made it."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from trtbuild.cli.common import add_json, folder, require_file
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode, StageError
from trtbuild.graph.provenance import build_record, made_by
from trtbuild.report.inspection import print_inspection
from trtbuild.store.digest import digest_of_file
from trtbuild.trt.header import PlanHeader, read_plan_header

TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild inspect` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an engine or an ONNX file")
    parser.add_argument(
        "--cache", type=folder, metavar="DIR", help="where to look for what made it"
    )
    parser.add_argument(
        "--backend",
        choices=sorted(TITLES),
        default="tensorrt_rtx",
        help="whose ONNX parser is asked (default: tensorrt_rtx)",
    )
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print what the file is; 1 where data that belongs to it is missing."""
    path = require_file(options.file, "give an engine or an ONNX file")
    header = _header(path)
    found: dict[str, Any] = {"format": 1, "path": str(path)}
    if header is not None:
        found |= _engine(path, header, Path(resolve(options)["cache"].value))
    else:
        found |= _onnx(path, options.backend)
    lacking = any(item["size_bytes"] is None for item in found.get("external", ()))
    exit_code = ExitCode.FAILED if lacking else ExitCode.DONE
    if options.json:
        from trtbuild.report.document import print_json

        print_json(found, exit_code)
    else:
        print_inspection(found)
    return exit_code


def _header(path: Path) -> PlanHeader | None:
    """The plan header, None for what an ONNX file may be. Raises StageError for anything else."""
    try:
        return read_plan_header(path)
    except StageError as error:
        if path.suffix == ".onnx" or "an ONNX model" in error.what:
            return None
        raise


def _engine(path: Path, header: PlanHeader, cache: Path) -> dict[str, Any]:
    digest = digest_of_file(path)
    plan = _plan_digest(path, header.offset)
    what = f"an engine of {TITLES[header.kind]} {header.version}"
    return {
        "kind": "engine",
        "what": what + (f", wrapped by {header.wrapper}" if header.wrapper else ""),
        "backend": header.kind,
        "version": header.version,
        "size_bytes": digest.size_bytes,
        "sha256": digest.hash,
        "stated_size": header.size,
        "offset": header.offset,
        "wrapper": header.wrapper,
        "plan_sha256": plan,
        "made_by": made_by(path, plan, cache),
        "build": build_record(path, digest.size_bytes - header.offset),
        "gpu": _on_gpu(path, header.kind),
    }


def _plan_digest(path: Path, offset: int) -> str:
    """The digest of the plan alone."""
    with path.open("rb") as file:
        file.seek(offset)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _on_gpu(path: Path, backend: str) -> dict[str, Any]:
    from trtbuild.cuda.probe import probe

    found = probe()
    if not found.devices:
        return {"error": f"not looked into: {found.reason}"}
    return _examine("engine", path, backend)


def _onnx(path: Path, backend: str) -> dict[str, Any]:
    from trtbuild.model import external, walk
    from trtbuild.model.onnx_file import external_files, input_types, load_structure, output_types

    model = load_structure(path)
    operators = Counter(node.op_type for node in walk.nodes(model))
    tensors = list(walk.tensors(model))
    digest = digest_of_file(path)
    return {
        "kind": "onnx",
        "what": f"an ONNX model of {sum(operators.values())} nodes",
        "size_bytes": digest.size_bytes,
        "sha256": digest.hash,
        "external": [_external(path.parent, name) for name in external_files(path)],
        "opsets": {item.domain: item.version for item in model.opset_import},
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "inputs": [_port(item) for item in input_types(model)],
        "outputs": [_port(item) for item in output_types(model)],
        "weights": {"count": len(tensors), "bytes": sum(map(external.nbytes, tensors))},
        "operators": dict(operators.most_common()),
        "parser": _examine("onnx", path, backend),
    }


def _external(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    return {"file": name, "size_bytes": file.stat().st_size if file.is_file() else None}


def _port(item: Any) -> dict[str, Any]:
    """An input or output; what is no size in `dims` is dynamic."""
    dims = None if item.dims is None else list(item.dims)
    dynamic = dims is None or any(not isinstance(size, int) for size in dims)
    return {"name": item.name, "dtype": item.dtype, "dims": dims, "dynamic": dynamic}


def _examine(kind: str, path: Path, backend: str) -> dict[str, Any]:
    """What TensorRT says, in a process of its own, whose output is no business of ours."""
    process = subprocess.run(
        [sys.executable, "-P", "-m", "trtbuild.trt.examine", kind, str(path.resolve()), backend],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = process.stderr.strip().splitlines()
        found = {"error": f"TensorRT ended with code {process.returncode}: {''.join(last[-1:])}"}
    return found
