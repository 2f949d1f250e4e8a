"""Precision in the graph: casts and Q/DQ, calibration, ranges, and what each of them costs."""
