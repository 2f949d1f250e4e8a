"""The surgery hooks of the recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable


def classifier(*, stride: int = 2, transposed: bool = True) -> onnx.ModelProto:
    """Features [N, 3, 4, 6] through AveragePool, Reshape and Gemm to scores [N, 5]."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(5, 3 * 2 * 3)).astype(np.float32)
    initializers = [
        numpy_helper.from_array(weight if transposed else weight.T.copy(), "weight"),
        numpy_helper.from_array(random.normal(size=5).astype(np.float32), "bias"),
        numpy_helper.from_array(np.array([-1, weight.shape[1]]), "flat"),
    ]
    pool = {"kernel_shape": [2, 2], "strides": [stride, stride]}
    nodes = [
        helper.make_node("AveragePool", ["features"], ["pooled"], **pool),
        helper.make_node("Reshape", ["pooled", "flat"], ["row"]),
        helper.make_node("Gemm", ["row", "weight", "bias"], ["scores"], transB=int(transposed)),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3, 4, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 5])],
        initializers,
        value_info=[helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["N", 3, 2, 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("transposed", [True, False])
def test_pooling_goes_into_the_classifier_without_a_change_of_scores(
    recipe_python: Callable[[str], Any], transposed: bool
) -> None:
    hook = recipe_python("surgery/heads.py:pool_into_classifier")
    source = classifier(transposed=transposed)
    graph = hook(gs.import_onnx(source)).toposort()
    assert [node.op for node in graph.nodes] == ["Flatten", "Gemm"]
    features = np.random.default_rng(1).normal(size=(7, 3, 4, 6)).astype(np.float32)
    scores = [
        onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"features": features})[0]
        for model in (source, gs.export_onnx(graph))
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


def test_another_head_is_refused(recipe_python: Callable[[str], Any]) -> None:
    hook = recipe_python("surgery/heads.py:pool_into_classifier")
    with pytest.raises(ValueError, match="overlap"):
        hook(gs.import_onnx(classifier(stride=1)))
    model = classifier()
    model.graph.node[0].op_type = "MaxPool"
    with pytest.raises(ValueError, match="does not end in AveragePool, Reshape and Gemm"):
        hook(gs.import_onnx(model))
