"""What other versions of TensorRT-RTX do not do."""

from __future__ import annotations

from importlib.metadata import version

import pytest

since_1_7 = pytest.mark.skipif(
    tuple(map(int, version("tensorrt-rtx").split(".")[:2])) < (1, 7),
    reason="TensorRT-RTX does this since 1.7",
)
