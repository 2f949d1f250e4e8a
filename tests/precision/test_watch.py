"""Reading inner tensors: the same values whatever the budget, in one run where they fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.precision.nets import attention, images, make, residual
from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision.graph import count_elements, float_tensors
from trtbuild.precision.session import Run, open_session
from trtbuild.precision.watch import Watch, open_watch

ROOT = Path(__file__).parents[2]


def everything(watch: Watch, case: Arrays) -> dict[str, Array]:
    return {
        name: np.array(values)
        for group in watch.groups(case)
        for name, values in watch.values(group, case)
    }


@pytest.mark.parametrize("budget", [1, 20_000, 1 << 30])
@pytest.mark.parametrize("optimise", [True, False])
def test_every_tensor_has_the_values_of_a_plain_run(budget: int, optimise: bool) -> None:
    model, case = residual(), images()
    tensors = float_tensors(model)
    plain = residual()
    del plain.graph.output[:]
    plain.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name != "x")
    with open_session(plain, optimise=False) as run:
        names = [name for name in tensors if name != "x"]
        expected = {"x": case["x"], **dict(zip(names, run(names, case), strict=True))}
    with open_watch(model, tensors, optimise=optimise, budget=budget) as watch:
        groups = watch.groups(case)
        found = everything(watch, case)
    assert [name for group in groups for name in group] == list(tensors)
    assert (len(groups) == 2) == (budget > 1_000_000)  # what is given, and what is made
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


class Counted:
    """A Watch that counts its runs."""

    def __init__(self, model: onnx.ModelProto, budget: int) -> None:
        self.runs = 0
        self._model, self._budget = model, budget

    def read(self, cases: Sequence[Arrays]) -> None:
        tensors = float_tensors(self._model)
        with ExitStack() as stack:

            def opened(model: onnx.ModelProto) -> Run:
                run = stack.enter_context(open_session(model, optimise=True))

                def counted(outputs: Sequence[str], inputs: Arrays) -> list[Array]:
                    self.runs += 1
                    return run(outputs, inputs)

                return counted

            watch = Watch(self._model, tensors, self._budget, opened)
            for case in cases:
                everything(watch, case)


def test_a_case_is_run_once_whatever_its_shape() -> None:
    counted = Counted(residual(), 1 << 30)
    counted.read([{"x": images()["x"][:n]} for n in (1, 2, 3, 4, 3, 2)])
    assert counted.runs == 6


def test_shapes_that_depend_on_values_cost_a_run_more() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"], "where"),
        helper.make_node("Cast", ["where"], ["floats"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Relu", ["floats"], ["y"], "relu"),
    ]
    model = make(nodes, {"x": ["n"]}, ["y"], {})
    assert "y" not in count_elements(model, {"x": [4]})
    counted = Counted(model, 1 << 30)
    counted.read([{"x": np.arange(n, dtype=np.float32)} for n in (4, 4, 8, 16)])
    assert counted.runs == 5


def test_elements_are_counted_for_the_shapes_given() -> None:
    counts = count_elements(attention(), {"scores": [3, 7], "keep": [3, 7]})
    assert {counts[name] for name in ("scores", "y")} == {21}


CHAIN = """
import numpy as np, onnx
from onnx import helper
from tests.memory import peak_kib
from trtbuild.precision.watch import watch_tensors

MIB = 1 << 20
nodes = [
    helper.make_node("Sigmoid" if n % 2 else "Relu", [f"t{n}"], [f"t{n + 1}"]) for n in range(40)
]
x = helper.make_tensor_value_info("t0", 1, ["n"])
graph = helper.make_graph(nodes, "chain", [x], [helper.make_tensor_value_info("t40", 1, ["n"])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
import trtbuild.precision.watch as watch
tensors = [f"t{n + 1}" for n in range(40)]
case = {"t0": np.ones(10 * MIB, np.float32)}  # 40 MiB
before = peak_kib()
seen = []
with watch.open_watch(model, tensors, optimise=True, budget=120 * MIB) as opened:
    for group in opened.groups(case):
        for name, values in opened.values(group, case):
            seen.append(values.size)
assert seen == [10 * MIB] * 40, seen
print((peak_kib() - before) // 1024)
"""


def test_memory_is_bounded_by_the_budget_and_not_by_the_number_of_tensors() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CHAIN], capture_output=True, text=True, check=True, cwd=ROOT
    )
    # Two groups of 120 MiB in Python and in onnxruntime, and two tensors; all of them are 1600.
    assert int(ran.stdout) < 700, ran.stdout
