"""Model repositories that Triton's own definition of a configuration reads."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from tests.project import Project
from tests.release.bundles import release
from tests.release.conftest import commit
from trtbuild.cli import main
from trtbuild.errors import ExitCode, RecipeError
from trtbuild.graph.action import Task
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Triton
from trtbuild.release.gather import targets_of
from trtbuild.release.lock import Lock, LockedTask
from trtbuild.release.triton import Model, config
from trtbuild.release.verify import verify_release

DEFAULT = Triton(
    engine=True,
    onnx=False,
    instances=1,
    gpus=(),
    batching=True,
    queue_delay_us=0,
    warmup=True,
)


def image(**changes: Any) -> dict[str, Any]:
    """An input as build.json has it."""
    return {
        "name": "image",
        "dtype": "float32",
        "min": [1, 3, 64, 64],
        "opt": [8, 3, 224, 224],
        "max": [32, 3, 512, 512],
        **changes,
    }


def model(**changes: Any) -> Model:
    """A classifier for two kinds of GPU."""
    given: dict[str, Any] = {
        "name": "net_fp16",
        "platform": "tensorrt_plan",
        "inputs": [image()],
        "outputs": [{"name": "logits", "dtype": "float16", "shape": [-1, 10]}],
        "file": "model_cc86_89.plan",
        "by_capability": (("8.6", "model_cc86_89.plan"), ("8.9", "model_cc86_89.plan")),
    }
    return Model(**{**given, **changes})


def parsed(text: str) -> Any:
    """The configuration as Triton's protobuf reads it."""
    # tritonclient.grpc imports a whole client; its definition of the configuration stands alone.
    distribution = metadata.distribution("tritonclient")
    path = distribution.locate_file("tritonclient/grpc/model_config_pb2.py")
    name = "tests_triton_model_config_pb2"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, str(path))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return text_format.Parse(text, sys.modules[name].ModelConfig())


def test_triton_reads_shapes_types_batching_and_files() -> None:
    found = parsed(config(model(), DEFAULT))
    assert (found.name, found.platform, found.max_batch_size) == ("net_fp16", "tensorrt_plan", 32)
    assert list(found.input[0].dims) == [3, -1, -1]
    assert list(found.output[0].dims) == [10]
    assert (
        found.input[0]
        .DESCRIPTOR.fields_by_name["data_type"]
        .enum_type.values_by_number[found.output[0].data_type]
        .name
        == "TYPE_FP16"
    )
    assert dict(found.cc_model_filenames) == {
        "8.6": "model_cc86_89.plan",
        "8.9": "model_cc86_89.plan",
    }
    assert found.default_model_filename == "model_cc86_89.plan"
    assert list(found.dynamic_batching.preferred_batch_size) == [8]
    warm = {
        item.name: (item.batch_size, list(item.inputs["image"].dims)) for item in found.model_warmup
    }
    assert warm == {"min": (1, [3, 64, 64]), "opt": (8, [3, 224, 224])}
    assert all(item.inputs["image"].zero_data for item in found.model_warmup)


def test_triton_reads_instances_gpus_and_the_queue_delay() -> None:
    chosen = Triton(
        engine=True,
        onnx=False,
        instances=3,
        gpus=(0, 2),
        batching=True,
        queue_delay_us=2500,
        warmup=False,
    )
    found = parsed(config(model(), chosen))
    assert found.instance_group[0].count == 3
    assert list(found.instance_group[0].gpus) == [0, 2]
    assert found.dynamic_batching.max_queue_delay_microseconds == 2500
    assert not found.model_warmup


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [image(min=[2, 3, 8, 8])]},  # Triton may send a batch of 1
        {"inputs": [image(min=[8, 3, 8, 8], opt=[8, 3, 8, 8], max=[8, 3, 8, 8])]},
        {"outputs": [{"name": "sum", "dtype": "float32", "shape": [10]}]},
        {"outputs": [{"name": "sum", "dtype": "float32", "shape": []}]},
        {"inputs": [image(), image(name="other", max=[16, 3, 512, 512])]},
        {"inputs": [image(), image(name="scalar", min=[], opt=[], max=[])]},
        {"inputs": []},
    ],
)
def test_without_a_batch_dimension_all_dimensions_are_given_and_nothing_is_joined(
    changes: dict[str, Any],
) -> None:
    made = model(**changes)
    found = parsed(config(made, DEFAULT))
    assert found.max_batch_size == 0
    assert not found.HasField("dynamic_batching")
    for item, shown in zip(made.inputs, found.input, strict=True):
        assert len(shown.dims) == max(len(item["max"]), 1)
        assert shown.HasField("reshape") == (not item["max"])


