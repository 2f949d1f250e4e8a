"""Stages run in the test's own process, on small real models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtbuild.stages import reference, verify
from trtbuild.stages.base import StageContext

X = {"name": "x", "dtype": "float32", "min": [1, 4], "opt": [2, 4], "max": [5, 4]}
"""The input of tests.model.nets.mlp."""


@dataclass
class Recorder:
    """A reporter that remembers."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Keep a line."""
        assert fraction is None or 0 <= fraction <= 1
        self.lines.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


def context(folder: Path, outputs: str, options: Any, files: Mapping[str, Path]) -> StageContext:
    """A context whose outputs folder is new."""
    (folder / outputs).mkdir()
    return StageContext(options, files, folder / outputs, folder, Recorder())


def run_reference(folder: Path, files: Mapping[str, Path], **changed: Any) -> StageContext:
    """Run the reference stage below `folder`; its outputs are in reference/."""
    options = {
        "source": {"kind": "onnx"},
        "inputs": [X],
        "dataset": {"kind": "random", "seed": 0},
        "samples": None,
        "batch": None,
        **changed,
    }
    made = context(folder, "reference", options, files)
    reference.run(made)
    return made


def run_verify(folder: Path, files: Mapping[str, Path], **changed: Any) -> dict[str, Any]:
    """Run the verify stage on a reference made before; its document."""
    made = verify_context(folder, files, **changed)
    verify.run(made)
    return document_of(made)


def verify_context(folder: Path, files: Mapping[str, Path], **changed: Any) -> StageContext:
    """What the verify stage gets."""
    options = {
        "backend": "tensorrt_rtx",
        "precision": "fp32",
        "inputs": [X],
        "tolerance": {},
        "metrics": {},
        "gpu": False,
        **changed,
    }
    given = {"reference": folder / "reference" / "reference.json", **files}
    return context(folder, f"verify-{len(list(folder.iterdir()))}", options, given)


def document_of(made: StageContext) -> dict[str, Any]:
    """verify.json; nothing else is left in the folder."""
    assert [path.name for path in made.outputs.iterdir()] == ["verify.json"]
    found: dict[str, Any] = json.loads((made.outputs / "verify.json").read_text())
    return found
