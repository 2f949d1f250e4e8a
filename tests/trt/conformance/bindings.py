"""NVIDIA's bindings that the code is compared with, and how they are had and looked into."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Classes = dict[str, dict[str, list[list[str]]]]
"""By class, "" for the module: its members, and for each the parameters of its overloads."""


@dataclass(frozen=True)
class Binding:
    """A package of bindings, and the names of the libraries that it wants."""

    package: str
    version: str
    libraries: tuple[str, ...]

    @property
    def backend(self) -> str:
        return "tensorrt_rtx" if "rtx" in self.package else "tensorrt"

    @property
    def module(self) -> str:
        return f"{self.backend}_bindings"


def _proper(version: str, cuda: str) -> Binding:
    major = version.partition(".")[0]
    names = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
    return Binding(
        f"tensorrt-{cuda}-bindings", version, tuple(f"lib{name}.so.{major}" for name in names)
    )


def _rtx(version: str) -> Binding:
    names = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")
    return Binding("tensorrt-rtx-cu13-bindings", version, names)


BINDINGS = (
    _proper("10.3.0", "cu12"),  # what JetPack 6 has
    _proper("10.16.1.11", "cu12"),
    _proper("11.4.0.106", "cu13"),
    _rtx("1.4.0.76"),
    _rtx("1.5.0.114"),
    _rtx("1.6.1.120"),
    _rtx("1.7.1.116"),
)


def install(folder: Path, *requirements: str) -> str:
    """Install packages alone into a folder; why not, where that fails, else ""."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder)]
    process = subprocess.run([*command, *requirements], capture_output=True, text=True)
    told = process.stderr.strip().splitlines()
    wanted = " ".join(requirements)
    return "" if process.returncode == 0 else f"{wanted} cannot be had: {told[-1] if told else ''}"


def fetch(binding: Binding, folder: Path) -> str:
    """A binding and stubs of its libraries in a folder; why not, where that fails, else ""."""
    return install(folder, f"{binding.package}=={binding.version}") or _compile(binding, folder)


def _compile(binding: Binding, folder: Path) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "there is no C compiler to make the stub libraries with"
    for library in binding.libraries:
        named = f"-Wl,-soname,{library}"
        made = ["-o", str(folder / library)]
        subprocess.run(
            [compiler, "-shared", "-fPIC", named, str(HERE / "stub.c"), *made], check=True
        )
    return ""


def look_into(binding: Binding, folder: Path) -> Classes:
    """What a fetched binding has."""
    stubs = [str(folder / library) for library in binding.libraries]
    document = probe(str(folder), binding.module, *stubs)
    assert document["version"].startswith(binding.version)
    classes: Classes = document["classes"]
    return classes


def probe(folder: str, module: str, *stubs: str) -> dict[str, Any]:
    """The version and classes of a module, from a process with nothing else in sight."""
    process = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "probe.py"), folder, module, *stubs],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found
