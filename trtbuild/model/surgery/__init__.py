"""Rewrites ONNX graphs through onnx-graphsurgeon: the conversions and the named operations."""
