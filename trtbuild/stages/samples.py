"""The calibration data of a stage: read as often as it is asked for, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.dataset import open_dataset
from trtbuild.errors import StageError
from trtbuild.stages.demand import stage_demand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtbuild.dataset.base import Demand
    from trtbuild.model.inputs import Arrays
    from trtbuild.stages.base import StageContext

ENOUGH = {"minmax": 32, "entropy": 100, "percentile": 100} | dict.fromkeys(
    ("awq_lite", "awq_clip", "awq_full"), 32
)
"""Samples below which a method is warned of. NVIDIA calibrates ImageNet networks on 500; the
weight searches look at means, which settle sooner (Lin et al. 2023 do with 16 sequences)."""


class Samples:
    """The batches that a stage calibrates on; iterating reads them from the beginning.

    `asked` are the options that hold dataset, samples and batch, `method` what the data is for,
    `finds` what is found on it ("ranges"), `what` the stage's work, as progress names it.
    """

    def __init__(
        self, context: StageContext, asked: Any, *, method: str, finds: str, what: str
    ) -> None:
        self.taken = 0  # samples, by the last reading
        self._context, self._asked = context, asked
        self._method, self._finds, self._what = method, finds, what
        self._told = False  # warnings, which are the same in every reading

    @property
    def source(self) -> str:
        """The kind of the dataset."""
        return str(self._asked["dataset"]["kind"])

    def __iter__(self) -> Iterator[Arrays]:
        """The inputs of each batch, by the names that the graph has.

        Raises StageError where the dataset has fewer samples than are asked for, and as datasets
        do.
        """
        demand = stage_demand(self._context, self._asked, "calibration")
        asked = demand.samples
        renames: Any = self._context.options.get("renames") or {}
        self.taken = 0
        for batch in open_dataset(demand):
            self.taken += demand.count(batch.inputs)
            limit = f" of {asked}" if asked else ""
            fraction = min(self.taken / asked, 1.0) if asked else None
            text = f"{self._what}, sample {self.taken}{limit}"
            self._context.reporter.progress(text, fraction)
            given = {**batch.extras, **batch.inputs}  # an input that surgery made is an extra
            yield {renames.get(name, name): values for name, values in given.items()}
        self._check(demand)

    def document(self) -> dict[str, Any]:
        """What was read, for what: as calibration.json says it of ranges."""
        return {"method": self._method, "samples": self.taken, "source": self.source}

    def _check(self, demand: Demand) -> None:
        if demand.samples and self.taken < demand.samples:
            lost = sum(demand.left_out)
            raise StageError(
                f"{demand.samples} samples are asked for, but the dataset gives {self.taken}"
                + (f": {lost} more do not fill a batch of {demand.batch}" if lost else ""),
                where="calibration.samples",
                hint="ask for a multiple of the batch, or choose another `batch`"
                if lost
                else "ask for fewer, or leave `samples` out to take them all",
            )
        if not self._told:
            self._told = True
            self._warn()

    def _warn(self) -> None:
        warn, enough = self._context.reporter.warn, ENOUGH[self._method]
        if self.taken < enough:
            warn(
                f"{self.taken} samples are few for {self._method}: {self._finds} settle from about "
                f"{enough} on"
            )
        if self.source == "random":
            warn(
                f"calibrated on random values, as the recipe says: the {self._finds} are those of "
                "noise"
            )
