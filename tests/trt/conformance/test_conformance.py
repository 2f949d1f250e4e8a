"""The code against NVIDIA's own bindings: what it uses exists in each, or is asked for before.

What the bindings have is recorded in surfaces.json; test_bindings.py compares that with them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.trt.conformance import uses as finder
from tests.trt.conformance.bindings import BINDINGS, Binding
from tests.trt.conformance.surfaces import Surface, recorded
from tests.trt.conformance.uses import Use
from trtbuild.recipe.build_table import OPTIONS

SURFACES = recorded()


@pytest.fixture(params=BINDINGS, ids=lambda b: f"{b.backend}-{b.version}")
def binding(request: pytest.FixtureRequest) -> Binding:
    found: Binding = request.param
    return found


def has(surface: Surface, dotted: str) -> bool:
    owner, _, name = dotted.rpartition(".")
    return name in surface.get(owner, ())


def there(surface: Surface, use: Use) -> bool:
    return any(use.name in surface.get(owner, ()) for owner in use.classes)


def knows(surface: Surface, name: str) -> bool:
    """Whether a binding has a dotted name, or any class a name without a dot."""
    return has(surface, name) or ("." not in name and any(name in c for c in surface.values()))


def out_of_reach(use: Use, here: Surface) -> bool:
    """Whether a use is of an object that nothing makes here, or is asked for before.

    An object of a class that is not here comes from a call that is not here either, which is a
    use of its own. Else the function asks for something that is not here, and that goes with
    what it uses in every binding.
    """
    if "" not in use.classes and not any(has(here, owner) for owner in use.classes):
        return True
    return any(
        not knows(here, name)
        and all(there(found, use) for found in SURFACES.values() if knows(found, name))
        for name in finder.guards(use)
    )


def missing(surface: Surface, uses: Iterable[Use]) -> list[str]:
    return [
        f"{use.file}:{use.line} {'|'.join(use.classes)}.{use.name}"
        for use in uses
        if not there(surface, use) and not out_of_reach(use, surface)
    ]


def test_what_the_code_uses_is_there_or_asked_for(binding: Binding) -> None:
    assert missing(SURFACES[binding.version], finder.uses()) == []


def test_the_table_of_options_says_where_each_member_is(binding: Binding) -> None:
    surface = SURFACES[binding.version]
    wrong = []
    for row in OPTIONS:
        if not row.where.has(binding.backend, binding.version):
            continue
        wrong += [f"{row.key}: {name}" for name in row.needs if not has(surface, name)]
        for text, value in row.values.items():
            owner = row.enum or "BuilderFlag"
            known = not value.member or has(surface, f"{owner}.{value.member}")
            if value.where.has(binding.backend, binding.version) and not known:
                wrong.append(f"{row.key}: {text}")
        for text, value in row.items.items():
            there_is = has(surface, f"ComputeCapability.{value.member}")
            if value.where.has(binding.backend, binding.version) != there_is:
                wrong.append(f"{row.key}: {text}")
    assert wrong == []


@pytest.mark.parametrize("version", [b.version for b in BINDINGS if b.backend == "tensorrt"])
def test_an_option_that_a_version_is_said_to_lack_is_not_simply_there(version: str) -> None:
    """First versions in the table are not later than they must be.

    TensorRT-RTX is not asked: it has many members that do nothing there.
    """
    simply = [
        row.key
        for row in OPTIONS
        if not row.where.has("tensorrt", version)
        and "dla" not in row.key  # DLA is in the API of versions that drive none
        and all(has(SURFACES[version], name) for name in row.needs)
    ]
    assert simply == []


def test_no_use_of_tensorrt_escapes_the_comparison() -> None:
    members = {
        name
        for surface in SURFACES.values()
        for owner, found in surface.items()
        for name in found
        if owner and not name.startswith("_")
    }
    assert finder.unclassified(members) == []


def test_the_comparison_finds_what_the_code_uses() -> None:
    found = finder.uses()
    assert any(use.name == "build_serialized_network" for use in found)
    assert any(use.classes == ("NetworkDefinitionCreationFlag",) for use in found)
    assert len({use.file for use in found}) >= 8


NEW_USES = {
    "config.max_num_tactics = 1": "IBuilderConfig.max_num_tactics",
    "flag = flavour.module.BuilderFlag.STRICT_NANS": "BuilderFlag.STRICT_NANS",
    "cache = config.create_runtime_cache()": "IBuilderConfig.create_runtime_cache",
    "network.mark_unfused_tensors_as_debug_tensors()": (
        "INetworkDefinition.mark_unfused_tensors_as_debug_tensors"
    ),
    'flavour.has("Builder") and config.max_num_tactics': "IBuilderConfig.max_num_tactics",
}
"""New code that TensorRT 10.3 cannot run, and what is found; the last asks the wrong thing."""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code that may be changed."""
    shutil.copytree(finder.ROOM, tmp_path / "trt")
    monkeypatch.setattr(finder, "ROOM", tmp_path / "trt")
    return tmp_path / "trt"


def added(room: Path, file: str, line: str) -> list[str]:
    """What is missing in 10.3 after a function of one line was added to a module."""
    path = room / file
    path.write_text(f"{path.read_text()}\ndef new(config, flavour, network):\n    {line}\n")
    return missing(SURFACES["10.3.0"], finder.uses())


@pytest.mark.parametrize("file", ["header.py", "settings.py"])
@pytest.mark.parametrize("line", NEW_USES)
def test_a_new_use_that_is_not_everywhere_fails_the_comparison(
    room: Path, file: str, line: str
) -> None:
    assert [text.partition(" ")[2] for text in added(room, file, line)] == [NEW_USES[line]]


@pytest.mark.parametrize(
    "line",
    [
        'if flavour.has("IBuilderConfig.max_num_tactics"): config.max_num_tactics = 1',
        'if hasattr(config, "max_num_tactics"): config.max_num_tactics = 1',
    ],
)
def test_a_new_use_that_is_asked_for_passes(room: Path, line: str) -> None:
    assert added(room, "header.py", line) == []


def test_a_use_of_an_object_without_a_known_name_fails_the_comparison(room: Path) -> None:
    added(room, "header.py", "flavour.thing.mark_unfused_tensors_as_debug_tensors()")
    (found,) = finder.unclassified({"mark_unfused_tensors_as_debug_tensors"})
    assert found.endswith("flavour.thing.mark_unfused_tensors_as_debug_tensors")
