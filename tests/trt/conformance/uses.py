"""Finds in our code every attribute of TensorRT's classes that it uses, and how it calls them."""

from __future__ import annotations

import ast
import builtins
import json
import pathlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trtbuild.recipe.build_table import option

PACKAGE = Path(__file__).parents[3] / "trtbuild"
ROOM = PACKAGE / "trt"

TYPES = {
    "attention": ("IAttention",),
    "base": ("ILogger", "IProgressMonitor"),
    "builder": ("Builder",),
    "cache": ("ITimingCache",),
    "config": ("IBuilderConfig",),
    "context": ("IExecutionContext",),
    "inspector": ("EngineInspector",),
    "layer": ("ILayer",),
    "native": ("ICudaEngine", "IExecutionContext"),
    "network": ("INetworkDefinition",),
    "other": ("ITimingCache",),
    "refitter": ("Refitter",),
    "parser": ("OnnxParser",),
    "profile": ("IOptimizationProfile",),
    "registry": ("IPluginRegistry",),
    "runtime": ("Runtime",),
    "_runtime": ("Runtime",),
    "_runtime_cache": ("IRuntimeCache",),
}
"""What our code calls TensorRT's objects. A name may hold either of two in different modules."""

IN_MODULE = {
    ("builder.py", "engine"): ("IHostMemory",),
    ("contexts.py", "config"): ("IRuntimeConfig",),
    ("network_settings.py", "boundary"): ("IAttentionInputLayer",),
    ("network_settings.py", "tensor"): ("ITensor",),
    ("parser.py", "error"): ("ParserError",),
    ("profile.py", "tensor"): ("ITensor",),
    ("plugins.py", "owner"): ("Builder", "Runtime"),
    ("tactics.py", "entry"): ("TimingCacheValue",),
    ("timing.py", "parser"): ("OnnxParserRefitter",),
}
"""Names that stand for something else in one module."""

BEHIND = {
    ("tactics.py", "tactics_of"): "timing_cache.tactics",
    ("network_settings.py", "_attentions_in"): "decomposable_attentions",
}
"""Functions that are called only where an option is set, and asked for."""

RESULTS = {"create_runtime_config": ("IRuntimeConfig",)}
"""What calls return that are used at once."""


@dataclass(frozen=True, order=True)
class Use:
    """An attribute of one of some classes; "" is the module.

    `positional` counts the arguments without names; it is -1 where nothing is called. `function`
    is the one that it stands in, "" outside of any.
    """

    file: str
    line: int
    classes: tuple[str, ...]
    name: str
    positional: int = -1
    keywords: tuple[str, ...] = ()
    function: str = ""


def uses() -> list[Use]:
    """Every use in the room."""
    return [use for path in sorted(ROOM.glob("*.py")) for use in _in_file(path)]


def unclassified(members: set[str]) -> list[str]:
    """Uses of names that TensorRT's classes have, on objects that no table here knows.

    A name that objects of ours or of Python have too is not among them.
    """
    known = _own_names()
    found = []
    for path in sorted(ROOM.glob("*.py")):
        tree = ast.parse(path.read_text())
        aliases = _aliases(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or _classes(path.name, node.value) is not None:
                continue
            if node.attr in members - known and not _of_module(node, aliases):
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    return found


def guards(use: Use) -> set[str]:
    """Names, dotted or not, that are asked for where a use stands, before it comes to it.

    Its own function asks by `has`, `hasattr` or `getattr`; a function that the tables of settings
    name is only called after `require` has asked for what the row needs.
    """
    tree = ast.parse((ROOM / use.file).read_text())
    found = set(_rows_of(tree).get(use.function, ()))
    if (use.file, use.function) in BEHIND:
        found.update(option(BEHIND[use.file, use.function]).needs)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name != use.function:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _called(node) in ("has", "hasattr", "getattr"):
                texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
                found.update(text for text in texts if isinstance(text, str))
    return found


def _rows_of(tree: ast.Module) -> dict[str, set[str]]:
    """What the rows of the table need that a function stands beside in `_OWN` or `_WRITERS`."""
    found: dict[str, set[str]] = {}
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Dict):
            continue
        if getattr(node.target, "id", "") not in ("_OWN", "_WRITERS"):
            continue
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            assert isinstance(key, ast.Constant)
            named = {inner.id for inner in ast.walk(value) if isinstance(inner, ast.Name)}
            for name in named:
                found.setdefault(name, set()).update(option(str(key.value)).needs)
    return found


