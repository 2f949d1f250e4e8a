"""What a dataset gives: batches of named arrays that fit the model's inputs, one at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

from trtbuild.errors import StageError
from trtbuild.model.cases import restored
from trtbuild.model.inputs import Array, Arrays, numpy_dtype
from trtbuild.model.names import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from trtbuild.recipe.model import Input, Options


@dataclass(frozen=True, slots=True)
class Batch:
    """Arrays for one run: the model's inputs, and extras (labels) of the same samples."""

    inputs: Arrays
    extras: Arrays


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a dataset.

    `path` is its file, where it has one, `folder` the recipe's. `samples` limits how many are
    read; `batch` is how many go into one run. `warn` is told what the user should know. `files`
    are those of a dataset that is a folder; where there are none, what lies there is looked up.
    `left_out` gets the numbers of samples that the dataset has but does not give.
    """

    options: Options
    inputs: tuple[Input, ...]
    folder: Path
    path: Path | None
    samples: int | None
    batch: int
    warn: Callable[[str], None]
    files: tuple[Path, ...] = ()
    left_out: list[int] = field(default_factory=list)

    @property
    def batched(self) -> tuple[Input, ...]:
        """The inputs that can have an axis of samples: axis 0, where they have one."""
        return tuple(item for item in self.inputs if item.min)

    @property
    def dynamic(self) -> tuple[Input, ...]:
        """Those of them whose axis of samples may vary."""
        return tuple(item for item in self.batched if item.min[0] != item.max[0])

    def leave_out(self, count: int, text: str) -> None:
        """Warn that so many samples do not fill a batch."""
        self.left_out.append(count)
        self.warn(text)

    def tell_more(self, count: int) -> None:
        """Warn that more samples are used than are asked for."""
        self.warn(
            f"{count} samples are used where {self.samples} are wanted: the last batch cannot be "
            "smaller"
        )

    def count(self, inputs: Arrays) -> int:
        """How many samples a batch holds: axis 0 of the first input that is dynamic there."""
        return next((len(inputs[item.name]) for item in (*self.dynamic, *self.batched)), 1)

    def smallest(self, names: Iterable[str]) -> int:
        """The fewest samples that the model runs on, where these inputs have an axis of them."""
        chosen = set(names)
        return max((item.min[0] for item in self.batched if item.name in chosen), default=1)


def default_batch(inputs: Sequence[Input]) -> int:
    """The batch of the opt shapes: axis 0 of the first input that is dynamic there, or that has
    one.
    """
    batched = [item for item in inputs if item.opt]
    dynamic = [item for item in batched if item.min[0] != item.max[0]]
    return next((item.opt[0] for item in (*dynamic, *batched)), 1)


def is_whole(item: Input, shape: Sequence[int]) -> bool:
    """Whether this is the one shape of an input that has one: given unchanged in each batch."""
    return item.min == item.max == tuple(shape)


def checked(values: Array, item: Input, place: str) -> Array:
    """The values in the input's type, where they fit it: shape, type and finite numbers.

    Floats may become other floats and integers other integers, where every value fits. Raises
    StageError with the array's place.
    """
    _check_shape(values.shape, item, place)
    cast = _cast(values, item, place)
    if _is_float(cast.dtype) and not (finite := np.isfinite(cast)).all():
        index = tuple(int(n) for n in np.argwhere(~finite)[0])
        given = values[index]
        overflows = f", which {item.dtype} cannot hold" if np.isfinite(given) else ""
        raise StageError(
            f"input '{item.name}' holds {given}{overflows}, at {list(index)}",
            where=place,
            hint="clean the data: NaN and infinity would hide every difference",
        )
    return cast


def require_names(found: Iterable[str], inputs: Sequence[Input], place: str) -> None:
    """Every input must be among the names. Raises StageError with what is there."""
    names = sorted(found)
    missing = [item.name for item in inputs if item.name not in names]
    if missing:
        raise StageError(
            "the dataset has no " + ", ".join(f"'{n}'{nearest(n, names)}" for n in missing),
            where=place,
            hint=f"its arrays are {', '.join(names) or 'none'}; name them as the model's inputs",
        )


def empty(place: str) -> StageError:
    """A dataset without samples."""
    return StageError(
        "the dataset is empty", where=place, hint="give it at least one sample, or leave it out"
    )


def too_few(count: int, smallest: int, place: str) -> StageError:
    """A dataset that does not fill the smallest batch."""
    return StageError(
        f"the dataset has {count} samples, but the model runs on {smallest} at least",
        where=place,
        hint="give more samples, or a smaller min shape",
    )


def as_array(values: object, name: str, place: str) -> Array:
    """What a user gave as an array of numbers; Python numbers and lists are taken too."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiubV" or (array.dtype.kind == "V" and array.dtype.names):
        raise StageError(
            f"'{name}' holds {array.dtype} values, not numbers",
            where=place,
            hint="encode text and objects as numbers: arrays of float, int or bool",
        )
    return restored(array)


def _check_shape(shape: Sequence[int], item: Input, place: str) -> None:
    if len(shape) != len(item.min):
        raise StageError(
            f"input '{item.name}' has the shape {list(shape)}, of {len(shape)} axes, "
            f"where the recipe has {len(item.min)}: {list(item.min)}",
            where=place,
            hint="reshape the data: axis 0 counts the samples",
        )
    for axis, (size, low, high) in enumerate(zip(shape, item.min, item.max, strict=True)):
        if not low <= size <= high:
            allowed = str(low) if low == high else f"{low} to {high}"
            raise StageError(
                f"input '{item.name}' has the shape {list(shape)}: axis {axis} is {size}, "
                f"where the recipe has {allowed}",
                where=place,
                hint="change the data, or min and max of the input",
            )


def _cast(values: Array, item: Input, place: str) -> Array:
    wanted = numpy_dtype(item.dtype)
    if values.dtype == wanted:
        return values
    if _is_float(values.dtype) and _is_float(wanted):
        with np.errstate(over="ignore"):  # an overflow is infinite, and found as such
            return values.astype(wanted)
    if values.dtype.kind in "iu" and wanted.kind in "iu":
        cast = values.astype(wanted)
        if np.array_equal(cast, values):
            return cast
        what = f"input '{item.name}' holds values that do not fit {item.dtype}"
    else:
        what = f"input '{item.name}' is {item.dtype}, but the data is {values.dtype}"
    raise StageError(
        what, where=place, hint=f"store the data as {item.dtype}, scaled as the model wants it"
    )


def _is_float(dtype: np.dtype[np.generic]) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16
