"""A folder with files that recipes can name, and a recipe that uses every key."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trtbuild.errors import RecipeError
from trtbuild.recipe.load import load_recipes

BAD = Path(__file__).parents[1] / "bad_recipes"

HEAD = "trtbuild: 1\nname: example\n"
MODEL = "model: {onnx: files/model.onnx}\n"
INPUTS = "inputs:\n  image: {dtype: float32, min: [1, 8], opt: [4, 8], max: [16, 8]}\n"
SMALL = HEAD + MODEL + INPUTS

FULL = """\
trtbuild: 1
name: full
model:
  torch:
    factory: "files/net.py:make_net"
    kwargs: {width: 32, rate: 1e-3, names: [a, null, true]}
    weights: files/state.pt
    weights_key: model.state
    strict: false
    opset: 18
    exporter: torchscript
    files: [files/text.onnx]
inputs:
  image: {dtype: float32, min: [1, 1, 8, 8], opt: [16, 1, 8, 8], max: [64, 1, 8, 8],
    dims: [batch, null, null, null], range: [0, 1]}
  state: {dtype: int64, shape: [], values: {min: [1], opt: [2], max: [4]}}
outputs: [logits]
surgery:
  - op: fold_constants
  - {op: rename, tensors: {old: new}}
  - {op: extract, inputs: [image, state, a], outputs: [b]}
  - {op: set_outputs, outputs: [b, c]}
  - {op: set_dims, tensors: {image: [batch, 1.0, 8, null]}}
  - {op: remove_nodes, op_types: [Identity]}
  - op: cleanup
  - hook: "files/net.py:samples"
    options: {keep: true}
precisions:
  fp32:
  fp16: {keep_fp32: [Softmax, "/head/*"], keep_io_types: false}
build:
  backend: tensorrt_rtx
  workspace: 1GiB
  optimization_level: 3.0
  compute_capabilities: [120, 89, "86", 86]
  tf32: false
verify:
  dataset: {python: "files/net.py:samples", options: {split: test}}
  samples: 256
  batch: 16
  tolerance: {fp16: {top1_agreement: 0.999, snr_db: 40}}
  metrics:
    accuracy: {kind: top1, output: logits, labels: label, min: 1}
    mine: {hook: "files/net.py:samples"}
benchmark: {warmup: 0.2s, duration: 3s, iterations: 20, streams: 2, percentiles: [99, 50]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: recipes are written here, beside the folder `files`."""
    shutil.copytree(BAD / "files", tmp_path / "files")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(folder: Path) -> Callable[..., str]:
    """What is wrong with a recipe's text, as it is printed; "" where nothing is."""

    def load(text: str, name: str = "recipe.yaml") -> str:
        Path(name).write_text(text)
        try:
            load_recipes([Path(name)])
        except RecipeError as error:
            return str(error)
        return ""

    return load


class Memo(set[str]):
    """A ValidationMemo, and how often it was asked."""

    def known(self, key: str) -> bool:
        return key in self


is_root = os.geteuid() == 0
