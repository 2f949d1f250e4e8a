"""The surgery of digits-cnn by hand: python surgery.py ROOT FOLDER."""

import sys
from pathlib import Path

import onnx
import onnx_graphsurgeon as gs

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(root / "recipes" / "surgery"))
from heads import pool_into_classifier  # noqa: E402 - after its folder is on the path

graph = gs.import_onnx(onnx.load(str(folder / "exported.onnx"))).fold_constants().cleanup()
graph = pool_into_classifier(graph)
model = onnx.shape_inference.infer_shapes(gs.export_onnx(graph.cleanup().toposort()))
onnx.checker.check_model(model)
onnx.save(model, str(folder / "model.onnx"))
