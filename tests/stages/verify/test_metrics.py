"""The verify stage's metrics: over outputs and labels, and by the user's own hook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.model.nets import WEIGHT, in_float16, mlp
from tests.stages.running import run_verify
from tests.stages.verify.staging import TOP1, failed, saved


def test_accuracy_is_that_of_the_last_step_beside_the_sources(folder: Path) -> None:
    turned = mlp(WEIGHT[:, [1, 2, 0]])
    models = saved(folder, mlp(), turned)
    error, document, _ = failed(
        folder, models, tolerance={"max_abs": 100}, metrics={"accuracy": TOP1}
    )
    score = document["metrics"]["accuracy"]
    assert score["source"] == pytest.approx(5 / 6)
    assert score["value"] < 0.5
    assert (score["step"], score["min"], score["passed"]) == ("surgery", 0.8, False)
    assert error.what == (
        f"fp32 does not pass: surgery: metric 'accuracy' is {score['value']:.6g}, below 0.8 "
        "(the source model has 0.833333)"
    )


def test_a_metric_without_a_limit_is_reported(folder: Path) -> None:
    document = run_verify(folder, saved(folder, mlp()), metrics={"accuracy": {**TOP1, "min": None}})
    assert document["metrics"]["accuracy"] == {
        "value": pytest.approx(5 / 6),
        "source": pytest.approx(5 / 6),
        "min": None,
        "max": None,
        "passed": True,
        "step": "export",
    }


def hook(folder: Path, body: str, **options: Any) -> dict[str, Any]:
    (folder / "metrics.py").write_text(f"def f(cases, **options):\n{body}")
    return {"mine": {"hook": "metrics.py:f", "options": options, "min": None}}


def test_a_hook_gets_the_cases_of_the_data(folder: Path) -> None:
    body = (
        "    assert len(cases) == 3 and cases[-1].extras['label'].shape == (2,)\n"
        "    rows = sum(len(case.inputs['x']) for case in cases)\n"
        "    return {'rows': rows, 'scale': options['scale'] * cases[0].outputs['logits'].size}\n"
    )
    document = run_verify(folder, saved(folder, mlp()), metrics=hook(folder, body, scale=2))
    assert {name: score["value"] for name, score in document["metrics"].items()} == {
        "mine.rows": 6,
        "mine.scale": 12,
    }


def test_outputs_that_are_off_are_named_before_the_metric_that_they_spoil(folder: Path) -> None:
    body = "    return sum(case.outputs['logits'].mean() for case in cases)\n"
    weight = WEIGHT.copy()
    weight[:, 1] = np.nan
    error, document, _ = failed(
        folder, saved(folder, mlp(), mlp(weight)), metrics=hook(folder, body)
    )
    assert error.what.startswith("fp32 does not pass: surgery: output 'logits' is NaN")
    assert "metrics.py:f returned nan" in document["failures"][1]
    assert document["metrics"] == {}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("    return 1 / 0\n", "metrics.py:f raised ZeroDivisionError: division by zero"),
        (
            "    return None\n",
            "metrics.py:f returned a NoneType, not a number or a dict of numbers",
        ),
        ("    return float('nan')\n", "metrics.py:f returned nan"),
        (
            "    return {}\n",
            "metrics.py:f returned an empty dict, which says nothing about metric 'mine'",
        ),
    ],
)
def test_a_hook_that_is_wrong_is_told(folder: Path, body: str, what: str) -> None:
    error, document, _ = failed(folder, saved(folder, mlp()), metrics=hook(folder, body))
    assert error.what == what
    assert what in document["failures"][0]


def test_a_score_that_only_the_source_has_is_told(folder: Path) -> None:
    turned = saved(folder, mlp(), mlp(-WEIGHT))
    body = (
        "    total = float(sum(case.outputs['logits'].sum() for case in cases))\n"
        "    first = cases[0].outputs['logits'][0, 0]\n"
        "    return {'total': total} | ({'first': first} if first > 0 else {})\n"
    )
    error, _, _ = failed(folder, turned, metrics=hook(folder, body), tolerance={"max_abs": 100})
    assert error.what == (
        "the source model has the metric 'mine.first', but surgery has no number for it"
    )


def test_no_nodes_are_named_to_keep_where_it_is_a_hook_that_is_wrong(folder: Path) -> None:
    models = saved(folder, mlp(), mlp(), in_float16())
    assert run_verify(folder, models, precision="fp16")["keep_fp32"]
    wrong = hook(folder, "    return 1 / 0\n")
    _, document, _ = failed(folder, models, precision="fp16", metrics=wrong)
    assert document["keep_fp32"] == []


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ({**TOP1, "output": "logit"}, "there is no output 'logit' (did you mean 'logits'?)"),
        (
            {**TOP1, "labels": "labels"},
            "the dataset has no labels 'labels' (did you mean 'label'?)",
        ),
    ],
)
def test_a_metric_over_what_is_not_there_is_told(
    folder: Path, metric: dict[str, Any], what: str
) -> None:
    error, _, _ = failed(folder, saved(folder, mlp()), metrics={"accuracy": metric})
    assert error.what == what
    assert error.where == "metric 'accuracy'"


def test_labels_that_do_not_fit_the_scores_are_told(folder: Path) -> None:
    graph = mlp().graph
    graph.node.append(helper.make_node("ReduceMax", ["product"], ["one"], keepdims=0))
    graph.output.append(helper.make_tensor_value_info("one", onnx.TensorProto.FLOAT, []))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    error, _, _ = failed(
        folder, saved(folder, model), metrics={"accuracy": {**TOP1, "output": "one"}}
    )
    assert error.what == "output 'one' of shape [] does not fit labels 'label' of shape [2]"
