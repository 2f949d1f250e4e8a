"""Loads the shared libraries of plugins that a recipe names."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError

if TYPE_CHECKING:
    from trtbuild.trt.logger import Log


@dataclass(frozen=True, slots=True)
class Plugins:
    """The libraries of a recipe, by how they are loaded."""

    static: tuple[Path, ...] = ()
    dynamic: tuple[Path, ...] = ()
    serialize: tuple[Path, ...] = ()


NONE = Plugins()


def plugins_of(inputs: Mapping[str, Path]) -> Plugins:
    """The libraries among a stage's inputs, whose roles are `plugins/KIND/NUMBER`."""

    def of(kind: str) -> tuple[Path, ...]:
        roles = sorted(
            (role for role in inputs if role.startswith(f"plugins/{kind}/")),
            key=lambda role: int(role.rpartition("/")[2]),
        )
        return tuple(inputs[role] for role in roles)

    return Plugins(of("static"), of("dynamic"), of("serialize"))


def load_plugins(log: Log, owner: Any, plugins: Plugins) -> None:
    """Load the libraries for a builder or runtime, whose registry is its own; TensorRT's first.

    Raises StageError for a library that cannot be loaded, with what the loader says.
    """
    module = log.flavour.module
    if log.flavour.kind != "rtx":
        module.init_libnvinfer_plugins(log.native, "")
    for path in plugins.static:
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise _unloadable(path, (str(error),)) from error
    libraries = dict.fromkeys((*plugins.dynamic, *plugins.serialize))
    if libraries:
        _register(log, owner.get_plugin_registry(), libraries)


def serialize_plugins(config: Any, plugins: Plugins) -> None:
    """Have libraries stored in the engine. Raises StageError where TensorRT did not take them."""
    if not plugins.serialize:
        return
    paths = [str(path) for path in plugins.serialize]
    config.plugins_to_serialize = paths
    if sorted(config.plugins_to_serialize) != sorted(paths):  # TensorRT keeps a set
        raise StageError("TensorRT does not take these libraries", where="build.plugins.serialize")


def _register(log: Log, registry: Any, libraries: Iterable[Path]) -> None:
    for path in libraries:
        before = len(log.errors)
        if registry is None or registry.load_library(str(path)) is None:
            raise _unloadable(path, log.errors[before:])


def _unloadable(path: Path, said: tuple[str, ...]) -> StageError:
    return StageError(
        f"the plugin library cannot be loaded: {'; '.join(said) or 'TensorRT gave no reason'}",
        where=str(path),
        hint="it must be built for this TensorRT, CUDA and machine, and find what it links to: "
        "`ldd` shows what is missing",
    )
