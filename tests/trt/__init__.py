"""Tests of the TensorRT room, with the real TensorRT-RTX builder."""
