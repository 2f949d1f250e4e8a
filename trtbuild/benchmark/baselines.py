"""The same model in other runtimes, on the same inputs, in the same run, in turn."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trtbuild.benchmark.interleave import Rounds, Subject, Timed, interleave, ratio
from trtbuild.benchmark.names import of_graph, of_source
from trtbuild.benchmark.result import summary_part
from trtbuild.benchmark.settings import Settings
from trtbuild.benchmark.statistics import summarise
from trtbuild.errors import StageError, TrtbuildError
from trtbuild.model.compare import Comparison, compare
from trtbuild.recipe.model import Options
from trtbuild.trt.tensors import Array, numpy_dtype

ALIKE = 0.98
"""The cosine, or the share of equal integers, from which on two outputs are the same."""
NEGLIGIBLE = 0.01
"""A difference that is none even where values are so small that their direction says nothing."""

KINDS = ("torch", "torch_compile", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the model is that baselines run: its source, its files, and its ONNX export."""

    options: Options | None  # as the export stage has it; None where there is no recipe
    files: Mapping[str, Path]  # the roles of the source: factory, weights, program
    folder: Path
    onnx: Path | None
    variant: Path | None = None  # the graph that the engine was built from
    renames: Mapping[str, str] = field(default_factory=dict)  # by surgery: old name -> new name


def make_baseline(spec: Options, source: Source, inputs: Mapping[str, Array]) -> Subject:
    """A baseline by its options, warmed up. Raises TrtbuildError where it cannot be run.

    {"kind": "torch" | "torch_compile", "dtype": null | "float16" | "bfloat16", "tf32": true,
    "mode": "default"} or {"kind": "onnxruntime", "provider": null | "cpu" | "cuda", "threads",
    "graph": "model" | "variant"}.
    """
    given: Any = spec
    if given["kind"] == "onnxruntime":
        from trtbuild.benchmark.onnx_subject import OnnxSubject

        of_variant = given.get("graph") == "variant"
        path = source.variant if of_variant else source.onnx
        if path is None:
            raise StageError(f"there is no ONNX model{' of the variant' * of_variant} to run")
        return OnnxSubject(
            path,
            inputs,
            source.renames,
            provider=given.get("provider"),
            threads=given.get("threads"),
            what=", the variant's graph" * of_variant,
        )
    from trtbuild.benchmark.torch_subject import TorchSubject

    mode = given.get("mode", "default") if given["kind"] == "torch_compile" else None
    subject = TorchSubject(
        _module(source),
        of_source(inputs, source.renames),
        compile_mode=mode,
        dtype=given.get("dtype"),
        tf32=bool(given.get("tf32", True)),
    )
    if (source.options or {}).get("apart") and source.onnx is not None:
        require_same(subject.outputs(), source.onnx, inputs, source.renames)
    return subject


def require_same(
    found: Sequence[Array],
    onnx: Path,
    inputs: Mapping[str, Array],
    renames: Mapping[str, str],
) -> None:
    """Raise StageError unless a module gives what the model gives: each output of the model is
    among its own, as near as 16-bit floats and TF32 leave it.
    """
    from trtbuild.model.runner import open_model

    runner = open_model(onnx)
    types = {item.name: numpy_dtype(item.dtype, item.name) for item in runner.inputs}
    named = of_graph(types, inputs, renames)
    values = {name: array.astype(types[name]) for name, array in named.items()}
    for name, expected in runner.run(values).items():
        compared = [compare(output, expected) for output in found]
        if not any(map(_near, compared)):
            nearest = max((c.values.get("cosine", -1.0) for c in compared), default=-1.0)
            raise StageError(
                f"it computes something else than the model: no output is like '{name}' "
                f"({list(expected.shape)}), the nearest has a cosine of {nearest:.4g}",
                where="benchmark.torch",
                hint="give it the model's weights; its inputs have the names of the model's, or "
                "their order",
            )


def _near(compared: Comparison) -> bool:
    if compared.problem:
        return False
    hits, of = compared.shares.get("equal", (0, 0))
    alike = compared.values.get("cosine", hits / of if of else 0.0) >= ALIKE
    return alike or compared.values.get("max_abs", math.inf) <= NEGLIGIBLE


