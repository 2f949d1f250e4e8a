"""Reads weights files, without ever running code that they hold."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trtbuild.errors import StageError
from trtbuild.model.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 8  # names listed of each kind of mismatch

_CONVERT = (
    "convert it once, where you trust the file: "
    "torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW), or "
    "safetensors.torch.save_file(state_dict, NEW) (a checkpoint's state dict is often below a key)"
)


def load_weights(path: Path, key: str | None) -> dict[str, torch.Tensor]:
    """The state dict in a .safetensors, .pt or .pth file, or in it at a dotted key.

    Raises StageError for a file that is missing, cut off, holds more than tensors, or lacks the
    key.
    """
    if path.suffix == ".safetensors":
        found = _read_safetensors(path)
    elif path.suffix in (".pt", ".pth"):
        found = _read_torch(path)
    else:
        raise StageError(
            f"weights in a '{path.suffix}' file are not read",
            where=str(path),
            hint="use .safetensors, or a state dict in .pt or .pth",
        )
    return _state_dict(_below(found, key, path), key, path)


def put_weights(
    module: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path, *, strict: bool
) -> list[str]:
    """Load a state dict into a module; names must match exactly where `strict`.

    Returns what the user should know of names that do not. Raises StageError with the names that
    are missing or not expected, and the shapes that differ.
    """
    expected = list(module.state_dict())
    try:
        result = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes differ; torch lists them, one a line
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise StageError(
            f"the weights do not fit the module: {'; '.join(lines[:_SHOWN])}{_more(lines)}",
            where=str(path),
            hint="give the factory the arguments that the weights were trained with (kwargs)",
        ) from error
    missing, unexpected = list(result.missing_keys), list(result.unexpected_keys)
    nothing = bool(expected) and len(missing) == len(expected)
    if (strict and (missing or unexpected)) or nothing:
        raise _mismatch(missing, unexpected, path, strict=strict)
    notes = []
    if missing:
        notes.append(
            f"{len(missing)} of the module's {len(expected)} tensors are not in {path.name} and "
            "keep what the factory gave them; where it drew them at random, another version of "
            f"torch makes another engine: {_listed(missing)}"
        )
    if unexpected:
        notes.append(
            f"{len(unexpected)} tensors of {path.name} are not in the module, and are left out: "
            f"{_listed(unexpected)}"
        )
    return notes


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (SafetensorError, ValueError) as error:
        raise StageError(
            f"the weights file is cut off or no safetensors: {error}",
            where=str(path),
            hint="get it again; a Git LFS pointer needs `git lfs pull`",
        ) from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is TorchScript is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error) from error
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        if "TorchScript" in str(error):
            raise StageError(
                "this is a TorchScript archive, which is a program and no state dict",
                where=str(path),
                hint="TorchScript cannot be exported to ONNX: get the model's Python code and its "
                "state dict, or an ONNX file of it",
            ) from error
        raise StageError(
            f"the weights file is cut off or damaged: {' '.join(str(error).split())[:300]}",
            where=str(path),
            hint="get it again; a Git LFS pointer needs `git lfs pull`",
        ) from error


def _unreadable(path: Path, error: OSError) -> StageError:
    return StageError(
        f"the weights file cannot be read: {error.strerror or error}",
        where=str(path),
        hint="check that the file is there and that you may read it",
    )


def _refused(path: Path, text: str) -> StageError:
    """What torch's unpickler met: another object than tensors, or no pickle at all."""
    if path.stat().st_size == 0 or not path.read_bytes()[:2].startswith((b"PK", b"\x80")):
        return StageError(
            "the weights file is no PyTorch file",
            where=str(path),
            hint="get it again; a Git LFS pointer needs `git lfs pull`",
        )
    named = re.search(r"GLOBAL (\S+)", text)
    objects = f" ({named[1]})" if named else ""
    return StageError(
        f"the weights file holds Python objects{objects}, not tensors alone; "
        "loading it could run any code",
        where=str(path),
        hint=_CONVERT,
    )


def _below(found: Any, key: str | None, path: Path) -> Any:
    """What lies at a dotted key; a part of the key may itself hold dots."""
    if not key:
        return found
    if isinstance(found, dict) and key in found:
        return found[key]
    head, dot, rest = key.partition(".")
    if not isinstance(found, dict) or head not in found or not dot:
        keys = list(found) if isinstance(found, dict) else []
        raise StageError(
            f"weights_key: there is no '{head}'{nearest(head, map(str, keys))}",
            where=str(path),
            hint=f"the keys there are {_listed(map(str, keys)) or 'none'}",
        )
    return _below(found[head], rest, path)


def _state_dict(found: Any, key: str | None, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(found, dict) and all(isinstance(value, torch.Tensor) for value in found.values()):
        return found
    if not isinstance(found, dict):
        place = f"at '{key}'" if key else "in it"
        raise StageError(
            f"what lies {place} is a {type(found).__name__}, not a state dict",
            where=str(path),
            hint=_CONVERT,
        )
    inner = [str(name) for name, value in found.items() if isinstance(value, dict)]
    raise StageError(
        f"the weights file is a checkpoint: its keys are {_listed(map(str, found))}",
        where=str(path),
        hint=f"say where the state dict lies, perhaps `weights_key: {inner[0]}`"
        if inner
        else _CONVERT,
    )


def _mismatch(missing: list[str], unexpected: list[str], path: Path, *, strict: bool) -> StageError:
    parts = []
    if missing:
        near = [name + nearest(name, unexpected) for name in missing[:_SHOWN]]
        parts.append(f"the module's {', '.join(near)}{_more(missing)} are missing in it")
    if unexpected:
        parts.append(f"its {_listed(unexpected)} are not in the module")
    hint = "give the factory the arguments that the weights were trained with (kwargs)"
    if strict:
        hint += ", or write `strict: false` to leave out what does not match"
    prefix = _common_prefix(missing, unexpected)
    if prefix:
        hint = (
            f"all names begin with '{prefix}': save the inner module's state dict, as in "
            "torch.save(model.module.state_dict(), NEW)"
        )
    return StageError(
        f"the weights do not match the module: {'; '.join(parts)}", where=str(path), hint=hint
    )


def _common_prefix(missing: list[str], unexpected: list[str]) -> str:
    """What a wrapper (DataParallel, Lightning) put before every name, or nothing."""
    head = unexpected[0].partition(".")[0] + "." if unexpected else ""
    wrapped = {name.removeprefix(head) for name in unexpected if name.startswith(head)}
    return head if head and set(missing) <= wrapped and missing else ""


def _listed(names: Iterable[str]) -> str:
    everything = list(names)
    return ", ".join(everything[:_SHOWN]) + _more(everything)


def _more(names: list[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
