"""The device layer: one small Protocol over PyCUDA or cuda-python, facts, and the GPU lease."""
