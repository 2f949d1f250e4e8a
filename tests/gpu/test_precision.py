"""Precisions on the engine: int8 on each base is right, or verify finds that it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.nets import Net, input_of
from tests.gpu.projects import project_of

SIZE = 256
WEIGHTS = np.random.default_rng(0).normal(0, SIZE**-0.5, (2, SIZE, SIZE)).astype(np.float32)
PRODUCTS = Net(
    "products",
    f"agraph (float[n, {SIZE}] x) => (float[n, {SIZE}] y) "
    "{ p = MatMul(x, a)  r = Relu(p)  y = MatMul(r, b) }",
    (input_of("x", (1, SIZE), (16, SIZE), (64, SIZE)),),
    (("a", WEIGHTS[0]), ("b", WEIGHTS[1])),
)


@pytest.mark.parametrize("base", ["fp32", "bf16", "fp16"])
def test_int8_is_right_on_each_base_or_verify_says_what_to_do(
    tmp_path: Path, base: str, record_property: Callable[[str, object], None]
) -> None:
    sections = f"""\
precisions: {{int8: {{base: {base}}}}}
calibration: {{random: {{seed: 0}}}}
verify: {{dataset: {{random: {{seed: 1}}}}, tolerance: {{int8: {{cosine: 0.99}}}}}}
"""
    project = project_of(PRODUCTS, tmp_path, sections)
    done = project.run()
    said = "; ".join(task["error"] for task in done.json["recipes"][0]["tasks"] if task["error"])
    record_property(f"int8 on {base}", said or "passes")
    if done.code != 0 and base == "fp16":
        # TensorRT-RTX 1.6.1 stores the product in fp16 before it scales it.
        assert "engine: output 'y'" in said
        assert "base: bf16" in said
        return
    assert done.code == 0, done.out + done.err
    report = json.loads((project.folder / "build/tiny/int8/verify.json").read_text())
    assert report["precision_obtained"]["layers"].get("int8"), report["precision_obtained"]
