"""Measures what each node's low precision costs, and which few to keep in float32, in given time.

What was measured before is not measured again: give the sensitivity.json of an earlier run as
`known`. It is used where it is of the same model, precision and data.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from trtbuild.errors import StageError
from trtbuild.model.compare import Tally, compare
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.onnx_file import load_model
from trtbuild.precision import int4
from trtbuild.precision.cases import open_cases
from trtbuild.precision.choice import Wish
from trtbuild.precision.pairs import Pair, activation_pair, cast_pair, weight_pair
from trtbuild.precision.sensitivity import Clock, Keeping, Probe, fewest_kept, probe_nodes
from trtbuild.precision.switchboard import open_switchboard
from trtbuild.precision.table import read_table
from trtbuild.stages.wishes import (
    CASTS,
    calibration_batches,
    eight_bit_wish,
    int4_wish,
    names_of,
)
from trtbuild.store.digest import canonical_json, digest_of_bytes, digest_of_file
from trtbuild.verify.tolerance import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from trtbuild.model.inputs import Arrays
    from trtbuild.precision.cases import Cases
    from trtbuild.precision.switchboard import Switchboard
    from trtbuild.stages.base import StageContext

W = TypeVar("W", Wish, int4.Wish)

FORMAT = 1
SECONDS = 120.0
CASES = 4
"""Where the options do not say: how long, and on how many cases of the reference."""

_PROBING = 0.7  # share of the time that goes into probes; the rest is for the search


def run(context: StageContext) -> None:
    """Write sensitivity.json. Options: those of quantize, and seconds, cases and tolerance."""
    options: Any = context.options
    seconds = float(options.get("seconds") or SECONDS)
    model = load_model(context.inputs["model"])
    inputs, reference = parse_inputs(options["inputs"]), context.inputs["reference"]
    with open_cases(reference, inputs, options.get("renames")) as cases:
        pair = _pair(model, context, cases)
        some = cases.typical(int(options.get("cases") or CASES))
    key = _key(context, len(some))
    known = _known(context, key)
    clock, probing = Clock(seconds), Clock(seconds * _PROBING)
    with open_switchboard(pair.exact, pair.rounded) as board:
        probes = _probe(board, some, probing, known, context)
        context.reporter.progress("finding the fewest nodes to keep", _PROBING)
        judged = _Judge(options)
        keeping = fewest_kept(board, some, probes, judged.accept, clock)
        document = _document(key, board, probes, keeping, str(options["precision"]))
        document["reused"] = sum(probe.node in known for probe in probes)
    text = json.dumps(document, indent=1, allow_nan=False)
    (context.outputs / "sensitivity.json").write_text(text + "\n")


def _pair(model: onnx.ModelProto, context: StageContext, cases: Cases) -> Pair:
    options: Any = context.options
    keep = names_of(options, "keep_fp32")
    match options["precision"]:
        case "fp16" | "bf16" as low:
            return cast_pair(model, low, keep, cases, context.reporter.progress)
        case "int8" | "fp8" as kind:
            table = read_table(context.inputs["calibration"])
            eight = eight_bit_wish(options, kind)
            return activation_pair(model, _without(eight, keep), table.amax)
        case "int4":
            wish = int4_wish(options)
            what = f"measuring activations for {wish.method}"
            return weight_pair(model, _without(wish, keep), calibration_batches(context, what))
        case other:
            raise StageError(
                f"'{other}' has no nodes in low precision",
                where="precision",
                hint=f"give one of {', '.join((*CASTS, 'int8', 'fp8', 'int4'))}",
            )


def _without(wish: W, keep: tuple[str, ...]) -> W:
    """Nodes that are kept in float32 already are not quantized."""
    return replace(wish, exclude=(*wish.exclude, *keep))


def _probe(
    board: Switchboard,
    cases: Sequence[Arrays],
    clock: Clock,
    known: dict[str, Probe],
    context: StageContext,
) -> list[Probe]:
    probes = []
    for probe in probe_nodes(board, cases, clock, known=known):
        probes.append(probe)
        done = len(probes) / len(board.nodes)
        context.reporter.progress(
            f"measuring node {len(probes)} of {len(board.nodes)}: {probe.node}", done * _PROBING
        )
    return sorted(probes, key=lambda probe: (-probe.noise, probe.node))


class _Judge:
    """The recipe's tolerance, as verify applies it."""

    def __init__(self, options: Any) -> None:
        self._limits = options.get("tolerance") or {}
        self._precision = str(options["precision"])

    def accept(self, expected: Sequence[Arrays], got: Sequence[Arrays]) -> bool:
        """Whether every output is within the limits, over all cases."""
        for name in expected[0]:
            tally = Tally()
            for index, (exact, rounded) in enumerate(zip(expected, got, strict=True)):
                tally.add(compare(rounded[name], exact[name]), index, shares=True)
            if judge(name, tally, self._limits, self._precision):
                return False
        return True


def _key(context: StageContext, cases: int) -> str:
    """What a probe depends on: probes of another model, precision or data are not comparable."""
    ignored = ("seconds", "tolerance")
    options = {name: value for name, value in context.options.items() if name not in ignored}
    files = {
        role: digest_of_file(path).text
        for role, path in context.inputs.items()
        if role != "known" and path.is_file()
    }
    values = context.inputs["reference"].with_suffix(".npz")
    files["values"] = digest_of_file(values).text
    document = {"options": options, "files": files, "cases": cases}
    return digest_of_bytes(canonical_json(document)).text


def _known(context: StageContext, key: str) -> dict[str, Probe]:
    path = context.inputs.get("known")
    if path is None:
        return {}
    try:
        document: Any = json.loads(path.read_bytes())
        if document["key"] != key:
            return {}
        return {item["node"]: Probe(item["node"], _noise(item)) for item in document["probes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # what cannot be read is measured again


def _noise(item: Any) -> float:
    return math.inf if item["noise"] is None else float(item["noise"])


def _document(
    key: str, board: Switchboard, probes: Sequence[Probe], keeping: Keeping, precision: str
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "key": key,
        "precision": precision,
        "nodes": len(board.nodes),
        "complete": len(probes) == len(board.nodes),
        "probes": [
            {
                "node": probe.node,
                "noise": probe.noise if math.isfinite(probe.noise) else None,
                "snr_db": round(probe.snr_db, 3) if math.isfinite(probe.snr_db) else None,
            }
            for probe in probes
        ],
        "keeping": {
            "nodes": list(keeping.nodes),
            "enough": keeping.enough,
            "settled": keeping.settled,
        },
        "yaml": _lines(keeping, precision),
    }


def _lines(keeping: Keeping, precision: str) -> str:
    """What to paste below `precisions:` in the recipe; empty where nothing need be kept."""
    if not keeping.nodes:
        return ""
    names = "".join(f"    - {json.dumps(node)}\n" for node in keeping.nodes)
    return f"{precision}:\n  keep_fp32:\n{names}"
