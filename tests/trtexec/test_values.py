"""Whatever value an option has, it becomes a recipe that is valid, or one error."""

from __future__ import annotations

import pytest

from tests.trtexec.samples import VALUES
from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec.convert import convert
from trtbuild.recipe.trtexec.read import call_of
from trtbuild.recipe.trtexec.shapes import Port, Ports
from trtbuild.recipe.trtexec.valid import problems_of
from trtbuild.recipe.trtexec.write import recipe_text

PORTS = Ports((Port("x", "float32", ("n", 4)),), (Port("y", "float32", ("n", 3)),), quantized=False)

STRANGE = (
    *(
        "",
        " ",
        ":",
        ",",
        "-",
        "-1",
        "0",
        "1e999",
        "nan",
        "99999999999999999999",
        "0x10",
        "%",
        "-5%",
    ),
    *("x", "x:", ":1", "x:1:2", "x:1x", "x:-1x4", "x:0x4", "x:1x4,x:2x4", "'x", "'':1", "+", "+,-"),
    *(
        "é",
        "a\nb",
        "#",
        "- a: b",
        "{a: b}",
        "&a",
        "*",
        "!!python/object:os.system",
        "1G1",
        "1.5.2M",
    ),
)


@pytest.mark.parametrize("name", VALUES)
def test_a_strange_value_is_no_bug(name: str) -> None:
    for value in STRANGE:
        shapes = [] if "Shapes" in name or name == "--shapes" else ["--optShapes=x:4x4"]
        model = [] if name == "--onnx" else ["--onnx=tiny.onnx"]
        try:
            call = call_of([*model, *shapes, f"{name}={value}"])
            text = recipe_text(call, convert(call, PORTS))
        except UsageError:
            continue
        for problem in problems_of(text):  # the command says so, and writes nothing
            assert not problem.startswith(":"), (value, text)
