"""The source model's outputs on the held-out digits: python reference.py ROOT FOLDER."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(root / "recipes" / "models"))
from digits import DigitsNet  # noqa: E402 - after its folder is on the path

module = DigitsNet(width=24).eval()
module.load_state_dict(load_file(root / "recipes/weights/digits.safetensors"))
images = np.load(root / "recipes/data/digits-test.npz")["image"]
with torch.no_grad():
    outputs = [module(torch.from_numpy(images[i : i + 16])) for i in range(0, len(images), 16)]
np.savez(folder / "reference.npz", logits=torch.cat(outputs).numpy())
