"""Checks the files that a recipe names: that they can be read, and are what they should be."""

from __future__ import annotations

import enum
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from trtbuild.recipe.problems import nearest
from trtbuild.recipe.schema import ValidationMemo

WEIGHTS = (".safetensors", ".pt", ".pth")
HEAD = 256
"""Bytes at the beginning of a file that tell what it is."""

ZIP = b"PK\x03\x04"

# The first byte of an ONNX file is the tag of a field of ModelProto (onnx.proto): its number
# times 8, plus 2 for those of a variable length.
_MODEL_PROTO = bytes([0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA])


class Kind(enum.Enum):
    """What a recipe takes a file for."""

    WEIGHTS = "weights"
    ONNX = "an ONNX model"
    PROGRAM = "an ExportedProgram"
    NPZ = "an .npz file"
    ANY = "a file"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with something that a recipe refers to."""

    text: str
    hint: str = ""


def check_file(folder: Path, path: str, kind: Kind, memo: ValidationMemo | None) -> Finding | None:
    """What is wrong with the file at `path`, relative to `folder`, as a file of its kind."""
    finding = check_path(folder, path)
    if finding is not None or kind is Kind.ANY:
        return finding
    full = folder / path
    try:
        with full.open("rb") as file:
            head = file.read(HEAD)
            status = os.fstat(file.fileno())
    except OSError as error:
        return Finding(f"'{path}' cannot be read: {error.strerror}")
    if not head.startswith(ZIP):
        return _not_what_it_seems(path, head) or _plain_file(path, head, kind)
    # Listing an archive takes a millisecond; the same file was judged before.
    stamp = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    key = hashlib.sha256(os.fsencode(f"{kind.name} {full.absolute()} {stamp}")).hexdigest()
    if memo is not None and memo.known(key):
        return None
    finding = _archive(full, path, kind)
    if finding is None and memo is not None:
        memo.add(key)
    return finding


def check_path(folder: Path, path: str) -> Finding | None:
    """Why there is no file that can be read at `path`, relative to `folder`."""
    if path.startswith("~"):
        return Finding(f"'{path}': '~' is not expanded", "write a path relative to the recipe")
    full = folder / path
    try:
        mode = full.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _missing(folder, path)
    except ValueError:
        return Finding("a path cannot hold a null character")
    except OSError as error:
        return Finding(f"'{path}' cannot be read: {error.strerror}")
    if stat.S_ISDIR(mode):
        return Finding(f"'{path}' is a folder, not a file")
    if not stat.S_ISREG(mode):
        return Finding(f"'{path}' is not a regular file")
    if not os.access(full, os.R_OK):
        return Finding(f"'{path}' cannot be read: permission denied")
    return None


def _missing(folder: Path, path: str) -> Finding:
    full = folder / path
    if full.is_symlink():
        return Finding(f"'{path}' is a link to '{full.readlink()}', which does not exist")
    if not full.is_absolute() and Path(path).exists():
        there = os.path.relpath(path, folder)
        hint = f"paths begin at the recipe's folder: write '{there}'"
        return Finding(f"no such file '{path}'", hint)
    if not full.parent.is_dir():
        return Finding(f"no such file '{path}': there is no folder '{Path(path).parent}'")
    try:
        names = [file.name for file in full.parent.iterdir()]
    except OSError:
        names = []
    near = [str(Path(path).with_name(name)) for name in nearest(full.name, names)]
    return Finding(f"no such file '{path}'" + (f". Did you mean '{near[0]}'?" if near else ""))


def _not_what_it_seems(path: str, head: bytes) -> Finding | None:
    """What has replaced a model or data by accident."""
    if not head:
        return Finding(f"'{path}' is empty (0 bytes)")
    if head.startswith(b"version https://git-lfs"):
        return Finding(f"'{path}' is a pointer of Git LFS, not the file", "run `git lfs pull`")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return Finding(f"'{path}' is a web page", "download the file again, not a page about it")
    return None


def _plain_file(path: str, head: bytes, kind: Kind) -> Finding | None:
    if kind is Kind.ONNX and head[0] not in _MODEL_PROTO:
        return Finding(f"'{path}' is no ONNX model: it begins with {_beginning(head)}")
    if kind is Kind.NPZ:
        return Finding(
            f"'{path}' is no .npz file: it begins with {_beginning(head)}",
            "write it with numpy.savez(file, name=array, ...)",
        )
    if kind is Kind.PROGRAM:
        return Finding(
            f"'{path}' is no ExportedProgram: it begins with {_beginning(head)}",
            "write it with torch.export.save(program, file)",
        )
    return _wrong_suffix(path) if kind is Kind.WEIGHTS else None


def _wrong_suffix(path: str) -> Finding | None:
    name = Path(path)
    if name.suffix in WEIGHTS:
        return None
    hint = ""
    if name.suffix == ".bin":
        hint = (
            f"convert it: safetensors.torch.save_file(torch.load('{name.name}', "
            f"weights_only=True), '{name.stem}.safetensors')"
        )
    got = f"not {name.suffix}" if name.suffix else "and this has no suffix"
    return Finding(f"'{path}': weights are .safetensors, .pt or .pth, {got}", hint)


def _archive(full: Path, path: str, kind: Kind) -> Finding | None:
    """What is wrong with a zip archive as a file of its kind."""
    import zipfile  # slow to import, and only archives that are not known need it

    try:
        with zipfile.ZipFile(full) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return Finding(f"'{path}' is a damaged archive", "it may be cut short; get it anew")
    if kind is not Kind.NPZ and _is_torchscript(names):
        return Finding(
            f"'{path}' is a TorchScript archive, which torch.onnx.export cannot take",
            "give model.torch the factory of the nn.Module, and weights made with "
            "torch.save(module.state_dict(), 'weights.pt')",
        )
    if kind is Kind.ONNX:
        return Finding(
            f"'{path}' is a zip archive, no ONNX model",
            "a torch.export archive (.pt2) goes under model.exported_program, a state dict "
            "under model.torch.weights",
        )
    if kind is Kind.PROGRAM and any(name.endswith("/data.pkl") for name in names):
        return Finding(
            f"'{path}' is a state dict or a pickled object, no ExportedProgram",
            "give it as model.torch.weights, beside the factory of its nn.Module",
        )
    if kind is Kind.NPZ and not any(name.endswith(".npy") for name in names):
        return Finding(
            f"'{path}' holds no arrays", "numpy.savez(file, name=array, ...) writes them"
        )
    if kind is Kind.WEIGHTS and path.endswith(".safetensors"):
        return Finding(f"'{path}' is a PyTorch file, not safetensors", "rename it to .pt")
    return _wrong_suffix(path) if kind is Kind.WEIGHTS else None


def _is_torchscript(names: list[str]) -> bool:
    """Whether a torch archive holds code: "NAME/code/..." beside "NAME/constants.pkl"."""
    roots = {
        name.removesuffix("constants.pkl") for name in names if name.endswith("/constants.pkl")
    }
    return any(name.startswith(f"{root}code/") for root in roots for name in names)


def _beginning(head: bytes) -> str:
    """The first bytes, as text where they are text."""
    line = head.partition(b"\n")[0][:24]
    text = line.decode("ascii", errors="replace")
    return repr(text) if text.isprintable() and line.isascii() else head[:8].hex(" ")
