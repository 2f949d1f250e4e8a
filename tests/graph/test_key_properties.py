"""One changed field, byte or fact changes exactly the keys that depend on it, whatever it is."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.project import RECIPE, write_tiny_model
from trtbuild.graph import toolchain
from trtbuild.graph.bind import Outputs, bind
from trtbuild.graph.device import Device
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Recipe
from trtbuild.stages import STAGES
from trtbuild.store.digest import canonical_json, digest_of_bytes
from trtbuild.store.memo import Memo

PRECISE = RECIPE.replace("[fp32]", "[fp32, fp16]")
QUIET = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def keys(recipe: Recipe, memo: Memo, device: Device | None = None) -> dict[str, str]:
    """Each task's key, where every stage gives bytes that follow from its action alone."""
    made: dict[str, Outputs] = {}
    found = {}
    for task in plan(recipe):
        action = bind(task, made, recipe.folder, device, memo, partial=True)
        found[task.id] = action.key()
        made[task.id] = tuple(
            (name, digest_of_bytes(f"{action.key()} {name}".encode()))
            for output in STAGES[task.stage].outputs
            for name in output.files
        )
    return found


def downstream(recipe: Recipe, changed: set[str]) -> set[str]:
    """The tasks of which some are, or come after, the changed ones."""
    found = set(changed)
    for task in plan(recipe):
        if found & set(task.needs):
            found.add(task.id)
    return found


def project(folder: Path) -> Path:
    """The tiny model, its data and its recipe."""
    import numpy as np

    write_tiny_model(folder / "tiny.onnx")
    np.savez(folder / "data.npz", x=np.zeros((6, 4), np.float32))
    (folder / "tiny.yaml").write_text(PRECISE)
    return folder / "tiny.yaml"


