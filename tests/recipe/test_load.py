"""Recipes become frozen values: defaults filled in, numbers normalised, quickly."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipe.conftest import FULL, HEAD, INPUTS, SMALL, Memo
from trtbuild.benchmark.settings import Settings
from trtbuild.errors import RecipeError
from trtbuild.recipe import load as loader
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import (
    Benchmark,
    Build,
    Dataset,
    ExportedProgramSource,
    Input,
    OnnxSource,
    Options,
    Recipe,
    SurgeryStep,
    TorchSource,
    Values,
    Verify,
)
from trtbuild.recipe.schema import validation_key

Said = Callable[..., str]


def load(text: str, name: str = "recipe.yaml") -> Recipe:
    """The recipe of a text; the working directory is its folder."""
    Path(name).write_text(text)
    return load_recipes([Path(name)])[0]


def test_every_key_of_a_recipe_arrives_as_a_plain_value(folder: Path) -> None:
    recipe = load(FULL)
    assert recipe.name == "full"
    assert recipe.source == TorchSource(
        factory="files/net.py:make_net",
        kwargs={"width": 32, "rate": 0.001, "names": ["a", None, True]},
        weights="files/state.pt",
        weights_key="model.state",
        strict=False,
        opset=18,
        exporter="torchscript",
        files=("files/text.onnx",),
    )
    image = Input(
        name="image",
        dtype="float32",
        min=(1, 1, 8, 8),
        opt=(16, 1, 8, 8),
        max=(64, 1, 8, 8),
        dims=("batch", None, None, None),
        range=(0.0, 1.0),
    )
    values = Values((1,), (2,), (4,))
    assert recipe.inputs == (image, Input("state", "int64", (), (), (), None, None, values))
    assert recipe.outputs == ("logits",)
    assert recipe.precisions == {
        "fp32": {},
        "fp16": {"keep_fp32": ["/head/*", "Softmax"], "keep_io_types": False},
    }
    assert recipe.build == Build(
        "tensorrt_rtx",
        {
            "workspace": 1024**3,
            "optimization_level": 3,
            "compute_capabilities": ["86", "89", "120"],
            "tf32": False,
            "profiling_verbosity": "detailed",
        },
    )


def test_every_step_of_surgery_arrives_with_its_options(folder: Path) -> None:
    assert load(FULL).surgery == (
        SurgeryStep("fold_constants", {}),
        SurgeryStep("rename", {"tensors": {"old": "new"}}),
        SurgeryStep("extract", {"inputs": ["image", "state", "a"], "outputs": ["b"]}),
        SurgeryStep("set_outputs", {"outputs": ["b", "c"]}),
        SurgeryStep("set_dims", {"tensors": {"image": ["batch", 1, 8, None]}}),
        SurgeryStep("remove_nodes", {"nodes": [], "op_types": ["Identity"]}),
        SurgeryStep("cleanup", {}),
        SurgeryStep("hook", {"hook": "files/net.py:samples", "options": {"keep": True}}),
    )


def test_what_is_verified_and_measured_arrives_in_canonical_units(folder: Path) -> None:
    recipe = load(FULL)
    reference = "files/net.py:samples"
    dataset = Dataset(
        "python", {"python": reference, "options": {"split": "test"}}, ("files/net.py",)
    )
    accuracy: Options = {"kind": "top1", "output": "logits", "labels": "label", "min": 1.0}
    options: Options = {
        "samples": 256,
        "batch": 16,
        "metrics": {
            "accuracy": accuracy,
            "mine": {"hook": reference, "options": {}, "min": None},
        },
    }
    limits: dict[str, Options] = {"fp32": {}, "fp16": {"top1_agreement": 0.999, "snr_db": 40.0}}
    assert recipe.verify == Verify(dataset, options, limits)
    assert recipe.benchmark is not None
    measured = recipe.benchmark.options
    assert (measured["warmup_ms"], measured["duration_s"]) == (200.0, 3.0)
    assert (measured["iterations"], measured["streams"]) == (20, 2)
    assert measured["percentiles"] == [50.0, 99.0]
    accuracy_min = recipe.verify.options["metrics"]["accuracy"]["min"]  # type: ignore[index,call-overload]
    assert type(accuracy_min) is float
    assert type(recipe.build.options["optimization_level"]) is int
    assert type(recipe.surgery[4].options["tensors"]["image"][1]) is int  # type: ignore[index,call-overload]


def test_a_small_recipe_gets_the_defaults(folder: Path) -> None:
    recipe = load(SMALL)
    assert recipe.source == OnnxSource("files/model.onnx")
    assert recipe.precisions == {"fp32": {}}
    assert recipe.build == Build(
        "tensorrt_rtx",
        {
            "workspace": None,
            "optimization_level": None,
            "compute_capabilities": [],
            "tf32": True,
            "profiling_verbosity": "detailed",
        },
    )
    assert recipe.verify is None
    assert recipe.benchmark is None
    assert (recipe.surgery, recipe.outputs) == ((), ())


def test_empty_sections_get_the_defaults_too(folder: Path) -> None:
    recipe = load(SMALL + "precisions: [fp16]\nverify: {}\nbenchmark: {}\n")
    assert recipe.precisions == {"fp16": {"keep_fp32": [], "keep_io_types": True}}
    assert recipe.verify == Verify(
        Dataset("random", {"seed": 0}, ()),
        {"samples": None, "batch": None, "metrics": {}},
        {"fp16": {}},
    )
    point: Options = {"name": "opt", "shapes": {"image": [4, 8]}}
    settings = dict(Settings().as_options())
    measured = {"points": [point], "seed": 0, "baselines": []}
    assert recipe.benchmark == Benchmark({**settings, **measured}, (), {}, None)


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("{onnx: {file: files/model.onnx}}", OnnxSource("files/model.onnx")),
        ("{exported_program: files/program.pt2}", ExportedProgramSource("files/program.pt2", 20)),
        (
            "{exported_program: {file: files/program.pt2, opset: 23.0}}",
            ExportedProgramSource("files/program.pt2", 23),
        ),
        (
            "{torch: {factory: 'package.module:Net'}}",
            TorchSource("package.module:Net", {}, None, None, True, 20, "dynamo", ()),
        ),
    ],
)
def test_a_model_may_come_from_any_source(folder: Path, model: str, source: object) -> None:
    assert load(f"{HEAD}model: {model}\n{INPUTS}").source == source


def test_dataset_kinds_name_the_files_that_they_read(folder: Path) -> None:
    recipe = load(SMALL + "verify: {dataset: {npz: files/data.npz}}\n")
    assert recipe.verify is not None
    assert recipe.verify.dataset == Dataset("npz", {}, ("files/data.npz",))
    recipe = load(SMALL + "verify: {dataset: {random: {seed: 7.0}}}\n")
    assert recipe.verify is not None
    assert recipe.verify.dataset == Dataset("random", {"seed": 7}, ())
    assert type(recipe.verify.dataset.options["seed"]) is int


def test_a_recipe_tells_where_each_key_is_written(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/files").symlink_to(folder / "files")
    recipe = load(FULL, "sub/full.yaml")
    assert recipe.where("inputs", "image", "opt") == "sub/full.yaml:14:46 inputs.image.opt"
    assert recipe.where("surgery", 1, "op") == "sub/full.yaml:20:6 surgery[1].op"
    assert recipe.folder == Path("sub")


def test_the_same_recipe_elsewhere_is_equal(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/files").symlink_to(folder / "files")
    assert load(FULL) == load("# moved\n" + FULL, "sub/full.yaml")


def test_numbers_written_differently_give_the_same_recipe(folder: Path) -> None:
    text = SMALL + "verify: {samples: %s, tolerance: {fp32: {max_abs: %s}}}\n"
    first, second = load(text % ("16", "1e-3")), load(text % ("16.0", "0.001"))
    assert repr(first) == repr(second)


def test_recipes_of_one_name_in_one_folder_exclude_each_other(folder: Path) -> None:
    Path("a.yaml").write_text(SMALL)
    Path("b.yaml").write_text("# another\n" + SMALL)
    with pytest.raises(RecipeError) as caught:
        load_recipes([Path("a.yaml"), Path("b.yaml")])
    assert str(caught.value) == (
        "b.yaml:3:1 name: 'example' is also the name of a.yaml:2\n"
        "  hint: give each recipe of a folder a name of its own"
    )


def test_a_recipe_given_twice_is_said_so(folder: Path) -> None:
    Path("a.yaml").write_text(SMALL)
    with pytest.raises(RecipeError) as caught:
        load_recipes([Path("a.yaml"), folder / "a.yaml"])
    assert caught.value.problems == (
        f"{folder}/a.yaml:2:1 name: this recipe is given twice, also as a.yaml",
    )


def test_recipes_of_one_name_in_two_folders_go_together(folder: Path) -> None:
    Path("sub").mkdir()
    Path("sub/files").symlink_to(folder / "files")
    Path("recipe.yaml").write_text(SMALL)
    Path("sub/recipe.yaml").write_text(SMALL)
    recipes = load_recipes([Path("recipe.yaml"), Path("sub/recipe.yaml")])
    assert [recipe.path for recipe in recipes] == [Path("recipe.yaml"), Path("sub/recipe.yaml")]


def test_files_that_are_no_recipes_are_named(folder: Path) -> None:
    Path("recipes").mkdir()
    Path("recipes/b.yaml").write_text(SMALL)
    with Path("large.yaml").open("wb") as file:
        file.truncate(5 * 1024**2)
    paths = ["recipes", "recpes/b.yaml", "recipes/c.yaml", "large.yaml", "a\0b", "/dev/null"]
    with pytest.raises(RecipeError) as caught:
        load_recipes([Path(path) for path in paths])
    assert sorted(caught.value.problems) == [
        "/dev/null: this is not a regular file",
        "a\0b: a path cannot hold a null character",
        "large.yaml: 5 MiB are too large for a recipe\n"
        "  hint: a model is named in a recipe, under `model`",
        "recipes/c.yaml: no such file. Did you mean 'b.yaml'?",
        "recipes: this is a folder, not a recipe\n"
        "  hint: give a file in it, such as recipes/b.yaml",
        "recpes/b.yaml: no such file; there is no folder recpes either",
    ]


def test_a_recipe_that_is_known_is_not_compared_with_the_schema_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("recipe.yaml").write_text(FULL)
    memo = Memo()
    first = load_recipes([Path("recipe.yaml")], memo)
    monkeypatch.setattr(loader, "_compared", lambda _: pytest.fail("compared again"))
    assert load_recipes([Path("recipe.yaml")], memo) == first


def test_a_recipe_with_a_problem_is_never_remembered(folder: Path) -> None:
    memo = Memo()
    for text in (SMALL + "colour: red\n", SMALL + "name: again\n"):
        Path("recipe.yaml").write_text(text)
        with pytest.raises(RecipeError):
            load_recipes([Path("recipe.yaml")], memo)
    assert not memo


def test_files_are_looked_at_again_although_the_recipe_is_known(folder: Path) -> None:
    Path("recipe.yaml").write_text(SMALL)
    memo = Memo()
    load_recipes([Path("recipe.yaml")], memo)
    Path("files/model.onnx").unlink()
    with pytest.raises(RecipeError, match="no such file"):
        load_recipes([Path("recipe.yaml")], memo)


def test_loading_200_known_recipes_takes_well_below_a_second(folder: Path) -> None:
    paths = [Path(f"recipe{n}.yaml") for n in range(200)]
    for n, path in enumerate(paths):
        path.write_text(FULL.replace("name: full", f"name: full-{n}"))
    memo = Memo()
    load_recipes(paths[:1], memo)
    memo.update(validation_key(path.read_bytes()) for path in paths)
    start = time.process_time()
    load_recipes(paths, memo)
    assert time.process_time() - start < 1.0


def test_the_loader_imports_nothing_heavy_for_a_recipe_that_is_known(folder: Path) -> None:
    Path("recipe.yaml").write_text(FULL)
    code = """
import sys
from pathlib import Path
from trtbuild.recipe.load import load_recipes
class All:
    def known(self, key): return True
    def add(self, key): raise AssertionError
load_recipes([Path("recipe.yaml")], All())
heavy = ("jsonschema", "numpy", "onnx", "rich", "zipfile", "difflib", "torch")
print([name for name in heavy if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_version_from_the_future_is_all_that_is_said(said: Said) -> None:
    text = "trtbuild: 2.5\nwhatever: 1\nname: [\n]\n"
    assert said(text).startswith("recipe.yaml:1:1 trtbuild: this recipe needs a newer trtbuild")
    assert len(said(text).splitlines()) == 2


@pytest.mark.parametrize("version", ["0", "-1", "true", "'1'", "null", "[1]", "0.5"])
def test_a_version_that_never_was_is_refused(said: Said, version: str) -> None:
    text = said(SMALL.replace("trtbuild: 1", f"trtbuild: {version}"))
    assert text.startswith("recipe.yaml:1:1 trtbuild: expected the version of the recipe format, 1")
