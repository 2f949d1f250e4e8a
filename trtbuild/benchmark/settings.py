"""How a benchmark is run: every knob, with its default, as values that are written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from trtbuild.benchmark.interleave import MIN_ROUNDS
from trtbuild.errors import StageError
from trtbuild.recipe.model import Options

ALLOCATIONS = ("static", "profile", "runtime")
SPECIALIZATIONS = ("lazy", "eager", "none")
GRAPHS = (False, True, "capture", "runtime")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one measurement; what trtexec calls each is in the comment.

    Four of them are always stated in a result, since trtexec 11 turned their defaults round:
    transfers, spin_wait, cuda_graph and the profile of layers, which here is always a run apart.
    """

    warmup_ms: float = 200.0  # --warmUp
    duration_s: float = 3.0  # --duration: at least so long after the warm-up
    iterations: int = 10  # --iterations: at least so many after the warm-up
    streams: int = 1  # --infStreams
    threads: bool = False  # --threads: a host thread per stream
    transfers: bool = True  # copies in the loop: 10.x's default; 11.x: --includeDataTransfers
    overlap: bool = True  # two queries in flight; off is --exposeDMA
    spin_wait: bool = True  # 11.x's default; 10.x: --useSpinWait
    cuda_graph: bool | str = False  # 10.x's default; "capture", "runtime" (RTX); true: either
    sleep_ms: float = 0.0  # --sleepTime: from the first launch to the first compute
    idle_ms: float = 0.0  # --idleTime: the host rests between queries
    optimization_profile: int = 0  # --useProfile
    allocation: str = "static"  # --allocationStrategy
    persistent_cache_ratio: float = 0.0  # --persistentCacheRatio: of the L2's persisting part
    weight_streaming_budget: int | str | None = None  # bytes, "40%", "auto"; None: all resident
    runtime_cache: bool = False  # --runtimeCacheFile (RTX): compile first, then measure
    kernel_specialization: str = "eager"  # --specializeStrategyDS (RTX), where "lazy" is default
    percentiles: tuple[float, ...] = (90.0, 95.0, 99.0)  # --percentile
    layer_profile: bool = False  # --exportProfile, --separateProfileRun
    time_deserialize: bool = False  # --timeDeserialize
    time_refit: bool = False  # --timeRefit: with the weights of the role `model`
    rounds: int = 20  # of baselines and regressions: each side once a round
    round_ms: float = 100.0  # how long a side is run in a round
    export_times: bool = False  # --exportTimes
    export_outputs: bool = False  # --exportOutput
    export_layers: bool = False  # --exportLayerInfo

    def __post_init__(self) -> None:
        if problems := tuple(_problems(self)):
            raise StageError("; ".join(problems), where="benchmark")

    @property
    def depth(self) -> int:
        """How many queries of a stream are in flight."""
        return 2 if self.overlap else 1

    def as_options(self) -> Options:
        """Plain JSON, as it is written into results."""
        return {**asdict(self), "percentiles": list(self.percentiles)}


def settings_of(options: Options) -> Settings:
    """The settings among a stage's options; what is not there has its default.

    Raises StageError for values that no measurement could use.
    """
    known = {field.name for field in fields(Settings)}
    given: dict[str, Any] = {key: options[key] for key in options if key in known}
    if "percentiles" in given:
        given["percentiles"] = tuple(float(p) for p in given["percentiles"])
    return Settings(**given)


def _problems(settings: Settings) -> list[str]:
    limits = {"warmup_ms": 0, "duration_s": 0, "iterations": 1, "streams": 1, "sleep_ms": 0}
    limits |= {"idle_ms": 0, "optimization_profile": 0, "rounds": MIN_ROUNDS, "round_ms": 1}
    found = [
        f"{name} is {getattr(settings, name)}, it must be {least} or more"
        for name, least in limits.items()
        if getattr(settings, name) < least
    ]
    choices = {
        "allocation": ALLOCATIONS,
        "kernel_specialization": SPECIALIZATIONS,
        "cuda_graph": GRAPHS,
    }
    found += [
        f"{name} is {getattr(settings, name)!r}, not one of {', '.join(map(str, allowed))}"
        for name, allowed in choices.items()
        if getattr(settings, name) not in allowed
    ]
    if not all(0 <= p <= 100 for p in settings.percentiles):
        found.append(f"percentiles are {list(settings.percentiles)}, they must be from 0 to 100")
    if not 0 <= settings.persistent_cache_ratio <= 1:
        found.append(f"persistent_cache_ratio is {settings.persistent_cache_ratio}, not 0 to 1")
    return found
