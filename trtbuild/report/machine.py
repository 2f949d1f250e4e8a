"""Prints what `trtbuild doctor` found, for a person."""

from __future__ import annotations

from typing import Any


def print_machine(found: dict[str, Any]) -> None:
    """A section per topic; what is amiss is marked by an exclamation mark."""
    print(f"Python {found['python']} on {found['platform']}")
    print("\npackages")
    for item in found["packages"]:
        _print_package(item)
    print("\nTensorRT")
    for item in found["flavours"]:
        told = item["installed"] or "not installed"
        broken = f": {item['loads']}" if item["installed"] and item["loads"] else ""
        print(f"  {'!' if broken else ' '} {item['backend']} {told}{broken}")
    _print_gpus(found["gpu"], found["compilers"])
    cache = found["cache"]
    writable = "" if cache["writable"] else ", which cannot be written to"
    print(f"\ncache\n    {cache['path']}{writable}, {cache['free_bytes'] / 1024**3:.1f} GiB free")
    for recipe in found["recipes"]:
        _print_recipe(recipe)


def _print_package(item: dict[str, Any]) -> None:
    extra = f" [{item['extra']}]" if item["extra"] else ""
    amiss = not item["right"] and (item["installed"] is not None or not item["extra"])
    told = item["installed"] or "not installed"
    print(f"  {'!' if amiss else ' '} {item['name']} {told} (wanted {item['wanted']}){extra}")


def _print_gpus(gpu: dict[str, Any], compilers: dict[str, str | None]) -> None:
    print("\nGPU")
    for device in gpu["devices"]:
        print(
            f"    {device['ordinal']}: {device['name']}, compute capability "
            f"{device['compute_capability']}, {device['memory'] / 1024**3:.0f} GiB, driver "
            f"{device['driver']}"
        )
    if not gpu["devices"]:
        print(f"    none: {gpu['reason']}")
    print("\nto build PyCUDA")
    for name, path in compilers.items():
        print(f"    {name}: {path or 'not found'}")


def _print_recipe(recipe: dict[str, Any]) -> None:
    print(f"\n{recipe['name']} ({recipe['path']})" if recipe["valid"] else f"\n{recipe['path']}")
    if recipe["needs"]:
        told = (f"{name} {version or '(lacking)'}" for name, version in recipe["needs"].items())
        print(f"    needs {', '.join(told)}")
    for line in recipe["lacks"]:
        print(f"  ! lacks {line}" if recipe["valid"] else f"  ! {line}")
    if recipe["skipped_without_gpu"]:
        print(f"    without a GPU skipped: {', '.join(recipe['skipped_without_gpu'])}")
    if not recipe["lacks"]:
        print("    everything else can run")
