"""The source model in PyTorch: factories, weights, ExportedPrograms, and what is refused."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trtbuild.errors import StageError
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.torch_source import (
    call_module,
    call_program,
    example_inputs,
    load_module,
    load_program,
    to_array,
    to_tensor,
)

Write = Callable[[str, str], Path]

NET = """\
import torch

class Net(torch.nn.Module):
    def __init__(self, width=3, bias=True):
        super().__init__()
        self.linear = torch.nn.Linear(4, width, bias=bias)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x, scale=1):
        y = self.dropout(self.linear(x))
        return {"logits": y, "none": None, "both": (y * scale, y + 1)}

def number():
    return 3
"""


@pytest.fixture
def net(user_file: Write) -> Path:
    """The folder of a recipe with net.py."""
    return user_file("net.py", NET).parent


def source(factory: str = "net.py:Net", **options: Any) -> dict[str, Any]:
    given = {"kind": "torch", "factory": factory, "kwargs": {}, "weights_key": None, "strict": True}
    return {**given, **options}


def module_of(folder: Path, weights: Path | None = None, **options: Any) -> torch.nn.Module:
    return load_module(source(**options), {"weights": weights} if weights else {}, folder)


def refusal(folder: Path, weights: Path | None = None, **options: Any) -> StageError:
    with pytest.raises(StageError) as error:
        module_of(folder, weights, **options)
    return error.value


def state(width: int = 3) -> dict[str, torch.Tensor]:
    return {"linear.weight": torch.ones(width, 4), "linear.bias": torch.zeros(width)}


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_a_module_without_weights_is_the_same_every_time(net: Path) -> None:
    first, second = module_of(net), module_of(net)
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not first.training
    assert not first.linear.weight.requires_grad


def test_weights_are_loaded_from_safetensors_and_pt(net: Path) -> None:
    save_file(state(), net / "w.safetensors")
    saved(state(), net / "w.pt")
    saved({"epoch": 3, "model": {"ema.net": state()}}, net / "nested.pth")
    for name, key in (("w.safetensors", None), ("w.pt", None), ("nested.pth", "model.ema.net")):
        module = module_of(net, net / name, weights_key=key)
        assert torch.equal(module.linear.weight, torch.ones(3, 4))


def test_a_checkpoint_without_a_key_is_answered_with_one(net: Path) -> None:
    path = saved({"epoch": 3, "state_dict": state()}, net / "w.pt")
    error = refusal(net, path)
    assert error.what == "the weights file is a checkpoint: its keys are epoch, state_dict"
    assert error.hint == "say where the state dict lies, perhaps `weights_key: state_dict`"


def test_a_wrong_key_is_answered_with_one_that_is_near(net: Path) -> None:
    path = saved({"state_dict": state()}, net / "w.pt")
    error = refusal(net, path, weights_key="statedict")
    assert error.what == "weights_key: there is no 'statedict' (did you mean 'state_dict'?)"


def test_names_that_do_not_match_are_listed(net: Path) -> None:
    weights = {"linear.weigth": torch.ones(3, 4), "linear.bias": torch.zeros(3)}
    error = refusal(net, saved(weights, net / "w.pt"))
    assert error.what == (
        "the weights do not match the module: the module's linear.weight "
        "(did you mean 'linear.weigth'?) are missing in it; its linear.weigth are not in the module"
    )
    assert error.where == str(net / "w.pt")


def test_names_that_do_not_match_pass_and_are_told_where_the_recipe_says_so(net: Path) -> None:
    weights = {"linear.weight": torch.ones(3, 4), "head.weight": torch.ones(1)}
    heard: list[str] = []
    given = {"weights": saved(weights, net / "w.pt")}
    module = load_module(source(strict=False), given, net, heard.append)
    assert torch.equal(module.linear.weight, torch.ones(3, 4))
    assert heard == [
        "1 of the module's 2 tensors are not in w.pt and keep what the factory gave them; where it "
        "drew them at random, another version of torch makes another engine: linear.bias",
        "1 tensors of w.pt are not in the module, and are left out: head.weight",
    ]


def test_weights_of_another_model_are_refused_even_then(net: Path) -> None:
    error = refusal(net, saved({"other": torch.ones(1)}, net / "w.pt"), strict=False)
    assert "are missing in it" in error.what


def test_a_prefix_before_every_name_is_explained(net: Path) -> None:
    weights = {f"module.{name}": value for name, value in state().items()}
    error = refusal(net, saved(weights, net / "w.pt"))
    assert error.hint.startswith("all names begin with 'module.'")


def test_shapes_that_differ_are_listed(net: Path) -> None:
    error = refusal(net, saved(state(5), net / "w.pt"))
    assert "size mismatch for linear.weight" in error.what
    assert "torch.Size([5, 4])" in error.what
    assert "kwargs" in error.hint


class Anything:
    """An object that no state dict holds."""


def test_a_pickled_object_is_refused_with_how_to_convert_it(net: Path) -> None:
    error = refusal(net, saved({"model": Anything()}, net / "w.pt"))
    assert "holds Python objects" in error.what
    assert "tests.model.test_torch_source.Anything" in error.what
    assert "weights_only=False" in error.hint


def test_a_torchscript_archive_is_refused_by_its_name(net: Path) -> None:
    path = net / "w.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(4, 3)), path)
    error = refusal(net, path)
    assert error.what == "this is a TorchScript archive, which is a program and no state dict"


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 20, 500])
def test_a_truncated_weights_file_is_refused(net: Path, name: str, kept: int) -> None:
    path = net / name
    save_file(state(), path) if path.suffix == ".safetensors" else saved(state(), path)
    path.write_bytes(path.read_bytes()[: min(kept, path.stat().st_size - 1)])
    error = refusal(net, path)
    assert error.what.startswith("the weights file is ")
    assert error.where == str(path)


def test_a_lfs_pointer_is_refused(net: Path) -> None:
    path = net / "w.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    assert "git lfs pull" in refusal(net, path).hint


def test_a_missing_weights_file_is_named(net: Path) -> None:
    for name in ("none.pt", "none.safetensors"):
        error = refusal(net, net / name)
        assert "cannot be read" in error.what
        assert error.where == str(net / name)


def test_a_file_of_another_kind_is_refused(net: Path) -> None:
    assert "'.h5' file are not read" in refusal(net, net / "w.h5").what


def test_a_factory_that_makes_no_module_is_refused(net: Path) -> None:
    error = refusal(net, factory="net.py:number")
    assert error.what == "net.py:number returned a int, not a torch.nn.Module"


def test_a_factory_that_raises_has_the_users_line(net: Path) -> None:
    error = refusal(net, kwargs={"width": "x"})
    assert error.where == f"{net / 'net.py'}:6"
    assert error.what.startswith("net.py:Net raised TypeError")


def test_outputs_are_flattened_in_order_and_none_is_left_out(net: Path) -> None:
    x = torch.ones(2, 4)
    found = call_module(module_of(net), {"x": x}, "net.py:Net")
    assert list(found) == ["logits", "both_0", "both_1"]
    logits, scaled, added = found.values()
    assert torch.equal(scaled, logits)
    assert torch.equal(added, logits + 1)


def test_inputs_go_by_name_where_forward_has_their_names_else_by_place(net: Path) -> None:
    module, x = module_of(net), torch.ones(2, 4)
    by_name = call_module(module, {"scale": torch.tensor(2.0), "x": x}, "f")
    by_place = call_module(module, {"a": x, "b": torch.tensor(2.0)}, "f")
    assert torch.equal(by_name["both_0"], by_place["both_0"])
    assert torch.equal(by_name["both_0"], by_name["logits"] * 2)


def test_a_forward_that_raises_has_the_users_line(net: Path) -> None:
    with pytest.raises(StageError, match="mat1 and mat2 shapes cannot be multiplied") as error:
        call_module(module_of(net), {"x": torch.ones(2, 5)}, "net.py:Net")
    assert error.value.where == f"{net / 'net.py'}:10"


@pytest.fixture
def program(net: Path) -> Path:
    """A program of two inputs, one of them a keyword."""
    example = (torch.ones(2, 4),)
    exported = torch.export.export(
        module_of(net),
        example,
        {"scale": torch.tensor(2.0)},
        dynamic_shapes={"x": {0: torch.export.Dim("n", min=1, max=8)}, "scale": None},
    )
    torch.export.save(exported, net / "net.pt2")
    return net / "net.pt2"


def test_a_program_is_run_by_names_and_by_places(program: Path) -> None:
    loaded = load_program(program)
    module, x, scale = loaded.module(), torch.ones(5, 4), torch.tensor(2.0)
    by_name = call_program(loaded, module, {"scale": scale, "x": x})
    by_place = call_program(loaded, module, {"a": x, "b": scale})
    assert len(by_name) == 3
    assert torch.equal(by_name["both_0"], by_name["logits"] * 2)
    assert torch.equal(by_name["both_0"], by_place["both_0"])


def test_a_program_tells_which_size_it_was_not_exported_for(program: Path) -> None:
    loaded = load_program(program)
    values = {"x": torch.ones(9, 4), "scale": torch.tensor(2.0)}
    with pytest.raises(StageError, match=r"Guard failed: x.size\(\)\[0\] <= 8"):
        call_program(loaded, loaded.module(), values)


def test_a_program_is_given_as_many_inputs_as_it_takes(program: Path) -> None:
    loaded = load_program(program)
    with pytest.raises(StageError, match=r"takes 2 inputs \(x, scale\), the recipe gives 1"):
        call_program(loaded, loaded.module(), {"x": torch.ones(2, 4)})


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_a_truncated_program_is_refused(program: Path, kept: int) -> None:
    program.write_bytes(program.read_bytes()[:kept])
    with pytest.raises(StageError, match=r"cut off or no .pt2") as error:
        load_program(program)
    assert error.value.where == str(program)


class Evil:
    """Does something when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)  # type: ignore[attr-defined]


