"""Source models as stages see them: options, and files."""

from __future__ import annotations

from trtbuild.graph.action import InputRef, SourceFile
from trtbuild.recipe.model import (
    ExportedProgramSource,
    OnnxSource,
    Options,
    Source,
    TorchSource,
)


def source_options(source: Source) -> Options:
    """What the stages that run a source model are told of it."""
    match source:
        case TorchSource():
            return {
                "kind": "torch",
                "factory": source.factory,
                "kwargs": source.kwargs,
                "weights_key": source.weights_key,
                "weights_format": source.weights.rpartition(".")[2] if source.weights else None,
                "strict": source.strict,
                "opset": source.opset,
                "exporter": source.exporter,
            }
        case ExportedProgramSource():
            return {"kind": "exported_program", "opset": source.opset}
        case OnnxSource():
            return {"kind": "onnx"}


def source_files(source: Source) -> tuple[InputRef, ...]:
    """The files that a source model is made of."""
    match source:
        case ExportedProgramSource():
            return (SourceFile("program", source.file),)
        case OnnxSource():
            return (SourceFile("onnx", source.file, external=True),)
        case TorchSource():
            files = [SourceFile(f"files/{name}", name) for name in source.files]
            if source.weights is not None:
                files.append(SourceFile("weights", source.weights))
            file = source.factory.partition(":")[0]
            if file.endswith(".py"):
                files.append(SourceFile("factory", file))
            return tuple(files)
