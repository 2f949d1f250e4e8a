"""Compare both graphs of digits-cnn with the source model by hand: python verify.py ROOT FOLDER."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
test = np.load(root / "recipes/data/digits-test.npz")
reference = np.load(folder / "reference.npz")["logits"]
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
for name in ("exported.onnx", "model.onnx"):
    session = ort.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
    batches = [test["image"][i : i + 16] for i in range(0, len(test["image"]), 16)]
    logits = np.concatenate([session.run(["logits"], {"image": batch})[0] for batch in batches])
    if not np.allclose(logits, reference, atol=1e-4):
        raise SystemExit(f"{name} differs")
    if (logits.argmax(1) == test["label"]).mean() < 0.985:
        raise SystemExit(f"{name} is not accurate enough")
