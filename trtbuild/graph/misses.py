"""Why the caches have nothing for an action: how the entries that come nearest differ from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trtbuild.graph.action import Action, Reason, differences
from trtbuild.graph.results import Results
from trtbuild.store.index import Index

MOST_COMPARED = 500
"""Entries of a stage that are compared where none shares the inputs and options."""

MOST_TOLD = 5


def nearest_misses(results: Results, action: Action) -> tuple[str, ...]:
    """How the nearest entries differ from an action, field by field, in words.

    First those that share inputs and options, here and in the remote cache, and differ in tools,
    devices or what was read; else the nearest entries of the same stage here.
    """
    kin = [
        (results.as_it_was_read(action, trace.action), trace.action)
        for _, trace in results.kin(action)
    ]
    if kin:
        grouped: dict[tuple[Reason, ...], int] = {}
        for ours, theirs in kin:
            found = differences(theirs, ours)
            grouped[found] = grouped.get(found, 0) + 1
        nearest = sorted(grouped.items(), key=lambda item: len(item[0]))[:MOST_TOLD]
        return tuple(_told(theirs, count) for theirs, count in nearest if theirs)
    return _same_stage(results, action)


def _same_stage(results: Results, action: Action) -> tuple[str, ...]:
    index = Index(results.store.root)
    keys = index.of_stage(action.stage, MOST_COMPARED)
    index.close()
    traces = [trace for key in keys if (trace := results.store.actions.lookup(key)) is not None]
    found = [
        differences(trace.action, results.as_it_was_read(action, trace.action)) for trace in traces
    ]
    if not found:
        return (f"no cache has an entry of the {action.stage} stage",)
    best = min(found, key=len)
    text = "; ".join(reason.text for reason in best[:MOST_TOLD])
    more = f" (and {len(best) - MOST_TOLD} more)" if len(best) > MOST_TOLD else ""
    return (f"the nearest of {len(found)} entries of this stage -> here: {text}{more}",)


def _told(found: Sequence[Reason], count: int) -> str:
    """`gpu.driver 580 here, 575 in the 3 entries that share all else`."""
    fields = ", ".join(_field(reason) for reason in found)
    entries = "the entry that shares" if count == 1 else f"the {count} entries that share"
    return f"{fields} in {entries} all else"


def _field(reason: Reason) -> str:
    if not reason.text.startswith(f"{reason.field}: "):
        return reason.text  # told in words
    name = reason.field.removeprefix("toolchain.").removeprefix("discovered.")
    there, _, here = reason.text.removeprefix(f"{reason.field}: ").partition(" -> ")
    return f"{name} {_plain(here)} here, {_plain(there)}"


def _plain(value: Any) -> str:
    return str(value).strip('"')
