"""What calibration costs beside its parts: onnxruntime's inference, and the work on the values.

    python -m benchmarks.calibration recipes/magika.yaml [--samples 256]

For each method the same samples go through `calibrate`, and through a plain session of the same
model (opened anew, as `calibrate` does) with the values of one batch put into histograms as often.
Both alternate; printed is the median of the ratios of neighbouring pairs. `trtbuild run` of the
recipe must have written the rewritten model (build/NAME/surgery or export) before.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import onnxruntime

from trtbuild.dataset import demand_of, open_dataset
from trtbuild.model.inputs import Arrays
from trtbuild.model.onnx_file import load_model
from trtbuild.precision.calibration import Method, calibrate
from trtbuild.precision.histogram import Histogram
from trtbuild.precision.prepare import prepare
from trtbuild.precision.sites import candidates
from trtbuild.precision.thresholds import entropy, percentile
from trtbuild.precision.watch import watch_tensors
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Recipe

PAIRS = 5


def main() -> None:
    """Measure each method on one recipe's model and data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--out", type=Path, help="as of trtbuild run")
    options = parser.parse_args()
    (recipe,) = load_recipes([options.recipe])
    place = options.out or recipe.folder / "build"
    stage = "surgery" if recipe.surgery else "export"
    model = load_model(place / recipe.name / stage / "model.onnx")
    prepare(model)
    batches = batches_of(recipe, options.samples)
    for method in ("minmax", "percentile", "entropy"):
        measure(recipe.name, model, batches, Method(method))


def batches_of(recipe: Recipe, samples: int) -> list[Arrays]:
    """The data in memory, from its beginning again where it has fewer samples."""
    source = recipe.calibration or recipe.verify
    dataset = None if source is None else source.dataset
    if dataset is None:
        raise SystemExit(f"{recipe.path} has no dataset")
    path = recipe.folder / dataset.files[0] if dataset.files else None
    files = tuple(recipe.folder / name for name in dataset.files)
    made = {"kind": dataset.kind, **dataset.options}
    demand = demand_of(made, recipe.inputs, recipe.folder, path, files=files)
    found = [batch.inputs for batch in open_dataset(demand)]
    taken = sum(len(next(iter(batch.values()))) for batch in found)
    return list(itertools.islice(itertools.cycle(found), -(-samples * len(found) // taken)))


def measure(name: str, model: onnx.ModelProto, batches: Sequence[Arrays], method: Method) -> None:
    """Print the ratio of one method, and the medians in seconds."""
    tensors = candidates(model)
    values: Arrays = {}
    watch_tensors(model, tensors, batches[:1], values.__setitem__)

    def ours() -> None:
        calibrate(model, tensors, iter(batches), method)

    def inference() -> None:
        """With onnxruntime's own settings."""
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        names = [item.name for item in session.get_inputs()]
        for batch in batches:
            session.run(None, {name: batch[name] for name in names})

    scale = [sum(v.size for v in batch.values()) for batch in batches]

    def work() -> None:
        """On the values of the first batch, in proportion to what the others hold."""
        rounds = round(sum(scale) / scale[0])
        if method.name == "minmax":
            for _ in range(rounds):
                for array in values.values():
                    _ = array.min(), array.max()
            return
        histograms = {name: Histogram() for name in values}
        for _ in range(rounds):  # every batch through all tensors, as their values come
            for name, array in values.items():
                histograms[name].add(array)
        for histogram in histograms.values():
            _ = entropy(histogram) if method.name == "entropy" else percentile(histogram, 99.99)

    ours(), inference()
    rows = [(seconds(ours), seconds(inference), seconds(work)) for _ in range(PAIRS)]
    a, b, c = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(x / (y + z) for x, y, z in rows)
    print(
        f"{name} {method.name}: {len(batches)} batches, {len(tensors)} tensors: {a:.3f} s, "
        f"inference {b:.3f} s, work on values {c:.3f} s, ratio {ratio:.2f}",
        flush=True,
    )


def seconds(function: Callable[[], None]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