def measure_baselines(
    engine: Subject,
    specs: Sequence[Options],
    make: Callable[[Options], Subject],
    settings: Settings,
    warn: Callable[[str], None],
) -> Options:
    """Runs the engine and its baselines in turn; the `baselines` part of a point.

    A baseline that cannot be run, or fails on the way, is left out with a warning and its reason.
    """
    _forget_compiled()
    subjects: list[_Guarded] = []
    missing: list[Any] = []

    def leave_out(spec: Options, error: Exception) -> None:
        reason = error.what if isinstance(error, TrtbuildError) else _first_line(error)
        warn(f"the baseline {_named(spec)} is left out: {reason}")
        missing.append({"kind": spec["kind"], "options": _options(spec), "reason": reason})

    for spec in specs:
        try:
            subject = make(spec)
            subjects.append(_Guarded(subject, spec, subject.name))
        except Exception as error:  # whatever keeps a baseline from running is a reason, no end
            leave_out(spec, error)
    while True:
        try:
            sides: list[Subject] = [engine, *subjects]
            done = interleave(sides, rounds=settings.rounds, round_ms=settings.round_ms)
            break
        except _FailedError as failed:
            subjects.remove(failed.subject)
            leave_out(failed.subject.spec, failed.reason)
    return {
        "rounds": settings.rounds,
        "round_ms": settings.round_ms,
        "engine": _side(done[0], settings),
        "others": [
            {
                **_side(found, settings),
                "version": getattr(subject.subject, "version", ""),
                "speedup": speedup(done[0], found),
            }
            for subject, found in zip(subjects, done[1:], strict=True)
        ],
        "missing": missing,
    }


def _forget_compiled() -> None:
    """Have torch.compile specialize for these shapes, as it does for the first that it sees.

    At others it would take what it compiled before, made general, or stop compiling.
    """
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()


class _FailedError(Exception):
    """A baseline that raised while it was measured."""

    def __init__(self, subject: _Guarded, reason: Exception) -> None:
        super().__init__(str(reason))
        self.subject, self.reason = subject, reason


@dataclass(slots=True, eq=False)
class _Guarded:
    """A baseline whose failure is told apart from the engine's."""

    subject: Subject
    spec: Options
    name: str

    def run(self, queries: int) -> Timed:
        try:
            return self.subject.run(queries)
        except Exception as error:
            raise _FailedError(self, error) from error


def _options(spec: Options) -> Options:
    """What a baseline's options say beyond its kind."""
    return {key: value for key, value in spec.items() if key != "kind" and value is not None}


def _named(spec: Options) -> str:
    said = ", ".join(f"{key} {value}" for key, value in _options(spec).items())
    return f"{spec['kind']} ({said})" if said else str(spec["kind"])


def speedup(engine: Rounds, other: Rounds) -> Options:
    """How many times as long the other takes, by the host's clock and by the GPU's where it can."""
    found: Options = {}
    for clock in ("wall", "gpu"):
        first, second = engine.medians(clock), other.medians(clock)
        both = len(first) and len(second)
        found[clock] = dict(asdict(ratio(first, second))) if both else None
    return found


def _side(rounds: Rounds, settings: Settings) -> Options:
    found: Options = {"name": rounds.name}
    for clock in ("wall", "gpu"):
        times = np.concatenate(getattr(rounds, clock))
        summary = summary_part(summarise(times, settings.percentiles)) if len(times) else None
        found[f"{clock}_ms"] = summary
    return found


def _module(source: Source) -> Any:
    from trtbuild.model.torch_source import load_module, load_program

    kind = (source.options or {}).get("kind")
    if kind == "torch" and source.options is not None:
        return load_module(source.options, source.files, source.folder)
    if kind == "exported_program":
        from torch.export.passes import move_to_device_pass

        return move_to_device_pass(load_program(source.files["program"]), "cuda").module()
    raise StageError("the recipe's model is no PyTorch model")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"
