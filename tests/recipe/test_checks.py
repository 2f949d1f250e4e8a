"""What a schema cannot say, where a pair in bad_recipes/ would not show it: files, code, order."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipe.conftest import FULL, HEAD, INPUTS, MODEL, SMALL, Memo, is_root
from trtbuild.recipe.check_files import Kind, check_file
from trtbuild.recipe.check_python import check_callable
from trtbuild.recipe.load import load_recipes

Said = Callable[..., str]
TORCH = 'model: {torch: {factory: "net.py:Net"}}\n'


def test_a_path_that_is_right_from_here_but_not_from_the_recipe_is_corrected(
    folder: Path, said: Said
) -> None:
    Path("recipes").mkdir()
    assert said(SMALL, "recipes/recipe.yaml") == (
        "recipes/recipe.yaml:3:9 model.onnx: no such file 'files/model.onnx'\n"
        "  hint: paths begin at the recipe's folder: write '../files/model.onnx'"
    )
    assert said(SMALL.replace("files/", "../files/"), "recipes/recipe.yaml") == ""


def test_absolute_paths_are_allowed(folder: Path, said: Said) -> None:
    assert said(SMALL.replace("files/", f"{folder}/files/")) == ""
    assert said(SMALL.replace("files/model", f"{folder}/files/modle")).startswith(
        f"recipe.yaml:3:9 model.onnx: no such file '{folder}/files/modle.onnx'. Did you mean"
    )


def test_links_are_followed_and_a_broken_one_is_named(folder: Path, said: Said) -> None:
    Path("here.onnx").symlink_to("files/model.onnx")
    Path("gone.onnx").symlink_to("files/gone.onnx")
    assert said(SMALL.replace("files/model", "here")) == ""
    assert said(SMALL.replace("files/model", "gone")) == (
        "recipe.yaml:3:9 model.onnx: "
        "'gone.onnx' is a link to 'files/gone.onnx', which does not exist"
    )


def test_what_is_no_file_that_can_be_read_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo("pipe")
    texts = {
        "pipe": "'pipe' is not a regular file",
        "a\0b": "a path cannot hold a null character",
        "e" * 300: f"'{'e' * 300}' cannot be read: File name too long",
        "files/model.onnx/x": "no such file 'files/model.onnx/x': "
        "there is no folder 'files/model.onnx'",
    }
    for path, text in texts.items():
        finding = check_file(Path(), path, Kind.ANY, None)
        assert finding is not None
        assert finding.text == text


@pytest.mark.skipif(is_root, reason="root may read every file")
def test_a_file_without_permission_is_refused(folder: Path, said: Said) -> None:
    Path("files/model.onnx").chmod(0)
    assert "cannot be read: permission denied" in said(SMALL)


def test_weights_in_a_truncated_archive_are_refused(folder: Path, said: Said) -> None:
    content = Path("files/state.pt").read_bytes()
    Path("files/state.pt").write_bytes(content[:-100])
    assert said(FULL) == (
        "recipe.yaml:7:5 model.torch.weights: 'files/state.pt' is a damaged archive\n"
        "  hint: it may be cut short; get it anew"
    )


def test_weights_without_an_archive_are_left_to_torch(folder: Path) -> None:
    Path("old.pth").write_bytes(b"\x80\x02}q\x00.")
    assert check_file(Path(), "old.pth", Kind.WEIGHTS, None) is None


def test_a_pytorch_file_called_safetensors_is_refused(folder: Path) -> None:
    Path("files/state.pt").rename("files/state.safetensors")
    finding = check_file(Path(), "files/state.safetensors", Kind.WEIGHTS, None)
    assert finding is not None
    assert finding.text == "'files/state.safetensors' is a PyTorch file, not safetensors"


def test_a_state_dict_with_a_tensor_called_code_is_no_torchscript(folder: Path) -> None:
    with zipfile.ZipFile("odd.pt", "w") as archive:
        archive.writestr("odd/data.pkl", b"")
        archive.writestr("odd/code/x", b"")
    assert check_file(Path(), "odd.pt", Kind.WEIGHTS, None) is None


def test_an_npz_without_arrays_is_refused(folder: Path) -> None:
    with zipfile.ZipFile("empty.npz", "w") as archive:
        archive.writestr("readme.txt", b"nothing here")
    finding = check_file(Path(), "empty.npz", Kind.NPZ, None)
    assert finding is not None
    assert finding.text == "'empty.npz' holds no arrays"


def test_an_archive_is_listed_once_and_again_when_it_changes(folder: Path) -> None:
    memo = Memo()
    assert check_file(Path(), "files/state.pt", Kind.WEIGHTS, memo) is None
    known = set(memo)
    assert check_file(Path(), "files/state.pt", Kind.WEIGHTS, memo) is None
    assert set(memo) == known != set()
    assert check_file(Path(), "files/state.pt", Kind.PROGRAM, memo) is not None
    Path("files/state.pt").write_bytes(Path("files/torchscript.pt").read_bytes())
    assert check_file(Path(), "files/state.pt", Kind.WEIGHTS, memo) is not None


def check(content: str | bytes, reference: str = "net.py:Net", memo: Memo | None = None) -> str:
    """What is wrong with a reference into net.py of some content."""
    Path("net.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    finding = check_callable(Path(), reference, memo)
    return finding.text if finding else ""


@pytest.mark.parametrize(
    "content",
    [
        "class Net: ...",
        "def Net(): ...",
        "async def Net(): ...",
        "Net = make()",
        "Net: type = make()",
        "Other, (Net, More) = make()",
        "from elsewhere import Net",
        "from elsewhere import Other as Net",
        "import Net.inner",
        "from elsewhere import *",
        "if True:\n    pass\nelse:\n    class Net: ...",
        "try:\n    import a\nexcept ImportError:\n    class Net: ...",
        "with a:\n    for b in c:\n        def Net(): ...",
        "# -*- coding: latin-1 -*-\nNet = '\\d'".encode("latin-1"),
    ],
)
def test_a_name_may_be_defined_in_any_way_at_the_top_level(folder: Path, content: str) -> None:
    assert check(content) == ""


@pytest.mark.parametrize(
    "content", ["", "class Other:\n    class Net: ...", "def f():\n    Net = 1", "Net.x = Net"]
)
def test_a_name_that_is_not_bound_at_the_top_level_is_not_defined(
    folder: Path, content: str
) -> None:
    assert check(content).startswith("net.py does not define 'Net'")


def test_a_method_may_be_referred_to(folder: Path) -> None:
    assert check("class Net:\n    def make(self): ...", "net.py:Net.make") == ""


def test_a_file_that_is_no_python_is_named_with_its_line(folder: Path) -> None:
    text = "class Net:\n    def forward(self, x)\n        return x\n"
    assert check(text) == "net.py:2 is no Python (expected ':'): def forward(self, x)"
    assert check(b"Net = 1\0").startswith("net.py")
    assert check("# -*- coding: nothing -*-\n").startswith("net.py")
    assert check("Net = " + "(" * 500 + ")" * 500).startswith("net.py")


def test_code_is_parsed_and_never_run(folder: Path) -> None:
    assert check("Net = 1\nraise SystemExit\nopen('ran', 'w')\n") == ""
    assert not Path("ran").exists()


def test_code_is_parsed_once_and_again_when_it_changes(folder: Path) -> None:
    memo = Memo()
    assert check("class Net: ...", memo=memo) == ""
    assert len(memo) == 1
    assert check("class Net: ...", memo=memo) == ""
    assert check("class Net: ...  # changed", memo=memo) == ""
    assert len(memo) == 2
    assert check("class Other: ...", memo=memo) != ""
    assert check("class Net: ...", "net.py:Other", memo=memo) != ""
    assert len(memo) == 2


@pytest.mark.parametrize("reference", ["package.module:Net", "module:Net.make"])
def test_an_installed_module_is_not_looked_for(folder: Path, reference: str) -> None:
    assert check_callable(Path(), reference, None) is None


@pytest.mark.parametrize("reference", ["a-b:Net", "a/b:Net", "C:\\net:Net", ".:Net", "net.pyc:f-g"])
def test_what_is_no_reference_is_refused(folder: Path, reference: str) -> None:
    assert check_callable(Path(), reference, None) is not None


def test_opt_is_compared_with_both_sides_and_max_with_min_where_opt_is_unusable(said: Said) -> None:
    text = HEAD + MODEL + "inputs:\n  a: {dtype: bool, min: [8], opt: [4], max: [2]}\n"
    assert said(text) == (
        "recipe.yaml:5:30 inputs.a.opt: [4] is larger than max [2]\n"
        "recipe.yaml:5:30 inputs.a.opt: [4] is smaller than min [8]"
    )
    assert said(text.replace("opt: [4]", "opt: [a]")).splitlines()[-1] == (
        "recipe.yaml:5:40 inputs.a.max: [2] is smaller than min [8]"
    )


def test_a_batch_is_compared_with_inputs_that_have_one(said: Said) -> None:
    inputs = (
        INPUTS + "  state: {dtype: float32, shape: [1, 8]}\n  rate: {dtype: int64, shape: []}\n"
    )
    text = HEAD + MODEL + inputs + "verify: {batch: %d}\n"
    assert said(text % 16) == ""
    assert said(text % 17) == (
        "recipe.yaml:8:10 verify.batch: 17 is not among the 1 to 16 that input 'image' takes"
    )
    text = HEAD + MODEL + inputs + "calibration: {random: {seed: 0}, batch: 17}\n"
    assert said(text) == (
        "recipe.yaml:8:34 calibration.batch: 17 is not among the 1 to 16 that input 'image' takes"
    )


def test_outputs_are_not_judged_where_surgery_may_rename_them(said: Said) -> None:
    metric = (
        "outputs: [a]\nverify:\n  dataset: {npz: files/data.npz}\n"
        "  metrics: {m: {kind: top1, output: b, labels: l}}\n"
    )
    assert "is not one of the outputs (a)" in said(SMALL + metric)
    assert "is not one of the outputs (a)" in said(SMALL + metric + "surgery: [{op: cleanup}]\n")
    for step in ("{op: rename, tensors: {a: b}}", "{hook: 'files/net.py:samples'}"):
        assert said(f"{SMALL}{metric}surgery: [{step}]\n") == ""


def test_a_range_may_end_just_above_the_largest_value(said: Said) -> None:
    text = HEAD + MODEL + "inputs: {a: {dtype: %s, shape: [1], range: %s}}\n"
    assert said(text % ("uint8", "[0, 256]")) == ""
    assert said(text % ("int8", "[-128, 128.0]")) == ""
    assert said(text % ("float16", "[-0.5, 0.5]")) == ""
    assert "goes beyond int8" in said(text % ("int8", "[-129, 0]"))


def test_one_mistake_hides_no_other(said: Said) -> None:
    text = FULL.replace("- {op: rename, tensors: {old: new}}", "- rename")
    text = text.replace(
        '"files/net.py:samples"\n    options: {keep', '"files/net.py:gone"\n    options: {keep'
    )
    lines = said(text).splitlines()
    assert [line.split(":")[1] for line in lines if line.startswith("recipe")] == ["20", "26"]


def test_a_problem_is_placed_at_the_alias_that_brought_it(said: Said) -> None:
    text = HEAD + MODEL + "inputs:\n  a: &a {dtype: float32, shape: [0]}\n  b: *a\n"
    assert [line.split(" ")[:2] for line in said(text).splitlines() if line[0] == "r"] == [
        ["recipe.yaml:5:34", "inputs.a.shape[0]:"],
        ["recipe.yaml:6:3", "inputs.b.shape[0]:"],
    ]


def test_two_recipes_may_share_code(folder: Path) -> None:
    paths = [Path("a.yaml"), Path("b.yaml")]
    for path in paths:
        path.write_text(FULL.replace("name: full", f"name: {path.stem}"))
    assert [recipe.name for recipe in load_recipes(paths)] == ["a", "b"]
