"""Builds again from nothing, several times, and measures how far the result is the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtbuild.errors import ReleaseError, TrtbuildError
from trtbuild.graph.action import Verdict
from trtbuild.graph.decision import Listener
from trtbuild.graph.made import LEVELS as LEVELS_FILE
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.graph.select import Settings
from trtbuild.graph.session import Session
from trtbuild.release.levels import (
    Level,
    Renaming,
    compare_bytes,
    level_reached,
    renaming,
    same_in_all,
    same_layers,
    same_tactics,
)
from trtbuild.release.lock_read import find_lock
from trtbuild.release.locked import compare
from trtbuild.release.rerun import run_engine_on
from trtbuild.store.digest import canonical_json
from trtbuild.store.files import write_file
from trtbuild.store.store import Store
from trtbuild.trt.tactics import tactics_in

FORMAT = 1

PLAN = "engine.plan"
INFO = "build.json"
"""What a build writes of the network, and of tactics with `build.timing_cache.tactics`."""

NETWORK = ("inputs", "outputs", "profiles", "layers", "tensor_types")
"""What build.json says of the network; it also holds the plan's size, and tactics."""

ON_RTX = "TensorRT-RTX chooses its kernels on the GPU that it runs on"

Keep = Callable[[Session], None]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the rounds said of one variant; `engine` is the sha256 of the one they are about."""

    recipe: str
    variant: str
    engine: str
    rounds: int
    level: str
    levels: dict[str, Level]

    def document(self) -> dict[str, Any]:
        """As rebuild.json has it."""
        return {
            "engine": self.engine,
            "rounds": self.rounds,
            "level": self.level,
            "levels": {
                name: {"reached": level.reached, "note": level.note}
                for name, level in self.levels.items()
            },
        }


def rebuild_check(
    session: Session, listener: Listener, rounds: int, keep: Keep
) -> tuple[Rebuilt, ...]:
    """Build everything again `rounds` times, each with a cache of its own that is thrown away.

    The session has brought its recipes up to date, and what it made is what the rounds are held
    against. `keep` is told of each session, to be able to end it. What is found is also written
    into the recipes' output folders. Raises ReleaseError where a round fails.
    """
    notes: dict[tuple[int, str], list[_Notes]] = {}
    for number in range(1, rounds + 1):
        # Below the cache, so that there is space for what the cache had space for.
        with session.rebuilders[0].store.scratch() as folder:
            _round(session, listener, folder, number, keep, notes)
    found = []
    for index, rebuilder in enumerate(session.rebuilders):
        mine = []
        for variant in rebuilder.recipe.precisions:
            mine.append(_rebuilt(rebuilder, variant, notes[index, variant]))
        document = {
            "format": FORMAT,
            "recipe": rebuilder.recipe.name,
            "variants": {item.variant: item.document() for item in mine},
        }
        write_file(rebuilder.workspace.root / LEVELS_FILE, canonical_json(document))
        found += mine
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Notes:
    """What one round has to say against each level of a variant; None where nothing."""

    inputs: str | None
    graph: str | None
    network: str | None
    plan: str | None
    names: Renaming | None  # where they are all that the plans differ in
    tactics: Level | None  # by the timing caches, where the recipe keeps them
    run: _Run


@dataclass(frozen=True, slots=True)
class _Run:
    """What running both engines said of R2, R3 and R5."""

    tactics: Level
    layers: Level
    outputs: Level


def _round(
    session: Session,
    listener: Listener,
    folder: Path,
    number: int,
    keep: Keep,
    notes: dict[tuple[int, str], list[_Notes]],
) -> None:
    store = Store(folder / "cache")
    try:
        recipes = [rebuilder.recipe for rebuilder in session.rebuilders]
        settings = Settings(stages=frozenset({"build"}), out=folder / "out")
        again = Session(recipes, store, listener, settings)
        keep(again)
        if not again.run():
            failed = [
                outcome.error
                for rebuilder in again.rebuilders
                for outcome in rebuilder.outcomes.values()
                if outcome.verdict is Verdict.FAILED
            ]
            raise ReleaseError(f"round {number} failed: {failed[0]}")
        pairs = zip(session.rebuilders, again.rebuilders, strict=True)
        for index, (before, after) in enumerate(pairs):
            for variant in before.recipe.precisions:
                found = _compare(before, after, variant)
                notes.setdefault((index, variant), []).append(found)
    finally:
        store.close()


def _compare(before: Rebuilder, after: Rebuilder, variant: str) -> _Notes:
    build = f"build:{variant}"
    if build not in after.results or build not in before.results:
        raise ReleaseError(f"{before.recipe.name} {build} cannot be built on this machine")
    inputs = graph = network = None
    for task_id in _upstream(before, build):
        task = before.tasks[task_id]
        same = before.outcomes[task_id].key == after.outcomes[task_id].key
        if not same and not task.needs and inputs is None:
            inputs = f"{task_id} is another action now"
        theirs = dict(after.results[task_id])
        for name, digest in before.results[task_id]:
            if theirs.get(name) == digest:
                continue
            if name.startswith("model.onnx") and graph is None:
                graph = f"{task_id} {name}: {_bytes(before, after, task_id, name)}"
            if (task.stage, name) == ("build", INFO):
                network = _other_network(_info(before, build), _info(after, build))
    plan = names = None
    if dict(before.results[build])[PLAN] != dict(after.results[build])[PLAN]:
        plan = f"{PLAN}: {_bytes(before, after, build, PLAN)}"
        names = renaming(*(r.workspace.path(r.tasks[build], PLAN) for r in (before, after)))
        plan += f"; {names}" if names else ""
    tactics = _recorded_tactics(before, after, build)
    run = _run_both(before, after, variant)
    return _Notes(inputs, graph, network, plan, names, tactics, run)


def _recorded_tactics(before: Rebuilder, after: Rebuilder, build: str) -> Level | None:
    one, names = tactics_in(_info(before, build))
    other, more = tactics_in(_info(after, build))
    return same_tactics(one, other, {**names, **more}) if one else None


def _info(rebuilder: Rebuilder, build: str) -> dict[str, Any]:
    path = rebuilder.workspace.path(rebuilder.tasks[build], INFO)
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def _other_network(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    wrong = [name for name in NETWORK if one.get(name) != other.get(name)]
    return f"{INFO} differs: {', '.join(wrong)}" if wrong else None


def _upstream(rebuilder: Rebuilder, task_id: str) -> list[str]:
    """A task and all before it, in the order of the plan."""
    wanted, waiting = set(), [task_id]
    while waiting:
        current = waiting.pop()
        wanted.add(current)
        waiting += rebuilder.tasks[current].needs
    return [name for name in rebuilder.tasks if name in wanted]


def _bytes(before: Rebuilder, after: Rebuilder, task_id: str, name: str) -> str:
    task = before.tasks[task_id]
    there = after.workspace.path(task, name)
    if not there.exists():
        return "is not made any more"
    return str(compare_bytes(before.workspace.path(task, name), there))


def _run_both(before: Rebuilder, after: Rebuilder, variant: str) -> _Run:
    """Run both engines on the golden inputs, where there is a GPU: their layers and outputs."""
    if before.device is None:
        return _not_run("no CUDA device")
    build, verify = before.tasks[f"build:{variant}"], before.tasks[f"verify:{variant}"]
    info = _info(before, build.id)
    document = {"name": variant, "backend": info["backend"], "inputs": info["inputs"]}
    reference = before.workspace.path(before.tasks["reference"], "reference.json")
    results = []
    with tempfile.TemporaryDirectory(dir=after.store.root) as scratch:
        for rebuilder in (before, after):
            engine = rebuilder.workspace.path(build, PLAN)
            result, error = run_engine_on(
                document, engine, reference, verify.options, Path(scratch)
            )
            if error:
                return _not_run(error)
            results.append(result)
    tactics, layers = same_layers(results[0]["layers"], results[1]["layers"])
    return _Run(tactics, layers, _same_outputs(results[0]["outputs"], results[1]["outputs"]))


def _not_run(why: str) -> _Run:
    level = Level(None, f"not run: {why}")
    return _Run(level, level, level)


def _same_outputs(one: Mapping[str, str], other: Mapping[str, str]) -> Level:
    wrong = [name for name in one if other.get(name) != one[name]]
    if wrong:
        case, _, output = wrong[0].partition(".")
        return Level(False, f"output {output} of case {case} differs")
    return Level(True, f"{len(one)} outputs")


def _rebuilt(rebuilder: Rebuilder, variant: str, notes: Sequence[_Notes]) -> Rebuilt:
    digest = dict(rebuilder.results[f"build:{variant}"])[PLAN]
    plan = same_in_all([note.plan for note in notes], "every round gave the same bytes")
    levels = {
        "R0": _locked(rebuilder, notes),
        "R1": same_in_all([note.graph for note in notes], "every round gave the same bytes"),
        "R2": _tactics(rebuilder, notes, plan),
        "R3": _layers(notes, plan),
        "R4": plan,
        "R5": _worst([note.run.outputs for note in notes]),
    }
    return Rebuilt(
        rebuilder.recipe.name, variant, digest.hash, len(notes), level_reached(levels), levels
    )


def _tactics(rebuilder: Rebuilder, notes: Sequence[_Notes], plan: Level) -> Level:
    found = _worst([note.tactics or note.run.tactics for note in notes])
    if found.reached is not None:
        return found
    if rebuilder.recipe.build.backend == "tensorrt_rtx":
        return Level(None, ON_RTX)
    if plan.reached:
        return Level(True, "the same plan")
    return Level(None, "not compared: a plan does not tell its tactics")


def _locked(rebuilder: Rebuilder, notes: Sequence[_Notes]) -> Level:
    try:
        lock = find_lock(rebuilder.recipe)
        differences = compare(rebuilder, lock) if lock else ()
    except TrtbuildError as error:
        return Level(False, error.what)
    if lock is None:
        return Level(False, "there is no lock")
    if differences:
        return Level(False, f"not as locked: {differences[0]}")
    return same_in_all([note.inputs for note in notes], "as locked")


def _layers(notes: Sequence[_Notes], plan: Level) -> Level:
    found = _worst([note.run.layers for note in notes])
    if found.reached is not None:
        return found
    if plan.reached:
        return Level(True, "the same plan")
    if all(note.names or note.plan is None for note in notes):
        return Level(True, "the same plan but for numbers in internal names")
    network = same_in_all([note.network for note in notes], "")
    if network.reached is False:
        return network
    # What an engine's layers are only its runtime can tell, on a GPU that it runs on.
    return Level(None, "the network has the same layers and types; the plan's were not read")


def _worst(levels: Sequence[Level]) -> Level:
    order = {False: 0, None: 1, True: 2}
    return min(levels, key=lambda level: order[level.reached])
