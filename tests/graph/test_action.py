"""Action keys hold what decides the outputs, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtbuild.graph.action import Action, differences
from trtbuild.store.digest import Digest

ACTION = Action(
    stage="build",
    stage_version=1,
    options={"opt": [8, 3], "precision": "fp16"},
    inputs=(("model/model.onnx", Digest("a" * 64, 10)),),
    outputs=("engine.plan",),
    toolchain=(("tensorrt-rtx", "1.7.1.116"),),
    discovered=(("models/net.py", "sha256:b:1"),),
)

GOLDEN = "6a9df4ac723031e96372fc6b589767362e9191c134d488e56ea9955780afdbf0"
"""ACTION's key. A change of it rebuilds everything of everybody: raise
ACTION_FORMAT or a stage's version in the same change, and say so in the changelog."""


def test_the_key_of_a_known_action_stays_what_it_is() -> None:
    assert ACTION.key() == GOLDEN


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "export"},
        {"stage_version": 2},
        {"options": {"opt": [16, 3], "precision": "fp16"}},
        {"inputs": (("model/model.onnx", Digest("a" * 63 + "b", 10)),)},
        {"inputs": (("model/model.onnx", Digest("a" * 64, 11)),)},
        {"inputs": (("other/model.onnx", Digest("a" * 64, 10)),)},
        {"outputs": ("engine.plan", "build.log")},
        {"toolchain": (("tensorrt-rtx", "1.6.1.120"),)},
        {"discovered": (("models/net.py", "missing"),)},
        {"discovered": ()},
    ],
)
def test_changing_any_field_changes_the_key(change: dict[str, object]) -> None:
    changed = dataclasses.replace(ACTION, **change)  # type: ignore[arg-type]
    assert changed.key() != ACTION.key()
    assert differences(ACTION.document(), changed.document())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), json_values))
def test_the_key_does_not_depend_on_the_order_of_options(options: dict[str, object]) -> None:
    reversed_options = dict(reversed(options.items()))
    first = dataclasses.replace(ACTION, options=options)  # type: ignore[arg-type]
    second = dataclasses.replace(ACTION, options=reversed_options)  # type: ignore[arg-type]
    assert first.key() == second.key()


@given(json_values, json_values)
def test_differences_are_found_exactly_where_values_differ(old: object, new: object) -> None:
    same = repr(old) == repr(new)
    found = differences({"a": old}, {"a": new})
    if same:
        assert not found
    elif old != new:
        assert found
        assert all(reason.field.startswith("a") for reason in found)


def test_a_difference_names_the_field_and_both_values() -> None:
    old = {"inputs": [{"name": "image", "opt": [8, 3]}], "digest": "sha256:" + "1" * 64 + ":9"}
    new = {"inputs": [{"name": "image", "opt": [16, 3]}], "digest": "sha256:" + "2" * 64 + ":9"}
    texts = [reason.text for reason in differences(old, new)]
    assert texts == [
        "digest: 111111111111 -> 222222222222",
        "inputs.image.opt: [8,3] -> [16,3]",
    ]
