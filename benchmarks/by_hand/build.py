"""Build digits-cnn with TensorRT-RTX by hand: python build.py ROOT FOLDER."""

import sys
from pathlib import Path

import tensorrt_rtx as trt

folder = Path(sys.argv[2])
logger = trt.Logger(trt.Logger.ERROR)
builder = trt.Builder(logger)
network = builder.create_network(0)
parser = trt.OnnxParser(network, logger)
if not parser.parse_from_file(str(folder / "model.onnx")):
    raise SystemExit(parser.get_error(0).desc())
config = builder.create_builder_config()
config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30)
profile = builder.create_optimization_profile()
profile.set_shape("image", (1, 1, 8, 8), (16, 1, 8, 8), (64, 1, 8, 8))
config.add_optimization_profile(profile)
plan = builder.build_serialized_network(network, config)
if plan is None:
    raise SystemExit("the build failed")
(folder / "engine.plan").write_bytes(bytes(plan))