def test_names_with_quotes_are_escaped() -> None:
    name = 'a"b\\c'
    found = parsed(config(model(inputs=[image(name=name)]), DEFAULT))
    assert found.input[0].name == name
    assert name in found.model_warmup[0].inputs


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool"]
)
def test_every_type_has_a_name_that_triton_knows(dtype: str) -> None:
    assert parsed(config(model(inputs=[image(dtype=dtype)]), DEFAULT)).input[0].data_type > 0


def test_a_release_holds_the_repository_and_names_its_files_where_they_are(
    locked: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (locked.folder / "tiny.yaml").read_text()
    (locked.folder / "LICENSE.model").write_text("Do what you like.\n")
    more = "{licence: MIT, notices: [LICENSE.model], triton: {engine: false, onnx: true}}"
    (locked.folder / "tiny.yaml").write_text(text.replace("{licence: CC-BY-4.0}", more))
    monkeypatch.chdir(locked.folder)
    # What is shipped beside an engine decides no action: the lock is still current.
    assert main(["lock", "--check", "tiny.yaml", "--cache", str(locked.cache)]) == ExitCode.DONE
    commit(locked)
    out = tmp_path / "out"
    assert release(locked, monkeypatch, "-o", str(out)) == ExitCode.DONE
    found = parsed((out / "triton/tiny_fp32_onnx/config.pbtxt").read_text())
    assert (found.platform, found.max_batch_size) == ("onnxruntime_onnx", 8)
    (variant,) = json.loads((out / "manifest.json").read_text())["recipes"][0]["variants"]
    assert variant["onnx"][0]["path"] == "triton/tiny_fp32_onnx/1/model.onnx"
    assert (out / variant["onnx"][0]["path"]).exists()
    assert (out / "tiny/notices/0-LICENSE.model").read_text() == "Do what you like.\n"
    assert "tiny: MIT\n  see tiny/notices/0-LICENSE.model" in (out / "LICENCES.txt").read_text()
    assert verify_release(out, None).findings == ()


@pytest.mark.parametrize(
    ("triton", "message"),
    [
        ("{}", "package.triton: Triton does not serve engines of TensorRT-RTX"),
        ("{engine: false}", "package.triton: nothing to serve"),
        ("{engine: false, onnx: true, queue_delay: soon}", "expected a duration such as 2ms"),
        ("{engine: false, onnx: true, instances: 0}", "package.triton.instances"),
    ],
)
def test_what_triton_cannot_serve_is_a_mistake_in_the_recipe(
    locked: Project, triton: str, message: str
) -> None:
    path = locked.folder / "tiny.yaml"
    path.write_text(path.read_text().replace("{licence: CC-BY-4.0}", f"{{triton: {triton}}}"))
    with pytest.raises(RecipeError) as raised:
        load_recipes([path])
    assert message in str(raised.value)


def test_engines_of_tensorrt_lie_in_the_repository_once() -> None:
    found = parsed(config(model(by_capability=(), file="model.plan"), DEFAULT))
    assert found.default_model_filename == "model.plan"
    assert not found.cc_model_filenames


@pytest.mark.parametrize(
    ("options", "toolchain", "capabilities"),
    [
        ({}, {"gpu": "NVIDIA L4", "gpu.compute_capability": "8.9"}, ["89"]),
        ({"hardware_compatibility": "ampere_plus"}, {"gpu.compute_capability": "8.9"}, []),
        (
            {"hardware_compatibility": "same_compute_capability"},
            {"gpu.compute_capability": "8.9"},
            ["89"],
        ),
        ({"compute_capabilities": ["86", "120"]}, {}, ["86", "120"]),
        ({"compute_capabilities": ["current"]}, {"gpu.compute_capability": "12.0"}, ["120"]),
        ({"compute_capabilities": []}, {}, []),
    ],
)
def test_an_engine_names_the_gpus_that_it_runs_on(
    options: dict[str, Any], toolchain: dict[str, str], capabilities: list[str]
) -> None:
    task = Task("build:fp32", "build", "fp32", options, (), "fp32", ())
    action = {"toolchain": {"tensorrt": "10.16.1.11", **toolchain}}
    lock = Lock("net", {task.id: LockedTask("0" * 64, action, (), {})})
    found = targets_of(lock, task)
    assert found["compute_capabilities"] == capabilities
    assert ("hardware_compatibility" in found) == (
        options.get("hardware_compatibility") == "ampere_plus"
    )