def _in_file(path: Path) -> Iterator[Use]:
    tree = ast.parse(path.read_text())
    aliases = _aliases(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    functions = _functions(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr == "__class__":  # all have that
            continue
        call = calls.get(id(node))
        where = functions.get(id(node), "")
        counts = (len(call.args), tuple(k.arg or "" for k in call.keywords)) if call else (-1, ())
        if call and any(isinstance(argument, ast.Starred) for argument in call.args):
            counts = (-1, ())
        chain = _of_module(node, aliases)
        if chain:
            owner = (".".join(chain[:-1]),)
            yield Use(path.name, node.lineno, owner, chain[-1], *counts, where)
            continue
        classes = _classes(path.name, node.value)
        if classes:
            yield Use(path.name, node.lineno, classes, node.attr, *counts, where)


def _functions(tree: ast.Module) -> dict[int, str]:
    """The innermost function that each node stands in, by the node's id."""
    found = {}
    for function in ast.walk(tree):  # outer ones first
        if isinstance(function, ast.FunctionDef):
            found.update(dict.fromkeys(map(id, ast.walk(function)), function.name))
    return found


def _aliases(tree: ast.Module) -> dict[str, list[str]]:
    """Names that stand for something of the module, such as an enum."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            chain = _of_module(node.value, {})
            for target in node.targets:
                if chain and isinstance(target, ast.Name):
                    found[target.id] = chain
    return found


def _of_module(node: ast.Attribute, aliases: dict[str, list[str]]) -> list[str]:
    """The names behind `flavour.module` or `trt`, such as ["BuilderFlag", "TF32"]; else []."""
    names = [node.attr]
    inner = node.value
    while isinstance(inner, ast.Attribute) and inner.attr != "module":
        names.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name) and inner.id in aliases:
        return [*aliases[inner.id], *names[::-1]]
    module = isinstance(inner, ast.Attribute) and inner.attr == "module"
    alias = isinstance(inner, ast.Name) and inner.id in ("trt", "module")
    return names[::-1] if module or alias else []


def _classes(file: str, node: ast.expr) -> tuple[str, ...] | None:
    """The classes that an expression may be of: None where it is nothing that is known here."""
    if isinstance(node, ast.Call):
        return RESULTS.get(_called(node))
    name = getattr(node, "id", "") or getattr(node, "attr", "")
    return IN_MODULE.get((file, name)) or TYPES.get(name)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _own_names() -> set[str]:
    """Names of attributes that objects of ours, of Python, numpy or the device layer have."""
    found: set[str] = set()
    kinds = (str, bytes, list, dict, set, tuple, int, float, object, BaseException, np.ndarray)
    for kind in (*kinds, pathlib.Path, re.Pattern, re.Match, subprocess.CompletedProcess):
        found.update(dir(kind))
    for module in (builtins, json, re, np):
        found.update(dir(module))
    for path in (
        *ROOM.glob("*.py"),
        *(PACKAGE / "cuda").glob("*.py"),
        *PACKAGE.glob("*.py"),
        *(PACKAGE / "recipe").rglob("*.py"),
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign):
                found.add(getattr(node.target, "id", "") or getattr(node.target, "attr", ""))
            elif isinstance(node, ast.Assign):
                found.update(
                    t.attr
                    for t in node.targets
                    if isinstance(t, ast.Attribute)
                    and isinstance(t.value, ast.Name)
                    and t.value.id == "self"
                )
    return found
