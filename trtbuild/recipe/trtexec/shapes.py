"""trtexec's shapes: its grammar, its rules for what is left out, and what the recipe says then."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec.read import Given

Shapes = dict[str, list[int]]

_NAME_INPUTS = "write its `inputs`, such as image: {dtype: float32, shape: [1, 3, 224, 224]}"
MOST_PROFILES = 64

_PARTS = {"--minShapes": "min", "--optShapes": "opt", "--maxShapes": "max"}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the model: -1 and names stand for dynamic dimensions."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None

    @property
    def dynamic(self) -> bool:
        """Whether its shape is not one alone."""
        return self.dims is None or any(not isinstance(size, int) or size < 0 for size in self.dims)


@dataclass(frozen=True, slots=True)
class Ports:
    """What the model says of itself, where it was there to be read."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    quantized: bool  # whether it holds Q/DQ


@dataclass(slots=True)
class Asked:
    """The shapes that a command line gives: profiles by number, and those of the inference.

    `number` is the profile that shapes are given for, and `chosen` the one that is measured.
    """

    profiles: dict[int, dict[str, Shapes]] = field(default_factory=dict)
    inference: Shapes = field(default_factory=dict)
    number: int = 0
    chosen: int = 0

    def take(self, option: Given) -> None:
        """One option about shapes. Raises UsageError where it is not of trtexec's grammar."""
        if option.name == "--profile":
            self.number = int(option.value or 0)
            if not 0 <= self.number < MOST_PROFILES:
                raise UsageError(f"{option}: profiles are counted from 0 to {MOST_PROFILES - 1}")
            if self.number in self.profiles:
                raise UsageError(f"{option}: there is a profile {self.number} already")
            self.profiles[self.number] = {}
            return
        found = parse_shapes(option)
        if option.name == "--shapes":
            self.inference.update(found)
        else:
            profile = self.profiles.setdefault(self.number, {})
            profile.setdefault(_PARTS[option.name], {}).update(found)

    def match(self, ports: list[Port]) -> None:
        """Put the inputs in the place of patterns. Raises UsageError for what matches none."""
        self.inference = _matched(self.inference, ports)
        for number, profile in self.profiles.items():
            matched = {part: _matched(shapes, ports) for part, shapes in profile.items()}
            self.profiles[number] = matched

    @property
    def given(self) -> bool:
        """Whether any shapes were given to build for."""
        return any(self.profiles.values())

    def completed(self) -> list[dict[str, Shapes]]:
        """Each profile's min, opt and max by input. Raises UsageError where one is left out."""
        if not self.profiles:
            return [_completed({}, self.inference)]
        numbers = range(max(self.profiles) + 1)
        missing = [number for number in numbers if not self.profiles.get(number)]
        if missing and self.given:
            raise UsageError(
                f"profile {missing[0]} has no shapes",
                hint="profiles count from 0, each followed by its --minShapes and so on",
            )
        return [
            _completed(self.profiles[number], self.inference if number == self.chosen else {})
            for number in numbers
        ]


def parse_shapes(option: Given) -> Shapes:
    """`a:1x3x224x224,b:scalar` as lists by name. Raises UsageError."""
    found: Shapes = {}
    for part in (option.value or "").split(","):
        name, colon, dims = part.rpartition(":")
        sizes = [] if dims == "scalar" else dims.split("x")
        if not colon or not name or not all(size.isdigit() for size in sizes):
            raise UsageError(
                f"{option}: '{part}' is no shape", hint="shapes are written name:1x3x224x224"
            )
        found[name.strip("'\"")] = [int(size) for size in sizes]
    return found


def dims_text(sizes: Iterable[int]) -> str:
    """`1x3x224x224`, and `scalar` for no dimension."""
    return "x".join(map(str, sizes)) or "scalar"


