"""What to call instead of a trtexec that was given an engine, of which no recipe can be made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from trtbuild.recipe.trtexec.made import Made
from trtbuild.recipe.trtexec.read import Call
from trtbuild.recipe.trtexec.shapes import dims_text
from trtbuild.recipe.trtexec.values import path


def without_model(call: Call, made: Made) -> str:
    """A hint: the command that does what this call does with its engine, if it has one."""
    names = {option.name for option in call.options}
    engine = next((o.value for o in call.options if o.name == "--loadEngine" and o.value), None)
    if engine is None:
        return "add --onnx=FILE"
    if "--getPlanVersionOnly" in names or not made.measured:
        return f"`{shlex.join(['trtbuild', 'inspect', path(engine)])}` says what the engine is"
    words = ["trtbuild", "bench", path(engine), *_arguments(made)]
    return f"an engine says nothing of its model; to measure it: {shlex.join(words)}"


def _arguments(made: Made) -> Iterator[str]:
    if made.asked.inference:
        shapes = (f"{name}:{dims_text(sizes)}" for name, sizes in made.asked.inference.items())
        yield f"--shapes={','.join(shapes)}"
    if "build.device" in made.values:
        yield f"--device={made.values['build.device']}"
    found = {
        key.removeprefix("benchmark."): value
        for key, value in made.values.items()
        if key.startswith("benchmark.") and key != "benchmark.shapes"
    }
    for key, value in found.items():
        yield from _argument(key, value)
    if found.get("export") or found.get("profile"):
        yield "--out=bench"


def _argument(key: str, value: Any) -> Iterator[str]:
    flag = f"--{key.replace('_', '-')}"
    if key == "inputs.files":
        yield from (f"--input={name}={file}" for name, file in value.items())
    elif key == "export":
        yield from (f"{flag}={kind}" for kind in value)
    elif key == "percentiles":
        yield f"{flag}={','.join(map(str, value))}"
    elif key == "cuda_graph":  # it has a third value
        yield f"{flag}={str(value).lower()}"
    elif isinstance(value, bool):
        yield flag if value else f"--no-{key.replace('_', '-')}"
    else:
        yield f"{flag}={value}"
