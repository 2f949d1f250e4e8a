"""trtexec's shapes: its grammar, its rules for what is left out, and what the recipe says then."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec.read import Given

Shapes = dict[str, list[int]]

_PARTS = {"--minShapes": "min", "--optShapes": "opt", "--maxShapes": "max"}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the model: -1 and names stand for dynamic dimensions."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None


@dataclass(slots=True)
class Asked:
    """The shapes that a command line gives: profiles in order, and those of the inference."""

    profiles: list[dict[str, Shapes]] = field(default_factory=lambda: [{}])
    inference: Shapes = field(default_factory=dict)

    def take(self, option: Given) -> None:
        """One option about shapes. Raises UsageError where it is not of trtexec's grammar."""
        if option.name == "--profile":
            number = int(option.value or 0)
            while len(self.profiles) <= number:
                self.profiles.append({})
            # Profiles are given one after the other; what follows is about the last one.
            return
        found = parse_shapes(option)
        if option.name == "--shapes":
            self.inference.update(found)
        else:
            self.profiles[-1].setdefault(_PARTS[option.name], {}).update(found)


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


def inputs_of(
    asked: Asked, ports: Iterable[Port] | None
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """The recipe's inputs, its profiles where there are several, and what to say about them."""
    notes: list[str] = []
    profiles = [_completed(profile, asked.inference) for profile in asked.profiles]
    if ports is None:
        names = dict.fromkeys(name for profile in profiles for name in profile)
        ports = [Port(name, "float32", None) for name in names]
        notes.append("the model was not there to be read: check the names and types of `inputs`")
    known = list(ports)
    profiles = [_matched(profile, known) for profile in profiles]
    inputs = {port.name: _input(port, profiles, notes) for port in known}
    if len(profiles) < 2:
        return inputs, [], notes
    return inputs, [{name: dict(item) for name, item in p.items()} for p in profiles], notes


def _completed(profile: Mapping[str, Shapes], inference: Shapes) -> dict[str, Shapes]:
    """trtexec's rules: opt alone is all three, and inference shapes stand in for a profile."""
    low, opt, high = (profile.get(part, {}) for part in ("min", "opt", "max"))
    if not (low or opt or high):
        low = opt = high = inference
    elif not low and not high:
        low = high = opt
    opt = opt or high or low
    names = dict.fromkeys((*low, *opt, *high))
    return {
        name: {
            "min": low.get(name, opt.get(name, high.get(name, []))),
            "opt": opt.get(name, high.get(name, low.get(name, []))),
            "max": high.get(name, opt.get(name, low.get(name, []))),
        }
        for name in names
    }


def _matched(profile: dict[str, Shapes], ports: list[Port]) -> dict[str, Shapes]:
    """Names with a `*` stand for the inputs that they match."""
    found: dict[str, Shapes] = {}
    for name, shapes in profile.items():
        names = [port.name for port in ports]
        matches = fnmatch.filter(names, name) if "*" in name and name not in names else [name]
        if not matches or (matches == [name] and name not in names):
            raise UsageError(
                f"the model has no input '{name}'", hint=f"its inputs are {', '.join(names)}"
            )
        found.update(dict.fromkeys(matches, shapes))
    return found


def _input(port: Port, profiles: list[dict[str, Shapes]], notes: list[str]) -> dict[str, Any]:
    given = [profile[port.name] for profile in profiles if port.name in profile]
    if given:
        low = [min(sizes) for sizes in zip(*(item["min"] for item in given), strict=True)]
        high = [max(sizes) for sizes in zip(*(item["max"] for item in given), strict=True)]
        if low == high:
            return {"dtype": port.dtype, "shape": low}
        return {"dtype": port.dtype, "min": low, "opt": given[-1]["opt"], "max": high}
    dims = port.dims or ()
    fixed = [size if isinstance(size, int) and size > 0 else 1 for size in dims]
    if fixed != list(dims):
        notes.append(
            f"input '{port.name}' has dynamic dimensions and no shapes: trtexec takes 1 for each, "
            "as is written here; say what you need"
        )
    return {"dtype": port.dtype, "shape": fixed}
