"""The source model in PyTorch: made from factory and weights, or loaded as an ExportedProgram."""

from __future__ import annotations

import os
import random
import warnings
import zipfile
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import torch
from torch.utils import _pytree as pytree

from trtbuild.errors import StageError
from trtbuild.model.inputs import random_values, shape_of
from trtbuild.model.references import call_user, load_callable
from trtbuild.model.torch_inputs import takes_by_name
from trtbuild.model.torch_outputs import flat_outputs, output_names
from trtbuild.model.weights import load_weights, put_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from trtbuild.model.inputs import Array
    from trtbuild.recipe.model import Input, Options

_SEED = 0
_OBJECTS = ("custom_obj_", "opaque_obj_")  # what torch.export.pt2_archive calls pickled constants


def load_module(
    source: Options,
    inputs: Mapping[str, Path],
    folder: Path,
    warn: Callable[[str], None] = lambda _: None,
) -> torch.nn.Module:
    """The module that the recipe's factory makes, with its weights, in eval mode.

    The generators of random numbers are seeded first: a module without weights is the same in
    every process. `warn` is told of weights that do not match where `strict` allows it. Raises
    StageError for whatever the factory or the weights do wrong.
    """
    reference, kwargs = source["factory"], source["kwargs"]
    assert isinstance(reference, str)  # noqa: S101 - the plan wrote it
    assert isinstance(kwargs, dict)  # noqa: S101
    _seed()
    factory = load_callable(reference, folder)
    module = call_user(factory, reference, **kwargs)
    if not isinstance(module, torch.nn.Module):
        raise StageError(
            f"{reference} returned a {type(module).__name__}, not a torch.nn.Module",
            where=reference,
            hint="return the module; to export a function, wrap it in a module's forward",
        )
    if "weights" in inputs:
        key = source.get("weights_key")
        weights = load_weights(inputs["weights"], key if isinstance(key, str) else None)
        strict = bool(source.get("strict", True))
        for note in put_weights(module, weights, inputs["weights"], strict=strict):
            warn(note)
    module.eval()
    if isinstance(module, torch.jit.ScriptModule):
        return module  # torch forbids requires_grad_ of one
    return module.requires_grad_(requires_grad=False)


def load_program(path: Path) -> torch.export.ExportedProgram:
    """The ExportedProgram in a .pt2 file.

    torch would unpickle any object for it; here only tensors are read. Raises StageError for a
    file that is cut off, no .pt2, or holds other objects.
    """
    _refuse_objects(path)
    before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # torch.export.load has no argument for it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of older archives, which it still reads
            return torch.export.load(path)
    except Exception as error:  # damaged archives end in errors of many kinds
        raise StageError(
            f"torch.export cannot load the program: {' '.join(str(error).split())[:300]}",
            where=str(path),
            hint="save it again with torch.export.save under the installed torch "
            f"({torch.__version__}); it must not hold custom Python objects",
        ) from error
    finally:
        if before is None:
            del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before


def example_inputs(inputs: Sequence[Input], size: str = "opt") -> dict[str, torch.Tensor]:
    """Seeded values for every input at "min", "opt" or "max", in the recipe's order."""
    generator = np.random.default_rng(_SEED)
    return {
        item.name: to_tensor(random_values(item, shape_of(item, size), generator))
        for item in inputs
    }


def call_module(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], reference: str
) -> dict[str, torch.Tensor]:
    """Run a module; its output tensors by the names that they have of themselves, in order."""
    with torch.no_grad():
        if takes_by_name(module, list(tensors)):
            result = call_user(module, reference, **tensors)
        else:
            result = call_user(module, reference, *tensors.values())
    return _named(result, tensors, reference)


def call_program(
    program: torch.export.ExportedProgram,
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Run `program.module()`: by the names the program gives its inputs, else by position. What it
    gives is as that of call_module.
    """
    names = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    values = [tensors[n] for n in names] if set(names) == set(tensors) else [*tensors.values()]
    spec = program.call_spec.in_spec
    if len(values) != spec.num_leaves:
        raise StageError(
            f"the program takes {spec.num_leaves} inputs ({', '.join(names)}), "
            f"the recipe gives {len(values)} ({', '.join(tensors)})",
            hint="write one entry for each under `inputs` in the recipe",
        )
    arguments, keywords = pytree.tree_unflatten(values, spec)
    with torch.no_grad():
        result = call_user(module, "the program", *arguments, **keywords)
    return _named(result, tensors, "the program")


def to_tensor(values: Array) -> torch.Tensor:
    """An array as a tensor, bfloat16 too."""
    plain = np.array(values, order="C")  # a copy: what the model does in place stays there
    if plain.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(plain.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(plain)


def to_array(tensor: torch.Tensor) -> Array:
    """A tensor as an array, bfloat16 too."""
    plain = tensor.detach().cpu().contiguous()
    if plain.dtype == torch.bfloat16:
        bits: Array = plain.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    values: Array = plain.numpy()
    return values


def _named(
    result: object, inputs: Mapping[str, torch.Tensor], reference: str
) -> dict[str, torch.Tensor]:
    leaves = flat_outputs(result, reference)
    names = output_names((path for path, _ in leaves), inputs)
    return dict(zip(names, (tensor for _, tensor in leaves), strict=True))


def _seed() -> None:
    random.seed(_SEED)
    np.random.seed(_SEED)
    torch.manual_seed(_SEED)


def _refuse_objects(path: Path) -> None:
    """Refuse an archive with pickled objects, which loading would run."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except OSError as error:
        raise StageError(
            f"the program cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    except zipfile.BadZipFile as error:
        raise StageError(
            "the program is cut off or no .pt2 file",
            where=str(path),
            hint="save it again with torch.export.save; a Git LFS pointer needs `git lfs pull`",
        ) from error
    objects = [name for name in names if name.rpartition("/")[2].startswith(_OBJECTS)]
    if objects:
        raise StageError(
            f"the program holds Python objects ({objects[0]}); loading it could run any code",
            where=str(path),
            hint="export a model that holds tensors alone",
        )
