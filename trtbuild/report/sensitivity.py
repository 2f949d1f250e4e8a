"""What each node's low precision costs, for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHOWN = 12


def print_sensitivity(document: dict[str, Any], place: Path) -> None:
    """The nodes that cost most, and the lines to paste; `place` holds the whole document."""
    probes, precision = document["probes"], document["precision"]
    print(f"{len(probes)} of {document['nodes']} nodes measured, each alone in {precision}:")
    for probe in probes[:SHOWN]:
        lost = "not finite" if probe["snr_db"] is None and probe["noise"] is None else "no loss"
        loss = lost if probe["snr_db"] is None else f"{probe['snr_db']:.1f} dB"
        print(f"  {loss:>10}  {probe['node']}")
    if len(probes) > SHOWN:
        print(f"  and {len(probes) - SHOWN} more, which cost less: {place}")
    keeping = document["keeping"]
    if not keeping["enough"]:
        print(f"\n{_why_not(document)}")
    elif not keeping["nodes"]:
        print("\nThe outputs are within the tolerance: nothing need be kept in fp32.")
    else:
        few = "the fewest found" if keeping["settled"] else "perhaps not the fewest: time was up"
        count = len(keeping["nodes"])
        print(f"\nWith {count} more in fp32 every case is within the tolerance ({few}).")
        print("In place of `precisions:` in the recipe:\n")
        print(document["yaml"].rstrip())


def _why_not(document: dict[str, Any]) -> str:
    """Why no nodes to keep were found, in words."""
    precision, base = document["precision"], document["base"]
    if not document["keeping"]["settled"]:
        again = "with more --seconds" if document["complete"] else "to go on from here"
        return f"the time was up before enough nodes were found: run it again {again}"
    if document["fp32_passes"] is False:
        return "even in fp32 the outputs are not within the tolerance"
    other = "" if base in ("fp32", precision) else f" (the rest is in {base}: try another `base`)"
    return (
        f"{precision} cannot be used on this model within this tolerance: "
        f"every node that it changes would have to stay in fp32{other}"
    )
