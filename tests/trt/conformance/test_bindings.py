"""NVIDIA's bindings themselves, fetched: they have what is recorded, and take our arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trt.conformance import uses as finder
from tests.trt.conformance.bindings import BINDINGS, Binding, Classes, fetch, look_into, probe
from tests.trt.conformance.surfaces import FILE, document, names_of, recorded
from tests.trt.conformance.uses import Use
from trtbuild.trt.flavour import Flavour

AGAIN = "write surfaces.json again: python -m tests.trt.conformance.surfaces"


def accepts(overloads: list[list[str]], use: Use) -> bool:
    """Whether one of the overloads takes so many arguments, with these names."""
    for names in overloads:
        plain = [name.removesuffix("=") for name in names]
        needed = [name for name in names if not name.endswith("=")]
        given = use.positional + len(use.keywords)
        if len(needed) <= given <= len(names) and set(use.keywords) <= set(plain):
            return True
    return not overloads


def refused(classes: Classes) -> list[str]:
    """Calls in our code whose arguments no overload of a binding takes."""
    wrong = []
    for use in finder.uses():
        found = [
            classes[owner][use.name] for owner in use.classes if use.name in classes.get(owner, {})
        ]
        if use.positional >= 0 and found and not any(accepts(item, use) for item in found):
            wrong.append(f"{use.file}:{use.line} {use.name} takes {found}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("binding", BINDINGS, ids=lambda b: f"{b.backend}-{b.version}")
def test_a_binding_has_what_is_recorded_and_takes_our_arguments(
    binding: Binding, tmp_path: Path
) -> None:
    reason = fetch(binding, tmp_path)
    if reason:
        pytest.skip(reason)
    classes = look_into(binding, tmp_path)
    assert names_of(classes) == recorded()[binding.version], AGAIN
    assert refused(classes) == []


def test_the_binding_that_is_installed_takes_our_arguments(rtx: Flavour) -> None:
    folder = Path(str(rtx.module.__file__)).parents[1]
    found = probe(str(folder), "tensorrt_rtx")
    assert found["version"] == rtx.version
    assert refused(found["classes"]) == []
    if rtx.version in recorded():
        assert set(recorded()[rtx.version]["IBuilderConfig"]) <= set(
            found["classes"]["IBuilderConfig"]
        )


def test_wrong_arguments_are_found() -> None:
    assert not accepts([["name", "shape"]], Use("a.py", 1, ("X",), "f", 1))
    assert accepts([["name", "shape="]], Use("a.py", 1, ("X",), "f", 1))
    assert not accepts([["name"]], Use("a.py", 1, ("X",), "f", 0, ("nam",)))


def test_the_record_is_written_as_it_is_read() -> None:
    assert document(recorded()) == FILE.read_text()
