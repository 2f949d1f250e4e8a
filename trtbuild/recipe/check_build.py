"""Checks the `build` of a recipe: what its backend never has, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from trtbuild.recipe.build import PRECISIONS
from trtbuild.recipe.build_options import TITLES, Option, Where
from trtbuild.recipe.build_section import BACKEND, PLUGINS, is_size, size_of, timing_file
from trtbuild.recipe.build_table import present
from trtbuild.recipe.check_files import Kind
from trtbuild.recipe.check_inputs import PROFILE, check_values
from trtbuild.recipe.precision_section import candidates
from trtbuild.recipe.problems import Key, Problem, did_you_mean, listed, shown
from trtbuild.recipe.raw import RawInput, RawRecipe

Sizes = tuple[list[int], list[int], list[int]]
File = Callable[[Key, str | None, Kind], Iterator[Problem]]


def check_build(raw: RawRecipe, written: Callable[..., bool], file: File) -> Iterator[Problem]:
    """Every problem of the build section that no machine could make good.

    `written` tells whether a key stands in the recipe, `file` gives the problem of a file.
    """
    build = raw.get("build", {})
    for row, value in present(build):
        yield from _size(row, value)
        yield from _backend(row, value, build.get("backend", BACKEND))
        yield from _required(row, value, written)
    yield from _together(build)
    precisions = raw.get("precisions", None if written("precisions") else PRECISIONS)
    variants = candidates(precisions, calibrated="calibration" in raw) if precisions else {}
    if build.get("tf32") is False and "tf32" in variants:
        text = "the precision tf32 is built to use TF32"
        hint = "leave this out, since fp32 beside tf32 does without anyway, or tf32 in precisions"
        yield Problem(("build", "tf32"), text, hint)
    yield from _files(build, variants, file)
    yield from _profiles(build.get("profiles", []), raw.get("inputs", {}))


def wheres(row: Option, value: Any) -> tuple[Where, ...]:
    """Where an option exists, and where this value of it does; none where it changes nothing."""
    if value == row.default or value == []:
        return ()
    known = row.items if isinstance(value, list) else row.values
    chosen = (known.get(str(item)) for item in (value if isinstance(value, list) else [value]))
    return (row.where, *(item.where for item in chosen if item is not None))


def _size(row: Option, value: Any) -> Iterator[Problem]:
    key = ("build", *row.path)
    if not is_size(row):
        return
    size = size_of(value)
    if size is None:
        expected = "a size such as 1GiB or 512 MiB, or a number of bytes"
        yield Problem(key, f"expected {expected}, got {shown(value)}")
    elif row.path[-1].startswith("dla_") and (size < 4096 or size & (size - 1)):
        yield Problem(key, f"{shown(value)} is no power of two of at least 4KiB")


def _backend(row: Option, value: Any, backend: str) -> Iterator[Problem]:
    for where in wheres(row, value):
        if where.never(backend):
            told = f" ({row.path[-1]}: {value})" if where is not row.where else ""
            text = f"{TITLES[backend]} {where.why}{told}"
            yield Problem(("build", *row.path), text, f"{where.instead}; it is in {where.text}")
            return


def _required(row: Option, value: Any, written: Callable[..., bool]) -> Iterator[Problem]:
    if not row.requires or value == row.default or written("build", *row.requires.split(".")):
        return
    yield Problem(("build", *row.path), f"it needs build.{row.requires} beside it")


def _together(build: Mapping[str, Any]) -> Iterator[Problem]:
    targets = build.get("compute_capabilities", [])
    if "current" in targets and len(targets) > 1:
        text = "'current' stands for the GPU at hand and goes with no other"
        yield Problem(("build", "compute_capabilities"), text)
    refit, weights = build.get("refit", "none"), "refit_weights" in build
    if weights and refit in ("identical", "all"):
        hint = "write refit: individual"
        yield Problem(("build", "refit_weights"), f"refit: {refit} is about all weights", hint)
    elif refit == "individual" and not weights:
        yield Problem(("build", "refit"), "which weights? name them in build.refit_weights")
    if build.get("engine_capability") == "dla_standalone":
        missing = [name for name in ("dla", "direct_io") if not build.get(name)]
        if missing:
            text = f"a DLA loadable needs {' and '.join(missing)} too"
            yield Problem(("build", "engine_capability"), text, "dla: {core: 0}, direct_io: true")
    if build.get("distributive_independence") and len(build.get("profiles", ())) > 1:
        text = "TensorRT does not take it with several optimization profiles"
        hint = "leave it out, or one profile in build.profiles"
        yield Problem(("build", "distributive_independence"), text, hint)
    if build.get("user_allocation") and build.get("weight_streaming"):
        text = "TensorRT-RTX does not take it with weight_streaming, which allocates while it runs"
        yield Problem(("build", "user_allocation"), text, "leave one of them out")
    cache = build.get("timing_cache", {})
    others = [name for name in cache if name != "enabled" and cache[name] not in (False, None)]
    if cache.get("enabled") is False and others:
        yield Problem(("build", "timing_cache", others[0]), "the timing cache is not enabled")
    elif cache.get("tactics") in ("replay", "verified") and not cache.get("file"):
        text = f"{cache['tactics']}: from which build.timing_cache.file?"
        hint = "build once with tactics: record, and keep timing.cache"
        yield Problem(("build", "timing_cache", "tactics"), text, hint)
    elif cache.get("tactics") == "record" and cache.get("file"):
        text = "record chooses tactics anew, without a build.timing_cache.file"
        hint = "leave the file out, or write tactics: verified"
        yield Problem(("build", "timing_cache", "tactics"), text, hint)


def _files(build: Mapping[str, Any], variants: Iterable[str], file: File) -> Iterator[Problem]:
    for kind in PLUGINS:
        for index, path in enumerate(build.get("plugins", {}).get(kind, ())):
            yield from file(("build", "plugins", kind, index), path, Kind.ANY)
    path = build.get("timing_cache", {}).get("file")
    paths = {timing_file(path, variant) for variant in variants} if path else ()
    for path in sorted(paths):
        yield from file(("build", "timing_cache", "file"), path, Kind.ANY)


def _profiles(
    profiles: list[dict[str, dict[str, list[int]]]], inputs: Mapping[str, RawInput]
) -> Iterator[Problem]:
    known = {name: found for name, item in inputs.items() if (found := _sizes(item)) is not None}
    if len(known) < len(inputs):
        return  # what is wrong with the inputs is told already
    before = len(profiles)
    for index, profile in enumerate(profiles):
        for name, shapes in profile.items():
            key = ("build", "profiles", index, name)
            if name not in known:
                near = did_you_mean(name, known)
                problems = [Problem(key, f"'{name}' is no input ({', '.join(known)}){near}")]
            else:
                problems = list(_in_profile(key, inputs[name], shapes, known[name]))
            before -= bool(problems)
            yield from problems
    if profiles and before == len(profiles):
        yield from _uncovered(profiles, known)


def _in_profile(key: Key, item: RawInput, given: dict[str, Any], whole: Sizes) -> Iterator[Problem]:
    """What is wrong with one input in one profile: its shapes, or its values."""
    if "values" not in given and "values" in item:
        text = "the input has values, and a profile has min, opt and max of those"
        yield Problem(key, text, "write values: {min: [...], opt: [...], max: [...]}")
    elif "values" not in given:
        for name in (name for name in PROFILE if name not in given):
            yield Problem(key, f"required key '{name}' is missing")
        yield from _shapes(key, given, whole)
    elif "values" not in item:
        yield Problem(key, "the input has no values", "give it `values` in `inputs` too")
    elif len(given) > 1:
        yield Problem(
            key, f"values go with no {listed(name for name in given if name != 'values')}"
        )
    elif problems := list(check_values(key, item, given["values"])):
        yield from problems
    else:
        yield from _shapes((*key, "values"), given["values"], whole)


def _shapes(key: Key, shapes: dict[str, list[int]], whole: Sizes | None) -> Iterator[Problem]:
    low, opt, high = (shapes.get(name, []) for name in PROFILE)
    if whole is None or not low or not opt or not high:
        return
    ranks = {len(low), len(opt), len(high), len(whole[0])}
    if len(ranks) > 1:
        yield Problem(key, f"its shapes must have {len(whole[0])} dimensions, as the input has")
    elif not (_within(low, opt, high) and _within(whole[0], low, high)):
        yield Problem(key, "min, opt and max must rise, from no less than the input's own min")
    elif not _within(low, high, whole[2]):
        yield Problem(key, f"max {shown(high)} is beyond that of the input, {shown(whole[2])}")


def _uncovered(
    profiles: list[dict[str, dict[str, list[int]]]], inputs: Mapping[str, Sizes]
) -> Iterator[Problem]:
    """The engine is compared at the min, opt and max of the inputs: each must fit a profile."""
    for which, name in enumerate(PROFILE):
        fits = any(
            all(
                _within(item.get("min", own[0]), own[which], item.get("max", own[2]))
                for key, own in inputs.items()
                for item in (_bounds(profile.get(key, {})),)
            )
            for profile in profiles
        )
        if not fits:
            text = f"no profile takes the {name} shapes of the inputs"
            yield Problem(("build", "profiles"), text, "widen a profile, or change the inputs")


def _within(low: list[int], middle: list[int], high: list[int]) -> bool:
    return all(a <= b <= c for a, b, c in zip(low, middle, high, strict=True))


def _bounds(item: Mapping[str, Any]) -> dict[str, list[int]]:
    """The min, opt and max that a profile gives: of values, where they decide shapes."""
    found: dict[str, list[int]] = item.get("values", item)
    return found


def _sizes(item: RawInput) -> Sizes | None:
    if "values" in item:
        values = item["values"]
        sound = set(PROFILE) <= set(values) and not list(check_values((), item, values))
        return (values["min"], values["opt"], values["max"]) if sound else None
    if "shape" in item:
        return item["shape"], item["shape"], item["shape"]
    if "min" not in item or "opt" not in item or "max" not in item:
        return None
    return item["min"], item["opt"], item["max"]
