"""Export digits-cnn as one would without trtbuild: python export.py ROOT FOLDER."""

import sys
from pathlib import Path

import onnx
import torch
from safetensors.torch import load_file

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(root / "recipes" / "models"))
from digits import DigitsNet  # noqa: E402 - after its folder is on the path

module = DigitsNet(width=24).eval()
module.load_state_dict(load_file(root / "recipes/weights/digits.safetensors"))
torch.onnx.export(
    module,
    (torch.zeros(2, 1, 8, 8),),
    str(folder / "exported.onnx"),
    dynamo=True,
    opset_version=20,
    input_names=["image"],
    output_names=["logits"],
    dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
    external_data=False,
    verbose=False,
)
onnx.checker.check_model(str(folder / "exported.onnx"))