def replaced(program: Path, part: str, content: bytes) -> None:
    """Put other bytes in the place of a member of the archive."""
    with zipfile.ZipFile(program) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(program, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, content if name.endswith(part) else old)


def test_a_program_that_hides_code_does_not_run_it(program: Path, tmp_path: Path) -> None:
    evil = Evil()
    evil.path = tmp_path / "ran"
    torch.save(evil, tmp_path / "evil.pt")
    content = (tmp_path / "evil.pt").read_bytes()
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert evil.path.exists()  # it is dangerous
    evil.path.unlink()
    replaced(program, "sample_inputs/model.pt", content)
    with pytest.raises(StageError, match=r"torch.export cannot load the program"):
        load_program(program)
    assert not evil.path.exists()


def test_a_program_with_pickled_constants_is_refused_before_they_are_read(program: Path) -> None:
    with zipfile.ZipFile(program, "a") as archive:
        archive.writestr("net/data/constants/custom_obj_0", pickle.dumps(1))
    with pytest.raises(StageError, match=r"holds Python objects .*custom_obj_0"):
        load_program(program)


def test_example_inputs_are_seeded_and_in_range() -> None:
    inputs = parse_inputs(
        [
            {"name": "x", "dtype": "float32", "min": [1, 4], "opt": [2, 4], "max": [3, 4]},
            {"name": "n", "dtype": "int64", "min": [5], "max": [5], "range": [3, 6]},
            {"name": "b", "dtype": "bfloat16", "min": [], "max": [], "range": [2, 3]},
            {"name": "f", "dtype": "bool", "min": [9], "max": [9]},
        ]
    )
    first, second = example_inputs(inputs), example_inputs(inputs)
    assert [tuple(tensor.shape) for tensor in first.values()] == [(2, 4), (5,), (), (9,)]
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(first["n"].tolist()) <= {3, 4, 5}
    assert first["b"].dtype == torch.bfloat16
    assert 2 <= float(first["b"]) <= 3
    assert first["f"].dtype == torch.bool
    assert tuple(example_inputs(inputs, "max")["x"].shape) == (3, 4)


def test_bfloat16_goes_to_torch_and_back() -> None:
    values = np.array([1.5, -2, 3], ml_dtypes.bfloat16)
    back = to_array(to_tensor(values))
    assert back.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(back, values)


def test_a_torchscript_module_loads(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch, warnings\n"
        "def make():\n"
        "    with warnings.catch_warnings():\n"
        "        warnings.simplefilter('ignore')\n"
        "        return torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))\n"
    )
    module = load_module({"factory": "net.py:make", "kwargs": {}}, {}, tmp_path)
    assert module(torch.zeros(1, 2)).shape == (1, 2)
