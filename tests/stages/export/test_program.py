"""The export of ExportedPrograms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages.export.staging import Stage, declared, opset_of, run_ort, signature
from trtbuild.errors import StageError


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x + y and twice x, for 1 to 64 rows."""

    class Both(torch.nn.Module):
        def forward(
            self, x: torch.Tensor, y: torch.Tensor
        ) -> dict[str, torch.Tensor | tuple[torch.Tensor, None]]:
            return {"sum": x + y, "more": (x * 2, None)}

    rows = torch.export.Dim("rows", min=1, max=64)
    example = torch.zeros(3, 4), torch.zeros(3, 4)
    exported = torch.export.export(Both(), example, dynamic_shapes={"x": {0: rows}, "y": {0: rows}})
    path = tmp_path_factory.mktemp("program") / "both.pt2"
    torch.export.save(exported, path)
    return path


def test_a_program_is_exported_with_its_own_input_names(stage: Stage, program: Path) -> None:
    x = declared("x", [1, 4], [64, 4], dims=["n", None])
    model = stage.program(program, declared("y", [1, 4], [64, 4]), x, opset=19)
    assert signature(model) == {"x": ["n", 4], "y": ["n", 4], "sum": ["n", 4], "more_0": ["n", 4]}
    assert opset_of(model) == 19


def test_a_programs_dynamic_axis_can_be_made_static(stage: Stage, program: Path) -> None:
    inputs = declared("x", [8, 4]), declared("y", [8, 4])
    model = stage.program(program, *inputs, outputs=("p", "q"))
    assert signature(model) == {"x": [8, 4], "y": [8, 4], "p": [8, 4], "q": [8, 4]}


def test_a_programs_own_output_names_choose_and_order(stage: Stage, program: Path) -> None:
    inputs = declared("x", [8, 4]), declared("y", [8, 4])
    model = stage.program(program, *inputs, outputs=("more_0", "sum"))
    assert list(signature(model)) == ["x", "y", "more_0", "sum"]
    ones = np.ones((8, 4), np.float32)
    assert [v[0, 0] for v in run_ort(stage.file, x=ones, y=ones * 4)] == [2, 5]


def test_a_recipe_that_does_not_fit_a_program_is_refused(stage: Stage, program: Path) -> None:
    with pytest.raises(StageError) as raised:
        stage.program(program, declared("x", [1, 4], [64, 4]), declared("yy", [1, 4], [64, 4]))
    assert "inputs.yy: the model has no such input (did you mean 'y'?)" in raised.value.what
    with pytest.raises(StageError, match="is 1 to 128 in the recipe, but the exported graph is"):
        stage.program(program, declared("x", [1, 4], [128, 4]), declared("y", [1, 4], [128, 4]))
