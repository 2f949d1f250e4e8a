"""Prints a comparison of two engines, results or variants, for a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trtbuild.report.tables import print_rows
from trtbuild.report.terminal import size_text

LAYERS = 20
"""Layers that are printed; `--json` has them all."""


def print_comparison(found: Any) -> None:
    """What differs, second against first; what one of the two lacks is named."""
    print(f"first:  {found['first']}\nsecond: {found['second']}")
    for text in found["caveats"]:
        print(f"warning: {text}")
    size = found["size"]
    if size is not None:
        _, first, second, change = _row("", size, size_text)
        print(f"\nsize: {first} -> {second} ({change})")
    for point in found["points"] or ():
        _print_point(point)
    if found["layers"] is not None:
        _print_layers(found["layers"])
    for title, numbers in (("precision, % of tensors", "precision"), ("accuracy", "accuracy")):
        if found[numbers]:
            rows = [_row(name, n) for name, n in found[numbers].items() if n is not None]
            print(f"\n{title}")
            print_rows(("", "first", "second", "change"), rows)
    parts = {
        "times": "points",
        "layers": "layers",
        "precision": "precision",
        "accuracy": "accuracy",
    }
    lacking = [name for name, key in parts.items() if found[key] is None]
    if lacking:
        print(f"\nnot compared, for want of a result that both have: {', '.join(lacking)}")
    if found["points"] == []:
        print("\nno shapes were measured for both")


def _print_point(point: Any) -> None:
    print(f"\n{point['name']}")
    rows = [
        _row(f"{metric} {name} ms", numbers)
        for metric, statistics in point["metrics"].items()
        for name, numbers in statistics.items()
        if name in ("median",) or name.startswith("p")
    ]
    rows.append(_row("queries/s", point["throughput"]))
    rows.append(_row("memory on the GPU", point["gpu_memory"], size_text))
    print_rows(("", "first", "second", "change"), rows)


def _print_layers(layers: Any) -> None:
    for word in ("gone", "new"):
        if layers[word]:
            names = "\n  ".join(layers[word][:LAYERS])
            print(f"\nlayers that are {word}: {len(layers[word])}\n  {names}")
    if layers["common"]:
        print(f"\nlayers of both at {layers['point']}, ms")
        rows = [
            (*_row(layer["name"][:60], layer["average_ms"]), ", ".join(layer["changed"]))
            for layer in layers["common"][:LAYERS]
        ]
        print_rows(("", "first", "second", "change", "differs in"), rows)


def _row(
    name: str, numbers: Any, text: Callable[[Any], str] = "{:.6g}".format
) -> tuple[str, str, str, str]:
    return name, text(numbers["first"]), text(numbers["second"]), _change(numbers)


def _change(numbers: Any) -> str:
    ratio = numbers["ratio"]
    return "" if ratio is None else f"{(ratio - 1) * 100:+.2f} %"