def inputs_of(
    asked: Asked, ports: Iterable[Port] | None
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """The recipe's inputs, its profiles where there are several, and what to say about them."""
    notes: list[str] = []
    if ports is not None:
        asked.match(list(ports))
    profiles = asked.completed()
    if ports is None:
        names = dict.fromkeys(name for profile in profiles for name in profile)
        ports = [Port(name, "float32", None) for name in names]
        what = "check the names and types of `inputs`" if names else _NAME_INPUTS
        notes.append(f"the model was not there to be read: {what}")
    known = list(ports)
    inputs = {}
    holding = []  # those whose values decide shapes
    for port in known:
        given = [profile[port.name] for profile in profiles if port.name in profile]
        if _of_values(port, given):
            holding.append(port.name)
            inputs[port.name] = _values(port, profiles, asked.chosen)
            _tell_values(port.name, asked.inference.pop(port.name, None), inputs, notes)
        else:
            _check_ranks(port, given)
            inputs[port.name] = _input(port, profiles, asked.chosen, notes)
    if len(profiles) < 2:
        return inputs, [], notes
    written = [
        {name: {"values": dict(v)} if name in holding else dict(v) for name, v in profile.items()}
        for profile in profiles
    ]
    return inputs, written, notes


def _completed(profile: Mapping[str, Shapes], inference: Shapes) -> dict[str, Shapes]:
    """trtexec's rules: opt alone is all three, max else min stands in for a missing opt, and
    inference shapes stand in for inputs that the profile leaves out."""
    low, opt, high = (profile.get(part, {}) for part in ("min", "opt", "max"))
    if not low and not high:
        low = high = opt
    opt = opt or high or low
    names = dict.fromkeys((*low, *opt, *high))
    found = {
        name: {
            "min": low.get(name, opt.get(name, high.get(name, []))),
            "opt": opt.get(name, high.get(name, low.get(name, []))),
            "max": high.get(name, opt.get(name, low.get(name, []))),
        }
        for name in names
    }
    for name, sizes in inference.items():
        found.setdefault(name, {"min": sizes, "opt": sizes, "max": sizes})
    return found


def _of_values(port: Port, given: list[Shapes]) -> bool:
    """Whether what was given are no shapes, but the values of an input that decides shapes."""
    if port.dims is None or len(port.dims) > 1 or port.dtype not in ("int32", "int64"):
        return False
    if port.dynamic:
        return any(len(sizes) != len(port.dims) for item in given for sizes in item.values())
    return any(tuple(sizes) != port.dims for item in given for sizes in item.values())


def _values(port: Port, profiles: list[dict[str, Shapes]], chosen: int) -> dict[str, Any]:
    """The values that all profiles take together; opt is that of the one that is measured."""
    given = [profile[port.name] for profile in profiles if port.name in profile]
    counts = {len(numbers) for item in given for numbers in item.values()}
    if len(counts) > 1:
        raise UsageError(f"the values of '{port.name}' are given in different numbers")
    static = [size for size in port.dims or () if isinstance(size, int)]
    dims = [counts.pop()] if port.dynamic else static
    if math.prod(dims) != len(given[0]["min"]):
        raise UsageError(
            f"'{port.name}' holds {math.prod(dims)} values that decide shapes, and "
            f"{dims_text(given[0]['min'])} is given for it"
        )
    measured = profiles[chosen].get(port.name) if chosen < len(profiles) else None
    values = {
        "min": [min(numbers) for numbers in zip(*(item["min"] for item in given), strict=True)],
        "opt": (measured or given[0])["opt"],
        "max": [max(numbers) for numbers in zip(*(item["max"] for item in given), strict=True)],
    }
    return {"dtype": port.dtype, "shape": dims, "values": values}


def _tell_values(
    name: str, inference: list[int] | None, inputs: Mapping[str, Any], notes: list[str]
) -> None:
    if inference is not None and inference != inputs[name]["values"]["opt"]:
        notes.append(
            f"--shapes={name}:{dims_text(inference)}: its opt values are measured; others are a "
            "file in benchmark.inputs.files"
        )


def _check_ranks(port: Port, given: list[Shapes]) -> None:
    ranks = {len(sizes) for item in given for sizes in item.values()}
    if port.dims is not None and ranks - {len(port.dims)}:
        raise UsageError(
            f"input '{port.name}' has {len(port.dims)} dimensions, and shapes of "
            f"{', '.join(map(str, sorted(ranks)))} are given for it"
        )
    if len(ranks) > 1:
        raise UsageError(f"the shapes of '{port.name}' have different numbers of dimensions")


def _matched(profile: Shapes, ports: list[Port]) -> Shapes:
    """Names with a `*` stand for the inputs that they match."""
    found: Shapes = {}
    for name, shapes in profile.items():
        names = [port.name for port in ports]
        matches = fnmatch.filter(names, name) if "*" in name and name not in names else [name]
        if not matches or (matches == [name] and name not in names):
            raise UsageError(
                f"the model has no input '{name}'", hint=f"its inputs are {', '.join(names)}"
            )
        found.update(dict.fromkeys(matches, shapes))
    return found


def _input(
    port: Port, profiles: list[dict[str, Shapes]], chosen: int, notes: list[str]
) -> dict[str, Any]:
    """An input for all profiles; its opt is that of the profile that is measured."""
    given = [profile[port.name] for profile in profiles if port.name in profile]
    if given:
        low = [min(sizes) for sizes in zip(*(item["min"] for item in given), strict=True)]
        high = [max(sizes) for sizes in zip(*(item["max"] for item in given), strict=True)]
        if low == high:
            return {"dtype": port.dtype, "shape": low}
        measured = profiles[chosen].get(port.name) if chosen < len(profiles) else None
        opt = (measured or given[0])["opt"]
        return {"dtype": port.dtype, "min": low, "opt": opt, "max": high}
    dims = port.dims or ()
    fixed = [size if isinstance(size, int) and size > 0 else 1 for size in dims]
    if fixed != list(dims):
        notes.append(
            f"input '{port.name}' has dynamic dimensions and no shapes: trtexec takes 1 for each, "
            "as is written here; say what you need"
        )
    return {"dtype": port.dtype, "shape": fixed}
