"""keep_fp32 patterns: names, globs, operator types, and what does not match."""

from __future__ import annotations

import pytest

from tests.precision.nets import attention, overflowing
from trtbuild.errors import StageError
from trtbuild.precision.names import name_nodes, select_nodes


def test_a_name_a_glob_and_an_operator_type_all_select_nodes() -> None:
    model = overflowing()
    assert select_nodes(model, ["relu"], key="k") == {"relu"}
    assert select_nodes(model, ["*l*g*", "Mul"], key="k") == {"log", "enlarge", "square"}
    assert select_nodes(model, [], key="k") == frozenset()


def test_an_exact_name_with_glob_characters_selects_its_node() -> None:
    model = attention()
    model.graph.node[0].name = "layer[0]/sub*"
    assert select_nodes(model, ["layer[0]/sub*"], key="k") == {"layer[0]/sub*"}


def test_patterns_without_a_match_are_all_named_with_what_is_near() -> None:
    with pytest.raises(StageError) as caught:
        select_nodes(attention(), ["softmx", "/nowhere/*", "Add"], key="keep_fp32")
    text = str(caught.value)
    assert "keep_fp32: 'softmx' matches no node (did you mean 'softmax'" in text
    assert "'/nowhere/*' matches no node" in text
    assert "Add, Mul, Softmax, Sub" in text


def test_unnamed_nodes_get_names_that_nothing_else_has() -> None:
    model = attention()
    model.graph.node[0].name, model.graph.node[1].name = "", "Sub_0"
    name_nodes(model)
    assert [node.name for node in model.graph.node] == ["Sub_0_", "Sub_0", "add", "softmax"]