def changed_tasks(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@QUIET
@given(data=st.data())
def test_a_changed_input_byte_changes_exactly_what_reads_it_and_what_follows(
    tmp_path: Path, data: st.DataObject
) -> None:
    recipe = load_recipes([project(tmp_path)])[0]
    memo = Memo(tmp_path / "memo.sqlite")
    before = keys(recipe, memo)
    name = data.draw(st.sampled_from(["tiny.onnx", "data.npz"]))
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    # The names of external files are read from the model, so its very form is left alone.
    place = len(content) - 1 - data.draw(st.integers(0, 30)) if name == "data.npz" else None
    if place is None:
        write_tiny_model(path, seed=data.draw(st.integers(1, 10**6)))
    else:
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
    after = keys(recipe, memo)
    memo.close()
    readers = {
        task.id for task in plan(recipe) if name in {getattr(i, "path", "") for i in task.inputs}
    }
    assert readers
    assert changed_tasks(before, after) == downstream(recipe, readers)


@QUIET
@given(data=st.data())
def test_a_changed_option_changes_exactly_its_task_and_what_follows(
    tmp_path: Path, data: st.DataObject
) -> None:
    recipe = load_recipes([project(tmp_path)])[0]
    memo = Memo(tmp_path / "memo.sqlite")
    before = keys(recipe, memo)
    tasks = plan(recipe)
    task = data.draw(st.sampled_from(tasks))
    places = list(leaves(task.options))
    place = data.draw(st.sampled_from(places))
    document = json.loads(json.dumps(task.options))
    replace_leaf(document, place)
    changed = {t.id: dataclasses.replace(t, options=document) if t == task else t for t in tasks}
    after = {}
    made: dict[str, Outputs] = {}
    for one in changed.values():
        action = bind(one, made, recipe.folder, None, memo)
        after[one.id] = action.key()
        made[one.id] = tuple(
            (name, digest_of_bytes(f"{action.key()} {name}".encode()))
            for output in STAGES[one.stage].outputs
            for name in output.files
        )
    memo.close()
    assert changed_tasks(before, after) == downstream(recipe, {task.id})


FULL = """\
trtbuild: 1
name: tiny
model: {onnx: tiny.onnx}
inputs:
  x: {dtype: float32, min: [1, 4], opt: [2, 4], max: [8, 4]}
surgery:
  - op: fold_constants
precisions:
  fp32: {}
  fp16: {}
  int8: {}
calibration: {dataset: {npz: data.npz}, method: entropy, samples: 4}
build: {backend: tensorrt_rtx, optimization_level: 0}
verify:
  dataset: {npz: data.npz}
benchmark: {warmup: 200ms, duration: 1s}
"""
AFTER_EXPORT = ("reference", "calibrate", "quantize:", "build:", "verify:", "benchmark:")
FIELDS: dict[str, tuple[str, list[str], tuple[str, ...]]] = {
    "a comment": ("trtbuild: 1", ["trtbuild: 1  # a comment"], ()),
    "the recipe's name": ("name: tiny", ["name: other", "name: tiny-2"], ()),
    "a file's name": ("model: {onnx: tiny.onnx}", ["model: {onnx: copy.onnx}"], ()),
    "opt": ("opt: [2, 4]", ["opt: [1, 4]", "opt: [3, 4]", "opt: [8, 4]"], AFTER_EXPORT),
    "max": ("max: [8, 4]", ["max: [9, 4]", "max: [64, 4]"], ("export", *AFTER_EXPORT)),
    "surgery": ("op: fold_constants", ["op: cleanup"], ("surgery",)),
    "keep_fp32": ("fp16: {}", ["fp16: {keep_fp32: [matmul]}"], ("quantize:fp16",)),
    "per_channel": ("int8: {}", ["int8: {per_channel: false}"], ("quantize:int8",)),
    "method": ("method: entropy", ["method: minmax"], ("calibrate",)),
    "samples": ("samples: 4", ["samples: 2", "samples: 3"], ("calibrate",)),
    "level": (
        "optimization_level: 0",
        [f"optimization_level: {n}" for n in (1, 3, 5)],
        ("build:",),
    ),
    "workspace": ("build: {", ["build: {workspace: 1GiB, "], ("build:",)),
    "a tolerance": (
        "  dataset: {npz: data.npz}\nbench",
        ["  dataset: {npz: data.npz}\n  tolerance: {fp16: {max_abs: 0.5}}\nbench"],
        ("verify:fp16",),
    ),
    "duration": ("duration: 1s", ["duration: 2s", "duration: 500ms"], ("benchmark:",)),
    "a policy": ("surgery:", ["cache: {policy: [same-sm]}\nsurgery:"], ()),
}
"""Fields of a recipe: what is written, what may stand there, and the tasks that are others then."""


@settings(QUIET, max_examples=40)
@given(data=st.data())
def test_changed_fields_of_a_recipe_change_exactly_the_tasks_they_are_about_and_what_follows(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = project(tmp_path)
    (tmp_path / "copy.onnx").write_bytes((tmp_path / "tiny.onnx").read_bytes())
    path.write_text(FULL)
    recipe = load_recipes([path])[0]
    memo = Memo(tmp_path / "memo.sqlite")
    before = keys(recipe, memo)
    text, others = FULL, set()
    for name in data.draw(st.sets(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=3)):
        old, new, begin = FIELDS[name]
        assert text.count(old) == 1, name
        text = text.replace(old, data.draw(st.sampled_from(new)))
        others |= {task for task in before if task.startswith(begin)} if begin else set()
    path.write_text(text)
    after = keys(load_recipes([path])[0], memo)
    memo.close()
    assert changed_tasks(before, after) == downstream(recipe, others)


def test_a_changed_gpu_or_driver_changes_exactly_what_runs_on_it_and_what_follows(
    tmp_path: Path,
) -> None:
    path = project(tmp_path)
    path.write_text(FULL.replace("backend: tensorrt_rtx, ", "backend: tensorrt, "))
    recipe = load_recipes([path])[0]
    memo = Memo(tmp_path / "memo.sqlite")
    facts = {"gpu": "NVIDIA H100", "gpu.compute_capability": "9.0", "gpu.driver": "580.82"}
    before = keys(recipe, memo, Device(tuple(facts.items())))
    users = {task for task in before if task.startswith(("build:", "verify:", "benchmark:"))}
    for name in facts:
        device = Device(tuple({**facts, name: "another"}.items()))
        assert changed_tasks(before, keys(recipe, memo, device)) == users, name
    memo.close()


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """The places of all numbers, texts and nulls that stages do not choose their tools by."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in ("backend", "kind", "gpu", "precision"):
                yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, number))
    elif path:
        yield path


def replace_leaf(document: Any, path: tuple[Any, ...]) -> None:
    """Put another value in a place."""
    for part in path[:-1]:
        document = document[part]
    old = document[path[-1]]
    document[path[-1]] = "other" if old != "other" else "another"


def test_a_changed_tool_changes_exactly_the_stages_that_use_it_and_what_follows(
    tmp_path: Path, monkeypatch: Any
) -> None:
    recipe = load_recipes([project(tmp_path)])[0]
    memo = Memo(tmp_path / "memo.sqlite")
    real = toolchain.installed_versions()
    before = keys(recipe, memo)
    tools = {r.distribution for t in plan(recipe) for r in required(t)}
    assert {"onnx", "onnxruntime"} <= tools
    for tool in sorted(tools):
        names = [name for name in real if name.startswith(tool)]
        faked = {**real, **dict.fromkeys(names, "0.0.1")}
        monkeypatch.setattr(toolchain, "installed_versions", lambda faked=faked: faked)
        after = keys(recipe, memo)
        users = {
            t.id
            for t in plan(recipe)
            if any(set(names) & {r.distribution, *r.alternatives} for r in required(t))
        }
        assert changed_tasks(before, after) == downstream(recipe, users), tool
    memo.close()


def required(task: Any) -> Any:
    stage = STAGES[task.stage]
    return stage.requires({**task.options, "gpu": False} if stage.takes_gpu else task.options)


def test_keys_do_not_depend_on_process_seed_locale_time_zone_folder_or_user(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, json; from pathlib import Path\n"
        "from tests.graph.test_key_properties import keys, project\n"
        "from trtbuild.recipe.load import load_recipes; from trtbuild.store.memo import Memo\n"
        "folder = Path(sys.argv[1]); folder.mkdir(parents=True)\n"
        "recipe = load_recipes([project(folder)])[0]\n"
        "print(json.dumps(keys(recipe, Memo(folder / 'memo.sqlite'))))\n"
    )
    worlds = [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC", "USER": "one", "HOME": "/one"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "USER": "two"},
    ]
    found = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / str(number) / ("deep/" * number))],
            env={**os.environ, **world},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number, world in enumerate(worlds)
    ]
    assert found[0] == found[1]
    assert canonical_json(json.loads(found[0]))
