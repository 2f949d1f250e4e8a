"""Prints what `trtbuild inspect` found, for a person."""

from __future__ import annotations

from typing import Any

from trtbuild.report.terminal import size_text

SHOWN = 40
"""Operators, layers and refusals that are printed; `--json` has them all."""


def print_inspection(found: dict[str, Any]) -> None:
    """A line per fact."""
    print(f"{found['path']}: {found['what']}")
    print(f"  size      {found['size_bytes']} bytes")
    print(f"  sha256    {found['sha256']}")
    (_print_engine if found["kind"] == "engine" else _print_onnx)(found)


def _print_engine(found: dict[str, Any]) -> None:
    if found["wrapper"]:
        print(
            f"  header    {found['offset']} bytes of {found['wrapper']} stand before the plan: "
            "TensorRT's own runtime does not skip them"
        )
    made, build = found["made_by"], found["build"]
    if made is not None:
        _print_action(made)
    else:
        print("  made by   unknown to this cache (--cache DIR names another one)")
    if build is not None:
        print(f"  precision {build['precision']}, {build['layers']} layers before the build")
        profiles = build.get("profiles", [])  # where there are several
        for item in build["inputs"]:
            shapes = "" if profiles else f" {item['min']} to {item['max']}"
            print(f"  input     {item['name']} {item['dtype']}{shapes}")
        for number, profile in enumerate(profiles):
            for name, shapes in profile.items():
                print(f"  profile {number} {name} {shapes['min']} {shapes['opt']} {shapes['max']}")
        for item in build["outputs"]:
            print(f"  output    {item['name']} {item['dtype']} {item['shape']}")
    _print_gpu(found["gpu"])


def _print_action(made: dict[str, Any]) -> None:
    action = made["action"]
    print(f"  made by   {made['recipe'] or 'a recipe'}, action {made['key'][:16]}")
    for name, digest in action["inputs"].items():
        print(f"  from      {name} {digest}")
    for name, version in action["toolchain"].items():
        print(f"  with      {name} {version}")
    for name, value in action["options"].items():
        if value not in (None, [], {}):
            print(f"  option    {name}: {value}")


def _print_gpu(gpu: dict[str, Any]) -> None:
    if "error" in gpu:
        print(f"  layers    {gpu['error']}")
        return
    print(f"  loaded on {gpu['device']}: {len(gpu['layers'])} layers")
    print(f"  memory    {size_text(gpu['activation_bytes'])} for activations")
    if gpu["streamable_bytes"]:
        print(f"  streaming {size_text(gpu['streamable_bytes'])} of weights can be streamed")
    if gpu["refittable"]:
        names = gpu["refittable"][:SHOWN]
        more = " ..." if len(gpu["refittable"]) > SHOWN else ""
        print(f"  refit     {len(gpu['refittable'])} weights: {', '.join(names)}{more}")
    for tensor in gpu["tensors"]:
        kind = "input" if tensor["input"] else "output"
        print(f"  {kind:9} {tensor['name']} {tensor['dtype']} {tensor['shape']}")
    for number, profile in enumerate(gpu["profiles"]):
        for name, shapes in profile.items():
            print(f"  profile {number} {name} {shapes['min']} {shapes['opt']} {shapes['max']}")
    for layer in gpu["layers"][:SHOWN]:
        print(f"  layer     {layer}")


def _print_onnx(found: dict[str, Any]) -> None:
    for item in found["external"]:
        size = item["size_bytes"]
        text = "MISSING: it belongs beside the model" if size is None else f"{size} bytes"
        print(f"  data      {item['file']}: {text}")
    opsets = ", ".join(f"{name or 'ai.onnx'} {number}" for name, number in found["opsets"].items())
    print(f"  opset     {opsets}; IR {found['ir_version']}; made by {found['producer'] or '?'}")
    for kind in ("inputs", "outputs"):
        for item in found[kind]:
            dims = "?" if item["dims"] is None else ", ".join(map(_dim, item["dims"]))
            print(f"  {kind[:-1]:9} {item['name']} {item['dtype']} [{dims}]")
    print(f"  weights   {found['weights']['count']}, {found['weights']['bytes']} bytes")
    operators = list(found["operators"].items())
    told = ", ".join(f"{name} {count}" for name, count in operators[:SHOWN])
    print(f"  operators {told}" + (" ..." if len(operators) > SHOWN else ""))
    _print_parser(found["parser"])


def _print_parser(parser: dict[str, Any]) -> None:
    if "error" in parser:
        print(f"  parser    not asked: {parser['error']}")
    elif parser["accepted"]:
        print(f"  parser    {parser['backend']} {parser['version']} takes it")
    else:
        print(f"  parser    {parser['reason']}")
        for line in parser["refusals"][:SHOWN]:
            print(f"            {line}")
        print(f"  hint      {parser['hint']}")


def _dim(size: int | str | None) -> str:
    return "?" if size is None else str(size)
