"""The code against NVIDIA's own bindings: what it uses exists in each, or is asked for before."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.trt.conformance import uses as finder
from tests.trt.conformance.uses import Use
from trtbuild.recipe.build_table import OPTIONS

HERE = Path(__file__).parent
Classes = dict[str, dict[str, list[list[str]]]]


@dataclass(frozen=True)
class Binding:
    """A package of bindings, its module, and the names of the libraries that it wants."""

    package: str
    version: str
    libraries: tuple[str, ...]

    @property
    def backend(self) -> str:
        return "tensorrt_rtx" if "rtx" in self.package else "tensorrt"

    @property
    def module(self) -> str:
        return f"{self.backend}_bindings"


def proper(version: str, cuda: str) -> Binding:
    major = version.partition(".")[0]
    names = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
    return Binding(
        f"tensorrt-{cuda}-bindings", version, tuple(f"lib{name}.so.{major}" for name in names)
    )


def rtx(version: str) -> Binding:
    names = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
    return Binding("tensorrt-rtx-cu13-bindings", version, names)


BINDINGS = (
    proper("10.3.0", "cu12"),  # what JetPack 6 has
    proper("10.16.1.11", "cu12"),
    proper("11.4.0.106", "cu13"),
    rtx("1.4.0.76"),
    rtx("1.6.1.120"),
    rtx("1.7.1.116"),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classes]:
    """What each binding has; those that cannot be had are left out."""
    found = {}
    for binding in BINDINGS:
        folder = tmp_path_factory.mktemp(binding.version)
        reason = _fetch(binding, folder) or _compile(binding, folder)
        found[binding.version] = {"": {"!": [[reason]]}} if reason else _probe(binding, folder)
    return found


def _fetch(binding: Binding, folder: Path) -> str:
    """Install a binding alone into a folder; why not, where it fails."""
    wanted = f"{binding.package}=={binding.version}"
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(folder),
            wanted,
        ],
        capture_output=True,
        text=True,
    )
    told = process.stderr.strip().splitlines()
    return "" if process.returncode == 0 else f"{wanted} cannot be had: {told[-1] if told else ''}"


def _compile(binding: Binding, folder: Path) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "there is no C compiler to make the stub libraries with"
    for library in binding.libraries:
        subprocess.run(
            [
                compiler,
                "-shared",
                "-fPIC",
                f"-Wl,-soname,{library}",
                str(HERE / "stub.c"),
                "-o",
                str(folder / library),
            ],
            check=True,
        )
    return ""


def _probe(binding: Binding, folder: Path) -> Classes:
    stubs = [str(folder / library) for library in binding.libraries]
    process = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "probe.py"), str(folder), binding.module, *stubs],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    document = json.loads(process.stdout)
    assert document["version"].startswith(binding.version)
    classes: Classes = document["classes"]
    return classes


@pytest.fixture(params=BINDINGS, ids=lambda b: f"{b.backend}-{b.version}")
def surface(
    request: pytest.FixtureRequest, surfaces: dict[str, Classes]
) -> tuple[Binding, Classes]:
    classes = surfaces[request.param.version]
    if "!" in classes[""]:
        pytest.skip(classes[""]["!"][0][0])
    return request.param, classes


def has(classes: Classes, dotted: str) -> bool:
    owner, _, name = dotted.rpartition(".")
    return name in classes.get(owner, {})


def accepts(overloads: list[list[str]], use: Use) -> bool:
    """Whether one of the overloads takes so many arguments, with these names."""
    for names in overloads:
        plain = [name.removesuffix("=") for name in names]
        needed = [name for name in names if not name.endswith("=")]
        given = use.positional + len(use.keywords)
        if len(needed) <= given <= len(names) and set(use.keywords) <= set(plain):
            return True
    return not overloads


def there(classes: Classes, use: Use) -> bool:
    return any(use.name in classes.get(owner, {}) for owner in use.classes)


def guarded(use: Use, here: Classes, everywhere: list[Classes]) -> bool:
    """Whether the module asks for something that is not here, and that is only where this is.

    Options of the table ask for what their rows need (`require`).
    """
    asked = finder.guards(use.file)
    if use.file.endswith(("settings.py", "tactics.py")):
        asked |= {name for row in OPTIONS for name in row.needs}
    return any(
        not knows(here, name) and all(there(c, use) for c in everywhere if knows(c, name))
        for name in asked
    )


def knows(classes: Classes, name: str) -> bool:
    """Whether a binding has a dotted name, or any class a name without a dot."""
    return has(classes, name) or ("." not in name and any(name in c for c in classes.values()))


def test_what_the_code_uses_is_there_or_asked_for(
    surface: tuple[Binding, Classes], surfaces: dict[str, Classes]
) -> None:
    _, classes = surface
    everywhere = [found for found in surfaces.values() if "!" not in found[""]]
    missing = [
        f"{use.file}:{use.line} {'|'.join(use.classes)}.{use.name}"
        for use in finder.uses()
        if not there(classes, use) and not guarded(use, classes, everywhere)
    ]
    assert missing == []


def test_what_the_code_calls_takes_these_arguments(surface: tuple[Binding, Classes]) -> None:
    _, classes = surface
    wrong = []
    for use in finder.uses():
        if use.positional < 0:
            continue
        found = [
            classes[owner][use.name] for owner in use.classes if use.name in classes.get(owner, {})
        ]
        if found and not any(accepts(overloads, use) for overloads in found):
            wrong.append(f"{use.file}:{use.line} {use.name} takes {found}")
    assert wrong == []


def test_the_table_of_options_says_where_each_member_is(surface: tuple[Binding, Classes]) -> None:
    binding, classes = surface
    wrong = []
    for row in OPTIONS:
        if not row.where.has(binding.backend, binding.version):
            continue
        wrong += [f"{row.key}: {name}" for name in row.needs if not has(classes, name)]
        for text, value in row.values.items():
            owner = row.enum or "BuilderFlag"
            known = not value.member or has(classes, f"{owner}.{value.member}")
            if value.where.has(binding.backend, binding.version) and not known:
                wrong.append(f"{row.key}: {text}")
    assert wrong == []


def test_an_option_that_a_version_is_said_to_lack_is_not_simply_there(
    surface: tuple[Binding, Classes],
) -> None:
    """First versions in the table are not later than they must be."""
    binding, classes = surface
    if binding.backend == "tensorrt_rtx":
        return  # it has many members that do nothing there
    dla = {row.key for row in OPTIONS if "dla" in row.key}
    lacking = [
        row.key
        for row in OPTIONS
        if not row.where.has("tensorrt", binding.version) and row.key not in dla
    ]
    simply = [
        row.key
        for row in OPTIONS
        if row.key in lacking and all(has(classes, name) for name in row.needs)
    ]
    assert simply == []


def test_no_use_of_tensorrt_escapes_the_comparison(surfaces: dict[str, Classes]) -> None:
    members = {
        name
        for classes in surfaces.values()
        for owner, found in classes.items()
        for name in found
        if owner and not name.startswith("_")
    }
    if not members:
        pytest.skip("no binding can be had")
    assert finder.unclassified(members) == []


def test_a_use_of_something_that_is_not_there_would_be_found() -> None:
    found = finder.uses()
    assert any(use.name == "build_serialized_network" for use in found)
    assert any(use.classes == ("NetworkDefinitionCreationFlag",) for use in found)
    assert len({use.file for use in found}) >= 8
    assert not accepts([["name", "shape"]], Use("a.py", 1, ("X",), "f", 1))
    assert accepts([["name", "shape="]], Use("a.py", 1, ("X",), "f", 1))
    assert not accepts([["name"]], Use("a.py", 1, ("X",), "f", 0, ("nam",)))


def test_a_new_use_that_is_not_everywhere_fails_the_comparison(
    surfaces: dict[str, Classes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest = surfaces["10.3.0"]
    if "!" in oldest[""]:
        pytest.skip(oldest[""]["!"][0][0])
    shutil.copytree(finder.ROOM, tmp_path / "trt")
    monkeypatch.setattr(finder, "ROOM", tmp_path / "trt")
    header = tmp_path / "trt" / "header.py"
    header.write_text(
        header.read_text()
        + "def new(config, flavour, thing):\n"
        + "    config.max_num_tactics = 1\n"
        + "    config.set_flag(flavour.module.BuilderFlag.STRICT_NANS, 1)\n"
        + "    thing.mark_unfused_tensors_as_debug_tensors()\n"
    )
    used = [use for use in finder.uses() if use.file == "header.py"]
    missing = {use.name for use in used if not there(oldest, use)}
    assert missing == {"max_num_tactics", "STRICT_NANS"}
    (call,) = [use for use in used if use.name == "set_flag"]
    assert not accepts(oldest["IBuilderConfig"]["set_flag"], call)
    members = {"mark_unfused_tensors_as_debug_tensors"}
    assert len(finder.unclassified(members)) == 1
