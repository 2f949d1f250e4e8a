"""Surgery of class scores."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs


def add_probabilities(graph: gs.Graph, logits: str, probabilities: str) -> gs.Graph:
    """Add an output: the softmax of the scores [N, classes] called `logits`, which stay.

    Raises ValueError where no output has that name.
    """
    scores = next((tensor for tensor in graph.outputs if tensor.name == logits), None)
    if scores is None:
        raise ValueError(f"the graph has no output '{logits}'")
    result = gs.Variable(probabilities, dtype=np.float32, shape=scores.shape)
    node = gs.Node("Softmax", "softmax", {"axis": -1}, inputs=[scores], outputs=[result])
    graph.nodes.append(node)
    graph.outputs.append(result)
    return graph
