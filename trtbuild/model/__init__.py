"""Models as files and as things that run: ONNX, references to Python, torch, onnxruntime."""
