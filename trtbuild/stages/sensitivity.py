"""Measures what each node's low precision costs, and which few to keep in float32, in given time.

What was measured before is not measured again: give the sensitivity.json of an earlier run as
`known`. It is used where it is of the same model, precision and data.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.model.compare import Tally, compare
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.onnx_file import load_model
from trtbuild.precision.cases import open_cases
from trtbuild.precision.pairs import Pair, activation_pair, cast_pair, weight_pair
from trtbuild.precision.sensitivity import (
    Clock,
    Keeping,
    Probe,
    fewest_kept,
    probe_nodes,
    prove,
    rank,
)
from trtbuild.precision.switchboard import open_switchboard
from trtbuild.precision.table import read_table
from trtbuild.stages.proof import Proof
from trtbuild.stages.wishes import (
    CASTS,
    base_of,
    eight_bit_wish,
    int4_samples,
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

FORMAT = 1
SECONDS = 120.0
CASES = 4
"""Where the options do not say: how long, and on how many cases of the reference."""

_WRITTEN_EVERY = 2.0  # seconds, while probes are made

_PROBING = 0.7  # share of the time that goes into probes; the rest is for the search


def run(context: StageContext) -> None:
    """Write sensitivity.json. Options: those of quantize, and seconds, cases and tolerance.

    The file is written while probes are made too, so that an interrupt loses few of them.
    """
    options: Any = context.options
    seconds = float(options.get("seconds") or SECONDS)
    model = load_model(context.inputs["model"])
    inputs, reference = parse_inputs(options["inputs"]), context.inputs["reference"]
    clock, probing = Clock(seconds), Clock(seconds * _PROBING)
    with open_cases(reference, inputs, options.get("renames")) as cases:
        pair = _pair(model, context, cases)
        some = cases.typical(int(options.get("cases") or CASES))
        key = _key(context, len(some))
        known = _known(context, key)
        with open_switchboard(pair.exact, pair.rounded) as board:
            record = _Record(context, key, board.nodes, known)
            record.probe(board, some, probing)
            context.reporter.progress("finding the fewest nodes to keep", _PROBING)
            probes = record.probes()
            keeping = fewest_kept(board, some, probes, _Judge(options).accept, clock)
            nodes = board.nodes
        proof = Proof(context, cases)
        if keeping.enough:
            keeping = prove(keeping, rank(nodes, probes), proof.tried, clock)
        in_vain = keeping.settled and not keeping.enough
        record.write(keeping, float32_holds=proof.float32_holds() if in_vain else None)


def _pair(model: onnx.ModelProto, context: StageContext, cases: Cases) -> Pair:
    options: Any = context.options
    keep = names_of(options, "keep_fp32")
    match options["precision"]:
        case "fp16" | "bf16" as low:
            return cast_pair(model, low, keep, cases, context.reporter.progress)
        case "int8" | "fp8" as kind:
            table = read_table(context.inputs["calibration"])
            return activation_pair(model, eight_bit_wish(options, kind), table.amax, keep)
        case "int4":
            wish, samples = int4_wish(options), int4_samples(context)
            return weight_pair(model, wish, lambda: samples, keep)
        case other:
            raise StageError(
                f"'{other}' has no nodes in low precision",
                where="precision",
                hint=f"give one of {', '.join((*CASTS, 'int8', 'fp8', 'int4'))}",
            )


class _Record:
    """The probes as they are made, and sensitivity.json."""

    def __init__(
        self, context: StageContext, key: str, nodes: tuple[str, ...], known: dict[str, Probe]
    ) -> None:
        self._context, self._key, self._nodes, self._known = context, key, nodes, known
        self._found: list[Probe] = []

    def probe(self, board: Switchboard, cases: Sequence[Arrays], clock: Clock) -> None:
        """Measure the nodes that are not known, as long as there is time."""
        total, written = len(self._nodes), time.monotonic()
        for probe in probe_nodes(board, cases, clock, known=self._known):
            self._found.append(probe)
            done = len(self._found)
            self._context.reporter.progress(
                f"measuring node {done} of {total}: {probe.node}", done / total * _PROBING
            )
            if time.monotonic() - written > _WRITTEN_EVERY:
                self.write(Keeping((), enough=False, settled=False))
                written = time.monotonic()

    def probes(self) -> list[Probe]:
        """Those made and those known, the node that costs most first."""
        return sorted(self._found, key=lambda probe: (-probe.noise, probe.node))

    def write(self, keeping: Keeping, *, float32_holds: bool | None = None) -> None:
        """Write the document; JSON has no infinity, which is null.

        `float32_holds` is whether the float32 graph itself is accepted, None where nobody asked.
        """
        probes = self.probes()
        document = {
            "format": FORMAT,
            "key": self._key,
            "precision": str(self._context.options["precision"]),
            "base": base_of(self._context.options),
            "nodes": len(self._nodes),
            "complete": len(probes) == len(self._nodes),
            "reused": sum(probe.node in self._known for probe in probes),
            "probes": [
                {
                    "node": probe.node,
                    "noise": probe.noise if math.isfinite(probe.noise) else None,
                    "snr_db": round(probe.snr_db, 3) if math.isfinite(probe.snr_db) else None,
                }
                for probe in probes
            ],
            "keeping": asdict(keeping),
            "fp32_passes": float32_holds,
        }
        text = json.dumps(document, indent=1, allow_nan=False)
        path = self._context.outputs / "sensitivity.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text + "\n")
        temporary.replace(path)


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
    ignored = {"seconds", "tolerance"}
    if context.options["precision"] != "int4":  # whose layers share what they are smoothed by
        ignored.add("keep_fp32")
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
