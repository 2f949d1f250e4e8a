"""A model repository for Triton Inference Server: config.pbtxt and where the files have to lie.

The form: triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtbuild.recipe.model import Triton
from trtbuild.release.archive import Entry
from trtbuild.release.gather import Gathered, model_files
from trtbuild.store.digest import digest_of_bytes

TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "bfloat16": "TYPE_BF16",
    "int64": "TYPE_INT64",
    "int32": "TYPE_INT32",
    "int8": "TYPE_INT8",
    "uint8": "TYPE_UINT8",
    "bool": "TYPE_BOOL",
}

VERSION = "1"
"""The model version's folder: a bundle holds one version of each."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a repository: its variant's tensors, as build.json has them, and its files.

    `by_capability` maps compute capabilities, as "8.6", to file names.
    """

    name: str
    platform: str
    inputs: Sequence[dict[str, Any]]
    outputs: Sequence[dict[str, Any]]
    file: str
    by_capability: tuple[tuple[str, str], ...] = ()


def add_triton(found: Gathered) -> None:
    """Move a recipe's engines into a model repository, and add the rest of it.

    The manifest names the files where they are then, so that none is there twice.
    """
    triton = found.rebuilder.recipe.package.triton
    if triton is None:
        return
    for variant in found.variants:
        if triton.engine:
            _add_engine(found, triton, variant)
        if triton.onnx:
            _add_onnx(found, triton, variant)


def _add_engine(found: Gathered, triton: Triton, variant: dict[str, Any]) -> None:
    capabilities = [_dotted(item) for item in variant["targets"]["compute_capabilities"]]
    suffix = "_".join(item.replace(".", "") for item in capabilities)
    file = f"model_cc{suffix}.plan" if capabilities else "model.plan"
    model = Model(
        name=f"{found.name}_{variant['name']}",
        platform="tensorrt_plan",
        inputs=variant["inputs"],
        outputs=variant["outputs"],
        file=file,
        by_capability=tuple((item, file) for item in capabilities),
    )
    path = f"triton/{model.name}/{VERSION}/{file}"
    _move(found, variant["engine"]["path"], path)
    variant["engine"]["path"] = path
    variant["triton"] = [*variant.get("triton", []), _add_config(found, triton, model)]


def _add_onnx(found: Gathered, triton: Triton, variant: dict[str, Any]) -> None:
    model = Model(
        name=f"{found.name}_{variant['name']}_onnx",
        platform="onnxruntime_onnx",
        inputs=variant["inputs"],
        outputs=variant["outputs"],
        file="model.onnx",
    )
    folder = f"triton/{model.name}/{VERSION}"
    if "onnx" in variant:
        for item in variant["onnx"]:
            path = f"{folder}/{Path(item['path']).name}"
            _move(found, item["path"], path)
            item["path"] = path
    else:
        build = found.rebuilder.tasks[f"build:{variant['name']}"]
        variant["onnx"] = [
            found.add(f"{folder}/{name}", "onnx", path, digest)
            for name, path, digest in model_files(found, build)
        ]
    variant["triton"] = [*variant.get("triton", []), _add_config(found, triton, model)]


def _move(found: Gathered, old: str, new: str) -> None:
    found.entries[:] = [
        replace(entry, path=new) if entry.path == old else entry for entry in found.entries
    ]


def _add_config(found: Gathered, triton: Triton, model: Model) -> dict[str, Any]:
    text = config(model, triton).encode()
    path = f"triton/{model.name}/config.pbtxt"
    found.entries.append(Entry(path, "triton", text, digest_of_bytes(text)))
    return {"name": model.name, "platform": model.platform, "config": path}


def config(model: Model, triton: Triton) -> str:
    """The model configuration, as protobuf text."""
    batched = _batch(model)
    lines = [
        f'name: "{_escaped(model.name)}"',
        f'platform: "{model.platform}"',
        f"max_batch_size: {batched}",
        f'default_model_filename: "{_escaped(model.file)}"',
    ]
    for capability, file in model.by_capability:
        lines.append(f'cc_model_filenames {{ key: "{capability}" value: "{_escaped(file)}" }}')
    for item in model.inputs:
        lines += _tensor("input", item, _dims(item), batched > 0)
    for item in model.outputs:
        lines += _tensor("output", item, item["shape"], batched > 0)
    lines += _instances(triton)
    if triton.batching and batched:
        preferred = model.inputs[0]["opt"][0]
        lines.append(
            f"dynamic_batching {{ preferred_batch_size: [ {preferred} ] "
            f"max_queue_delay_microseconds: {triton.queue_delay_us} }}"
        )
    if triton.warmup:
        lines += _warmups(model, batched)
    return "\n".join(lines) + "\n"


def _batch(model: Model) -> int:
    """The largest batch that Triton may make, or 0 where the first dimension is not a batch.

    Triton takes the first dimension of every tensor for the batch, of any size from 1.
    """
    if not model.inputs or not all(_may_batch(item) for item in model.inputs):
        return 0
    if not all(item["shape"] and item["shape"][0] == -1 for item in model.outputs):
        return 0
    sizes = {(item["min"][0], item["opt"][0], item["max"][0]) for item in model.inputs}
    return int(next(iter(sizes))[2]) if len(sizes) == 1 else 0


def _may_batch(item: dict[str, Any]) -> bool:
    return bool(item["max"]) and item["min"][0] == 1 and item["max"][0] > 1 and "values" not in item


def _dims(item: dict[str, Any]) -> list[int]:
    return [low if low == high else -1 for low, high in zip(item["min"], item["max"], strict=True)]


def _tensor(kind: str, item: dict[str, Any], dims: Sequence[int], batched: bool) -> list[str]:
    shown = list(dims[1:]) if batched else list(dims)
    # Triton wants at least one dimension; a tensor with none is reshaped from and to one.
    reshape = [] if shown else ["  reshape { shape: [ ] }"]
    shape = [] if kind == "output" or "values" not in item else ["  is_shape_tensor: true"]
    return [
        f"{kind} {{",
        f'  name: "{_escaped(item["name"])}"',
        f"  data_type: {TYPES[item['dtype']]}",
        f"  dims: [ {', '.join(map(str, shown or [1]))} ]",
        *reshape,
        *shape,
        "}",
    ]


def _instances(triton: Triton) -> list[str]:
    gpus = f" gpus: [ {', '.join(map(str, triton.gpus))} ]" if triton.gpus else ""
    return [f"instance_group {{ count: {triton.instances} kind: KIND_GPU{gpus} }}"]


def _warmups(model: Model, batched: int) -> Iterator[str]:
    shapes = {tuple(tuple(item[name]) for item in model.inputs): name for name in ("opt", "min")}
    for name in sorted(shapes.values(), key=("min", "opt").index):
        size = model.inputs[0][name][0] if batched else 0
        yield "model_warmup {"
        yield f'  name: "{name}"'
        if batched:
            yield f"  batch_size: {size}"
        for item in model.inputs:
            dims = item[name][1:] if batched else item[name]
            yield from _warmup_input(item, dims)
        yield "}"


def _warmup_input(item: dict[str, Any], dims: Iterable[int]) -> Iterator[str]:
    yield "  inputs {"
    yield f'    key: "{_escaped(item["name"])}"'
    shown = ", ".join(map(str, dims)) or "1"
    yield f"    value {{ data_type: {TYPES[item['dtype']]} dims: [ {shown} ] zero_data: true }}"
    yield "  }"


def _dotted(capability: str) -> str:
    """`8.6` for "86", `12.0` for "120"."""
    return capability if "." in capability else f"{capability[:-1]}.{capability[-1]}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
