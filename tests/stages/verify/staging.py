"""Variants to verify: the small network on labelled data, and graphs that are off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.model.nets import WEIGHT, mlp, save
from tests.stages.running import Recorder, document_of, verify_context
from trtbuild.errors import StageError
from trtbuild.stages import verify

TOP1 = {"kind": "top1", "output": "logits", "labels": "label", "min": 0.8}
ROLES = ("exported", "rewritten", "quantized")


def saved(folder: Path, *models: onnx.ModelProto) -> dict[str, Path]:
    """Models as files, by the roles of the steps in order."""
    return {
        role: save(model, folder / f"{role}.onnx")
        for role, model in zip(ROLES, models, strict=False)
    }


def failed(
    folder: Path, files: Mapping[str, Path], **changed: Any
) -> tuple[StageError, dict[str, Any], list[str]]:
    """The error, the document and the warnings of a variant that does not pass."""
    made = verify_context(folder, files, **changed)
    with pytest.raises(StageError) as error:
        verify.run(made)
    assert isinstance(made.reporter, Recorder)
    return error.value, document_of(made), made.reporter.warnings


def off_by(factor: float) -> onnx.ModelProto:
    return mlp(WEIGHT * np.float32(factor))
