"""The `benchmark` of a recipe: what it becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recipe.conftest import SMALL
from trtbuild.benchmark.settings import Settings, settings_of
from trtbuild.errors import RecipeError
from trtbuild.graph.action import ArtifactRef, SourceFile
from trtbuild.graph.plan import plan
from trtbuild.recipe.benchmark_section import option_names
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Benchmark
from trtbuild.recipe.schema import schema
from trtbuild.stages import STAGES

TORCH = SMALL.replace(
    "model: {onnx: files/model.onnx}", 'model: {torch: {factory: "files/net.py:make_net"}}'
)


def loaded(section: str, text: str = SMALL) -> Any:
    path = Path("recipe.yaml")
    path.write_text(f"{text}benchmark: {section}\n")
    return load_recipes([path])[0]


def measured(section: str, text: str = SMALL) -> Benchmark:
    found = loaded(section, text).benchmark
    assert isinstance(found, Benchmark)
    return found


def problems(section: str, text: str = SMALL) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        loaded(section, text)
    return [problem.split(" ", 1)[1] for problem in caught.value.problems]


def test_the_options_are_those_of_the_stage_and_all_of_them(folder: Path) -> None:
    options = measured("{}").options
    assert settings_of(options) == Settings()
    assert options.keys() - Settings().as_options().keys() == {"points", "seed", "baselines"}


def test_every_key_arrives_at_its_option(folder: Path) -> None:
    options = measured(
        "{warmup: 1s, duration: 1.5s, sleep: 2ms, idle: 3ms, round: 50ms, rounds: 9, streams: 2,"
        " threads: true, transfers: false, overlap: false, spin_wait: false, cuda_graph: capture,"
        " allocation: runtime, persistent_cache_ratio: 1, runtime_cache: true, profile: true,"
        " kernel_specialization: lazy, time_deserialize: true, export: [layers], percentiles: [50],"
        " inputs: {seed: 7}}"
    ).options
    assert options["seed"] == 7
    assert settings_of(options) == Settings(
        warmup_ms=1000,
        duration_s=1.5,
        sleep_ms=2,
        idle_ms=3,
        round_ms=50,
        rounds=9,
        streams=2,
        threads=True,
        transfers=False,
        overlap=False,
        spin_wait=False,
        cuda_graph="capture",
        allocation="runtime",
        persistent_cache_ratio=1.0,
        runtime_cache=True,
        layer_profile=True,
        kernel_specialization="lazy",
        time_deserialize=True,
        export_layers=True,
        percentiles=(50.0,),
    )


def test_every_key_of_the_schema_says_which_options_it_decides(folder: Path) -> None:
    keys = set(schema()["$defs"]["benchmark"]["properties"]) - {"gates", "torch"}
    decided = {name for key in keys for name in option_names(key)}
    assert decided == measured("{}").options.keys()
    assert all(option_names(key) for key in keys)


def test_weight_streaming_is_bytes_a_share_or_automatic(folder: Path) -> None:
    text = SMALL + "build: {weight_streaming: true, backend: tensorrt}\n"
    for written, budget in (("1MiB", 1 << 20), ("40%", "40%"), ("auto", "auto"), ("5", 5)):
        options = measured(f"{{weight_streaming_budget: {written}}}", text).options
        assert options["weight_streaming_budget"] == budget


def test_a_sweep_becomes_points(folder: Path) -> None:
    options = measured("{shapes: [max, {sweep: {batch: [1, 2.0]}}]}").options
    assert options["points"] == [
        {"name": "max", "shapes": {"image": [16, 8]}},
        {"name": "batch=1", "shapes": {"image": [1, 8]}},
        {"name": "batch=2", "shapes": {"image": [2, 8]}},
    ]


def test_gates_are_no_part_of_the_task(folder: Path) -> None:
    plain, gated = loaded("{}"), loaded("{gates: {p99: 5ms, opt: {throughput: '>= 1/s'}}}")
    assert gated.benchmark.gates == {"p99": "5ms", "opt": {"throughput": ">= 1/s"}}
    assert plan(plain) == plan(gated)


def test_the_model_is_an_input_only_where_something_runs_it(folder: Path) -> None:
    task = plan(loaded("{}"))[-1]
    assert [item.role for item in task.inputs] == ["engine"]
    assert task.options["source"] is None
    task = plan(loaded("{baselines: [onnxruntime]}"))[-1]
    assert ArtifactRef("model", "export", "model") in task.inputs
    variant = SMALL + "precisions: [fp16]\n"
    task = plan(loaded("{baselines: [{kind: onnxruntime, graph: variant}]}", variant))[-1]
    assert ArtifactRef("variant", "quantize:fp16", "model") in task.inputs
    refit = SMALL + "build: {refit: all, backend: tensorrt}\n"
    task = plan(loaded("{time_refit: true}", refit))[-1]
    assert ArtifactRef("refit", "export", "model") in task.inputs


def test_a_pytorch_baseline_takes_the_source_and_needs_torch(folder: Path) -> None:
    task = plan(loaded("{baselines: [torch, {kind: torch_compile, dtype: float16}]}", TORCH))[-1]
    assert SourceFile("factory", "files/net.py") in task.inputs
    assert task.options["baselines"] == [
        {"kind": "torch", "dtype": None, "tf32": True},
        {"kind": "torch_compile", "dtype": "float16", "tf32": True, "mode": "default"},
    ]
    names = {requirement.distribution for requirement in STAGES["benchmark"].requires(task.options)}
    assert "torch" in names
    plain = plan(loaded("{}", TORCH))[-1]
    names = {
        requirement.distribution for requirement in STAGES["benchmark"].requires(plain.options)
    }
    assert names == {"numpy", "pycuda", "tensorrt-rtx"}


def test_a_module_of_its_own_stands_for_an_onnx_model_in_pytorch(folder: Path) -> None:
    module = "{factory: files/net.py:make_net, kwargs: {width: 4}, files: [image.npy]}"
    np.save(folder / "image.npy", np.zeros((4, 8), np.float32))
    recipe = loaded(f"{{baselines: [torch], torch: {module}}}")
    task = plan(recipe)[-1]
    source: Any = task.options["source"]
    assert (source["factory"], source["kwargs"], source["apart"]) == (
        "files/net.py:make_net", {"width": 4}, True,
    )  # fmt: skip
    assert {SourceFile("factory", "files/net.py"), SourceFile("files/image.npy", "image.npy")} <= {
        *task.inputs
    }
    assert ArtifactRef("model", "export", "model") in task.inputs  # to compare with
    export = plan(recipe)[0]
    assert export.options == plan(loaded("{}"))[0].options
    names = {requirement.distribution for requirement in STAGES["benchmark"].requires(task.options)}
    assert "torch" in names


def test_files_with_values_are_inputs_of_the_task(folder: Path) -> None:
    np.save(folder / "image.npy", np.zeros((4, 8), np.float32))
    task = plan(loaded("{inputs: {files: {image: image.npy}}}"))[-1]
    assert SourceFile("input.image", "image.npy") in task.inputs


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{shapes: biggest}", "benchmark.shapes: expected min, opt, max, a mapping"),
        ("{shapes: {picture: [4, 8]}}", "benchmark.shapes.picture: it is no input (image)"),
        ("{shapes: {image: [17, 8]}}", "benchmark.shapes: image:17x8 makes image [17, 8], built"),
        ("{shapes: {sweep: {height: [1]}}}", "benchmark.shapes.sweep.height: it is no dimension's"),
        ("{shapes: {image: [0, 8]}}", "benchmark.shapes.image[0]: expected an integer"),
        ("{warmup: 3 fortnights}", "benchmark.warmup: expected a duration such as 200ms"),
        ("{round: 0ms}", "benchmark.round: '0ms' is too short; give 1ms or more"),
        ("{weight_streaming_budget: half}", "benchmark.weight_streaming_budget: expected a size"),
        ("{weight_streaming_budget: 120%}", "benchmark.weight_streaming_budget: expected a size"),
        ("{weight_streaming_budget: 4%}", "benchmark.weight_streaming_budget: it needs build."),
        ("{time_refit: true}", "benchmark.time_refit: it needs build.refit"),
        ("{profile_index: 1}", "benchmark.profile_index: there is no optimization profile 1"),
        ("{baselines: [torch]}", "benchmark.baselines[0]: the model is an ONNX file"),
        ("{torch: {factory: files/net.py:make_net}}", "benchmark.torch: no baseline runs it"),
        (
            "{baselines: [torch], torch: {factory: files/net.py:Not}}",
            "benchmark.torch.factory: files/net.py does not define 'Not'",
        ),
        (
            "{baselines: [torch], torch: {factory: files/net.py:make_net, opset: 20}}",
            "benchmark.torch.opset: this module is not exported",
        ),
        ("{baselines: [jax]}", "benchmark.baselines[0]: expected torch, torch_compile"),
        (
            "{baselines: [{kind: onnxruntime, dtype: float16}]}",
            "benchmark.baselines[0].dtype: onnxruntime has no such option; it has provider",
        ),
        ("{inputs: {files: {picture: files/net.py}}}", "benchmark.inputs.files.picture: 'picture'"),
        ("{inputs: {files: {image: none.npy}}}", "benchmark.inputs.files.image: "),
        (
            "{shapes: [min, max], inputs: {files: {image: files/net.py}}}",
            "benchmark.inputs.files.image: a file holds values of one shape, here are [1, 8] and",
        ),
        ("{gates: {p99: fast}}", "benchmark.gates.p99: 'fast' is no limit; write it as"),
        ("{gates: {speed: 5ms}}", "benchmark.gates.speed: it is no metric; there are throughput"),
        (
            "{gates: {p99.9: 5ms}}",
            "benchmark.gates.p99.9: benchmark.percentiles does not have 99.9",
        ),
        ("{gates: {regression: '>= 5%'}}", "benchmark.gates.regression: '>= 5%' is a lower limit"),
        ("{gates: {max: {p99: 1ms}}}", "benchmark.gates.max: 'max' is no point that is measured"),
        ("{gates: {opt: {p99: 1}}}", "benchmark.gates.opt.p99: expected a limit such as 5ms"),
        ("{cuda_graph: always}", "benchmark.cuda_graph: expected false, true, capture or runtime"),
        ("{wait: spin}", "benchmark: unknown key 'wait'"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_its_key(
    folder: Path, section: str, expected: str
) -> None:
    (problem,) = problems(section)
    assert problem.startswith(expected)


def test_what_only_tensorrt_rtx_has_is_refused_for_tensorrt(folder: Path) -> None:
    text = SMALL + "build: {backend: tensorrt}\n"
    section = "{runtime_cache: true, cuda_graph: runtime, kernel_specialization: lazy}"
    found = problems(section, text)
    assert len(found) == 3
    assert all("only TensorRT-RTX has" in problem for problem in found)
