"""The values that an engine is measured with: from files, or random by seed and range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trtbuild.errors import StageError
from trtbuild.model.cases import restored
from trtbuild.recipe.model import Shape
from trtbuild.trt.engine import Engine
from trtbuild.trt.tensors import Array, Tensor, numpy_dtype

_INTEGER_RANGES = {"uint8": (0, 256), "bool": (0, 2)}  # others: -128 up to 127


def random_input(
    tensor: Tensor, shape: Shape, seed: int, span: tuple[float, float] | None = None
) -> Array:
    """Random values of one input, the same for the same seed and name on every machine.

    Without a span they are trtexec's (sampleInference.cpp:2051): floats uniform in [-1, 1],
    integers in [-128, 127], uint8 in [0, 255], bool 0 or 1. A span is [low, high).
    """
    dtype = numpy_dtype(tensor.dtype, tensor.name)
    # The name is part of the seed, so that two inputs of one shape differ.
    random = np.random.default_rng([seed, *tensor.name.encode()])
    if dtype.kind in "iub":
        low, high = span or _INTEGER_RANGES.get(tensor.dtype, (-128, 128))
        return random.integers(math.ceil(low), math.ceil(high), shape, np.int64).astype(dtype)
    low, high = span or (-1.0, 1.0)
    return random.uniform(low, high, shape).astype(dtype)


def input_from_file(path: Path, tensor: Tensor, shape: Shape) -> Array:
    """One input from a .npy file, or from raw bytes in C order (trtexec's --loadInputs).

    Raises StageError where the file does not hold just these values.
    """
    dtype = numpy_dtype(tensor.dtype, tensor.name)
    if path.suffix == ".npy":
        found = restored(_saved(path, tensor), dtype)
        if found.dtype.kind == "V" and found.dtype != dtype:
            raise StageError(
                f"input '{tensor.name}' has values of {found.dtype.itemsize} bytes in this file, "
                f"of a type that .npy has no name for; {tensor.dtype} has {dtype.itemsize}",
                where=str(path),
                hint=f"save the values as {tensor.dtype}",
            )
        if found.shape != shape:
            raise StageError(
                f"input '{tensor.name}' is {list(found.shape)} in this file, {list(shape)} is "
                "measured",
                where=str(path),
            )
        return found
    try:
        found = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _unreadable(path, tensor, error) from error
    wanted = math.prod(shape) * dtype.itemsize
    if found.size != wanted:
        raise StageError(
            f"input '{tensor.name}' has {found.size} bytes in this file, {list(shape)} of "
            f"{tensor.dtype} is {wanted} bytes",
            where=str(path),
            hint="write the values in C order in the engine's type, or give a .npy file",
        )
    return found.view(dtype).reshape(shape)


def _saved(path: Path, tensor: Tensor) -> Array:
    """The array of a .npy file: by its own format, since numpy.load takes archives for one too."""
    try:
        with path.open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:  # EOFError: an empty file
        hint = "write one array with numpy.save, without objects in it; this takes no .npz archive"
        raise _unreadable(path, tensor, error, hint) from error


def _unreadable(path: Path, tensor: Tensor, error: Exception, hint: str = "") -> StageError:
    return StageError(f"input '{tensor.name}' cannot be read: {error}", where=str(path), hint=hint)


def load_inputs(
    engine: Engine,
    shapes: Mapping[str, Shape],
    files: Mapping[str, Path],
    seed: int,
    spans: Mapping[str, tuple[float, float]],
    profile: int = 0,
) -> dict[str, Array]:
    """Every input of the engine: from its file where it has one, else random.

    An input whose values are shapes gets the profile's opt values: random ones would make no
    sense.
    """
    found = {}
    for tensor in engine.inputs:
        shape = shapes[tensor.name]
        if tensor.name in files:
            found[tensor.name] = input_from_file(files[tensor.name], tensor, shape)
        elif tensor.on_host and (values := engine.opt_values(tensor, profile)):
            dtype = numpy_dtype(tensor.dtype, tensor.name)
            found[tensor.name] = np.array(values, dtype).reshape(shape)
        else:
            found[tensor.name] = random_input(tensor, shape, seed, spans.get(tensor.name))
    return found
