"""Surgery of the head of a classifier."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs


def pool_into_classifier(graph: gs.Graph) -> gs.Graph:
    """Take the AveragePool before the Reshape and Gemm at the end of a classifier into the Gemm.

    All three are linear: a mean over k x k pixels and a weight on it is that weight / k**2 on each
    pixel. Raises ValueError where the graph does not end so.
    """
    gemm = graph.outputs[0].inputs[0]
    flatten = gemm.i()
    pool = flatten.i()
    if [node.op for node in (pool, flatten, gemm)] != ["AveragePool", "Reshape", "Gemm"]:
        raise ValueError("the graph does not end in AveragePool, Reshape and Gemm")
    _, channels, height, width = pool.outputs[0].shape
    tall, wide = pool.attrs["kernel_shape"]
    if pool.attrs["strides"] != [tall, wide] or any(pool.attrs.get("pads", [])):
        raise ValueError("the windows of AveragePool overlap, or reach beyond the image")

    weight = gemm.inputs[1].values if gemm.attrs.get("transB") else gemm.inputs[1].values.T
    spread = weight.reshape(-1, channels, height, width).repeat(tall, 2).repeat(wide, 3)
    matrix = (spread / (tall * wide)).reshape(len(spread), -1).T.astype(np.float32)
    pixels = gs.Variable("classifier.pixels", dtype=np.float32)
    graph.nodes.append(
        gs.Node("Flatten", "pixels", {"axis": 1}, inputs=[pool.inputs[0]], outputs=[pixels])
    )
    gemm.attrs["transB"] = 0
    gemm.inputs = [pixels, gs.Constant("classifier.matrix", matrix), gemm.inputs[2]]
    return graph.cleanup().toposort()
