"""Which paths a function was called with, as far as its frame still has them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from types import FrameType
from typing import Any

MOST = 1000
"""Of the elements of an argument that are looked at."""


def is_given(path: str, frame: FrameType, *, beside: bool = False) -> bool:
    """Whether an absolute path is among the arguments of the function of a frame, or in one that is
    a collection; with `beside` also if its folder is. What is a parameter's default is not given.
    """
    wanted = {path, os.path.dirname(path)} if beside else {path}  # noqa: PTH120 - text
    return any(_is_one_of(wanted, value) for value in _paths(frame))


def _is_one_of(wanted: set[str], value: Any) -> bool:
    text = os.fsdecode(value)
    if not any(os.path.basename(path) in text for path in wanted):  # noqa: PTH119 - most are none
        return False
    expanded = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - text
    return expanded in wanted or os.path.realpath(expanded) in wanted


def _paths(frame: FrameType) -> Iterator[Any]:
    for value in _arguments(frame):
        for inner in (value, *_elements(value)):
            if isinstance(inner, (str, bytes, os.PathLike)):
                yield inner


def _elements(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return islice(value.values(), MOST)
    return islice(value, MOST) if isinstance(value, (list, tuple, set, frozenset)) else ()


def _arguments(frame: FrameType) -> Iterator[Any]:
    code, values = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    names = code.co_varnames[:count]
    owner = type(values[names[0]]) if names and names[0] in values else None
    function = frame.f_globals.get(code.co_name) or getattr(owner, code.co_name, None)
    defaults = _defaults(function, frame)
    for name in names:
        if name in values and id(values[name]) not in defaults:
            yield values[name]


def _defaults(function: Any, frame: FrameType) -> set[int]:
    """The identities of the defaults of a function, where it is the one that runs in a frame."""
    while function is not None and getattr(function, "__code__", None) is not frame.f_code:
        function = getattr(function, "__wrapped__", None)
    positional = getattr(function, "__defaults__", None) or ()
    keyword = getattr(function, "__kwdefaults__", None) or {}
    return set(map(id, (*positional, *keyword.values())))
