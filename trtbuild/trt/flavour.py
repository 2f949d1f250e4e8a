"""Loads TensorRT 10, TensorRT 11 or TensorRT-RTX, and says what the one loaded can do."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from trtbuild.errors import MissingPackage, UsageError

Kind = Literal["tensorrt10", "tensorrt11", "rtx"]
"""The three lineages of the API."""

_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_EXTRAS = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}  # of trtbuild, by backend

_DTYPES = {  # where numpy's or ml_dtypes' name is not TensorRT's in lower case
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "FP8": "float8_e4m3fn",
    "FP4": "float4_e2m1fn",
    "E8M0": "float8_e8m0fnu",
}


@dataclass(frozen=True, slots=True)
class Flavour:
    """One importable TensorRT: its module, and what to call it.

    Ask `has` for a feature before using it. The version and the integers behind enums tell
    nothing: RTX 1.4 has members that 1.5 lost, and STRONGLY_TYPED is 1 in one and 0 in another.
    """

    backend: str  # "tensorrt" or "tensorrt_rtx", as recipes say it
    kind: Kind
    version: str  # as the package gives it: "10.16.1.11", "10.14.1.48.post1", "1.7.1.116"
    module: Any

    @property
    def title(self) -> str:
        """ "TensorRT-RTX 1.7.1.116", for messages."""
        return f"{_TITLES[self.backend]} {self.version}"

    def has(self, name: str) -> bool:
        """Whether a dotted name, such as "BuilderFlag.STRICT_NANS", exists in the module."""
        return _has(self.module, name)


def load_backend(backend: str) -> Flavour:
    """Import a backend.

    Raises MissingPackage where it is not installed, UsageError where it is there and broken, or
    where no backend has this name.
    """
    if backend not in _TITLES:
        raise UsageError(
            f"'{backend}' is no backend", hint=f"choose one of {', '.join(sorted(_TITLES))}"
        )
    try:
        module = importlib.import_module(backend)
    except ModuleNotFoundError as error:
        if error.name != backend:
            raise _broken(backend, error) from error
        raise MissingPackage(
            f"{_TITLES[backend]} is not installed: there is no Python module '{backend}'",
            hint=f"install it: {_install_line(backend)}",
        ) from error
    except (ImportError, OSError) as error:
        raise _broken(backend, error) from error
    if not _has(module, "Builder") or not _has(module, "__version__"):
        raise _broken(backend, "the module holds no Builder")
    return Flavour(backend, _kind_of(module), str(module.__version__), module)


def dtype_name(dtype: Any) -> str:
    """numpy's (or ml_dtypes') name of a TensorRT DataType: "float32", "bfloat16", "int64"."""
    name = str(dtype.name)
    return _DTYPES.get(name, name.lower())


def _kind_of(module: Any) -> Kind:
    """By members that only this lineage has (compared over 10.0 to 11.4 and RTX 1.4 to 1.7)."""
    if _has(module, "ComputeCapability"):
        return "rtx"
    return "tensorrt10" if _has(module, "Builder.platform_has_tf32") else "tensorrt11"


def _has(module: Any, name: str) -> bool:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def _broken(backend: str, why: object) -> UsageError:
    return UsageError(
        f"{_TITLES[backend]} is installed and cannot be imported: {why}",
        hint=f"install it again: {_install_line(backend)}",
    )


def _install_line(backend: str) -> str:
    return f"pip install 'trtbuild[{_EXTRAS[backend]}]'"
