"""Imports a TensorRT binding over stub libraries and prints what it has, as JSON.

Run as `python -I -S probe.py FOLDER MODULE STUB...`, with no other packages in sight.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import re
import sys
import warnings


def members(kind: type) -> dict[str, list[list[str]]]:
    """The attributes of a class: for what can be called, the parameters of each overload."""
    return {name: overloads(getattr(kind, name, None), name) for name in dir(kind)}


def overloads(thing: object, name: str) -> list[list[str]]:
    """The names of the parameters, from the text that pybind11 makes; defaults end with "="."""
    lines = (getattr(thing, "__doc__", "") or "").splitlines() if callable(thing) else []
    found = []
    for line in lines:
        match = re.match(rf"\s*(?:\d+\.\s*)?{re.escape(name)}\((.*)\)(?: -> .*)?$", line)
        if match is not None:
            found.append([parameter(part) for part in split(match[1])])
    return [[name for name in names if name != "self"] for names in found]


def parameter(text: str) -> str:
    """ "workers=" for "workers: int = 1"."""
    name = text.split(":", maxsplit=1)[0].split("=", maxsplit=1)[0].strip()
    return f"{name}=" if "=" in text else name


def split(text: str) -> list[str]:
    """The parameters, at commas outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip() not in ("", "*", "/")]


folder, module_name, *stubs = sys.argv[1:]
for stub in stubs:
    ctypes.CDLL(stub, mode=ctypes.RTLD_GLOBAL)
sys.path.insert(0, folder)
warnings.simplefilter("ignore")
module = importlib.import_module(module_name)
classes = {name: members(kind) for name, kind in vars(module).items() if isinstance(kind, type)}
for name, kind in list(vars(module).items()):
    if isinstance(kind, type):
        for inner, nested in vars(kind).items():
            if isinstance(nested, type):
                classes[f"{name}.{inner}"] = members(nested)
classes[""] = {name: overloads(thing, name) for name, thing in vars(module).items()}
print(json.dumps({"version": module.__version__, "classes": classes}))
