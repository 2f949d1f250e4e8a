"""What stands against a release, what may be allowed by name, and what may be required."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from trtbuild.errors import ReleaseError
from trtbuild.release.gather import Gathered
from trtbuild.release.source import SourceState

ALLOWANCES = {
    "dirty": "a file differs from the last commit or is in none",
    "random": "random data was used to verify or to calibrate",
    "unverified": "an engine was not run against its reference",
    "unsigned": "no key was given",
}
"""What can be allowed by name; whatever was is written into the manifest."""

REQUIREMENTS = ("R0", "R1", "R2", "R3", "R4", "R5", "benchmark")


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing against a release: the allowance that lets it pass, and what it is."""

    name: str
    text: str


def objections(
    found: Sequence[Gathered], states: Sequence[SourceState], *, signed: bool
) -> tuple[Objection, ...]:
    """Everything that stands against a release of these recipes as they are."""
    against: list[Objection] = []
    for recipe, state in zip(found, states, strict=True):
        place = str(recipe.rebuilder.recipe.path)
        if state.commit is None:
            against.append(Objection("dirty", f"{place} is in no git repository"))
        elif state.changed:
            files = ", ".join(state.changed[:3]) + (", ..." if len(state.changed) > 3 else "")
            against.append(Objection("dirty", f"not committed: {files}"))
        against += _random(recipe, place)
        against += _unverified(recipe, place)
    if not signed:
        against.append(Objection("unsigned", "no key was given (--key FILE)"))
    return tuple(dict.fromkeys(against))


def require_allowed(
    against: Sequence[Objection], allowed: Collection[str]
) -> tuple[Objection, ...]:
    """What was allowed and is the case. Raises ReleaseError with all that was not allowed."""
    refused = [item for item in against if item.name not in allowed]
    if refused:
        lines = [f"\n  {item.name}: {item.text}" for item in refused]
        names = ",".join(dict.fromkeys(item.name for item in refused))
        raise ReleaseError(
            f"this is not released:{''.join(lines)}",
            hint=f"mend it, or accept it and have it written into the manifest: --allow {names}",
        )
    return tuple(against)


def require(found: Sequence[Gathered], required: Sequence[str]) -> None:
    """Raise a ReleaseError that lists every variant which lacks something required."""
    lacking = [
        f"\n  {recipe.name} {variant['name']}: {text}"
        for recipe in found
        for variant in recipe.variants
        for requirement in required
        if (text := _lack(variant, requirement))
    ]
    if lacking:
        recipes = " ".join(str(recipe.rebuilder.recipe.path) for recipe in found)
        levels = any(name.startswith("R") for name in required)
        raise ReleaseError(
            f"required, and not the case:{''.join(lacking)}",
            hint=f"trtbuild rebuild --check {recipes}" if levels else "",
        )


def _lack(variant: dict[str, Any], requirement: str) -> str:
    if requirement == "benchmark":
        return "" if "benchmark" in variant else "it was not benchmarked"
    if requirement == "R0":
        return ""  # a release is made of what is locked, or not at all
    found = variant.get("reproducibility")
    level = found["levels"].get(requirement) if found is not None else None
    if level is None:
        return f"{requirement} was not measured for this engine"
    return "" if level["reached"] else f"{requirement} is not reached: {level['note']}"


def _random(recipe: Gathered, place: str) -> list[Objection]:
    found = []
    for task in recipe.rebuilder.tasks.values():
        calibration: Any = task.options.get("calibration") or {}  # int4 reads data of its own
        for dataset in (task.options.get("dataset"), calibration.get("dataset")):
            if isinstance(dataset, dict) and dataset.get("kind") == "random":
                found.append(Objection("random", f"{place} {task.id} takes random data"))
    return found


def _unverified(recipe: Gathered, place: str) -> list[Objection]:
    found = []
    for variant in recipe.variants:
        result = variant["verification"]
        where = f"{place} {variant['name']}"
        if result is None:
            found.append(Objection("unverified", f"{where} was not verified"))
        elif not result["passed"]:
            raise ReleaseError("did not pass its verification", where=where)
        elif result["engine"] != "compared":
            found.append(Objection("unverified", f"{where}: the engine was {result['engine']}"))
    return found
