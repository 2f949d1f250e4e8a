from __future__ import annotations

from typing import Any

import pytest

from tests.benchmark.documents import point, result
from trtbuild.benchmark.compare import Side, compare
from trtbuild.benchmark.settings import Settings


def layer(name: str, ms: float, tactic: str = "t") -> dict[str, Any]:
    return {
        "name": name, "average_ms": ms, "median_ms": ms, "percentage": 1.0, "kind": "Conv",
        "tactic": tactic, "onnx": [], "types": ["Half"],
    }  # fmt: skip


def compared(first: Side, second: Side) -> dict[str, Any]:
    return dict(compare(first, second))


def test_sizes_and_times_are_compared_with_their_ratio() -> None:
    found = compared(
        Side("a", engine_size=100, benchmark=result(point(compute=1.0))),
        Side("b", engine_size=50, benchmark=result(point(compute=2.0))),
    )
    assert found["size"] == {"first": 100, "second": 50, "difference": -50, "ratio": 0.5}
    (only,) = found["points"]
    gpu = only["metrics"]["gpu_compute"]
    assert gpu["median"]["ratio"] == 2.0
    assert set(gpu) == {"min", "median", "mean", "max", "p90", "p95", "p99"}
    assert found["caveats"] == []


def test_points_are_matched_by_their_shapes_and_not_by_their_names() -> None:
    first = result(point("opt", batch=8), point("other", batch=2))
    second = result(point("batch=8", batch=8))
    found = compared(Side("a", benchmark=first), Side("b", benchmark=second))
    assert [each["shapes"] for each in found["points"]] == [{"x": [8, 4]}]


def test_why_times_cannot_be_compared_is_said() -> None:
    other = result(settings=Settings(transfers=False).as_options())
    other["device"] = other["device"] | {"name": "NVIDIA Other"}
    found = compared(Side("a", benchmark=result()), Side("b", benchmark=other))
    assert found["caveats"] == [
        "measured with another GPU: NVIDIA Test and NVIDIA Other",
        "measured with other settings: transfers is true and false",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kernel_specialization": "none"}, "kernel_specialization is eager and none"),
        ({"weight_streaming_budget": "40%"}, "weight_streaming_budget is not set and 40%"),
        ({"optimization_profile": 1}, "optimization_profile is 0 and 1"),
        ({"threads": True}, "threads is false and true"),
        ({"sleep_ms": 1.0}, "sleep_ms is 0.0 and 1.0"),
        ({"idle_ms": 50.0}, "idle_ms is 0.0 and 50.0"),
        ({"allocation": "runtime"}, "allocation is static and runtime"),
        ({"persistent_cache_ratio": 0.5}, "persistent_cache_ratio is 0.0 and 0.5"),
    ],
)
def test_each_setting_that_times_depend_on_is_named(changed: dict[str, Any], said: str) -> None:
    other = result(settings=Settings(**changed).as_options())
    found = compared(Side("a", benchmark=result()), Side("b", benchmark=other))
    assert found["caveats"] == [f"measured with other settings: {said}"]


def test_what_decides_how_long_is_measured_is_no_caveat() -> None:
    settings = Settings(warmup_ms=1.0, duration_s=9.0, iterations=99, export_times=True)
    other = result(settings=settings.as_options())
    assert compared(Side("a", benchmark=result()), Side("b", benchmark=other))["caveats"] == []


def test_a_cuda_graph_that_only_one_point_had_is_named() -> None:
    # Both wanted one: at batch 2 it could not be captured for the second.
    wanted = Settings(cuda_graph=True).as_options()
    first, second = (
        result(
            point("opt", batch=8) | {"cuda_graph": "capture"},
            point("min", batch=2) | {"cuda_graph": graph},
            settings=wanted,
        )
        for graph in ("capture", "none")
    )
    found = compared(Side("a", benchmark=first), Side("b", benchmark=second))
    assert found["caveats"] == ["launched in another way at min: cuda_graph is capture and none"]


def test_layers_are_compared_at_shapes_that_both_have() -> None:
    small = point("min", batch=1) | {"layers": [layer("conv", 1.0)]}
    large = point("max", batch=64) | {"layers": [layer("conv", 64.0)]}
    other = point("batch=64", batch=64) | {"layers": [layer("conv", 32.0)]}
    first, second = Side("a", benchmark=result(small, large)), Side("b", benchmark=result(other))
    found = compared(first, second)
    assert found["layers"]["point"] == "max"
    assert found["layers"]["shapes"] == {"x": [64, 4]}
    assert found["layers"]["common"][0]["average_ms"]["ratio"] == 0.5
    assert found["caveats"] == []


def test_layers_at_no_common_shapes_are_not_compared_and_that_is_said() -> None:
    first = result(point(batch=1) | {"layers": [layer("conv", 1.0)]})
    second = result(point(batch=64) | {"layers": [layer("conv", 64.0)]})
    found = compared(Side("a", benchmark=first), Side("b", benchmark=second))
    assert found["layers"] is None
    assert found["caveats"] == [
        "layers are not compared: they were measured at no shapes that both have"
    ]


def test_layers_of_one_name_are_compared_as_the_time_of_all_of_them() -> None:
    before = result(point() | {"layers": [layer("copy", 3.0), layer("copy", 1.0)]})
    after = result(point() | {"layers": [layer("copy", 2.0)]})
    (once,) = compared(Side("a", benchmark=before), Side("b", benchmark=after))["layers"]["common"]
    assert once["changed"] == ["count"]
    assert (once["average_ms"]["first"], once["average_ms"]["second"]) == (4.0, 2.0)


def test_layers_that_are_gone_new_and_changed_are_named() -> None:
    before = result(point() | {"layers": [layer("a", 1.0), layer("b", 2.0), layer("c", 3.0)]})
    after = result(point() | {"layers": [layer("b", 5.0, "u"), layer("c", 3.5), layer("d", 1.0)]})
    found = compared(Side("x", benchmark=before), Side("y", benchmark=after))["layers"]
    assert (found["gone"], found["new"]) == (["a"], ["d"])
    assert [(each["name"], each["changed"]) for each in found["common"]] == [
        ("b", ["tactic"]),
        ("c", []),
    ]


def test_precision_is_compared_by_share() -> None:
    first = Side("a", build={"tensor_types": {"float32": 4}})
    second = Side("b", build={"tensor_types": {"float32": 1, "float16": 3}})
    found = compared(first, second)["precision"]
    assert found["float16"]["first"] == 0.0
    assert found["float16"]["second"] == 75.0


def verified(off: float, *steps: str, accuracy: float = 0.98, **more: Any) -> dict[str, Any]:
    """A verify.json: the export is exact, and the last of its steps off by so much."""
    last = {"name": "y", "metrics": {"max_abs": off, "snr_db": None}}
    exact = {"name": "y", "metrics": {"max_abs": 0.0}}
    found = [{"step": name, "cases": 6, "outputs": [exact]} for name in ("export", *steps)]
    found[-1]["outputs"] = [last]
    found.append({"step": "later", "cases": 0, "outputs": []})  # was not run
    return {"metrics": {"accuracy": {"value": accuracy, "min": 0.9}, **more}, "steps": found}


def test_accuracy_is_that_of_the_last_step_of_each() -> None:
    first = Side("a", verify=verified(0.0))
    second = Side("b", verify=verified(0.5, "quantize", accuracy=0.97, more={"value": 1}))
    found = compared(first, second)
    assert list(found["accuracy"]) == ["accuracy", "y max_abs"]
    assert found["accuracy"]["accuracy"]["second"] == 0.97
    assert found["accuracy"]["y max_abs"]["difference"] == 0.5
    assert found["caveats"] == []


def test_the_accuracy_of_an_engine_and_of_a_graph_is_told_apart() -> None:
    sides = Side("a", verify=verified(0.1, "quantize")), Side("b", verify=verified(0.1, "engine"))
    (caveat,) = compared(*sides)["caveats"]
    assert caveat == "the accuracy is that of quantize and of engine: only one engine was run"


def test_parts_that_a_side_lacks_are_null() -> None:
    found = compared(Side("a", engine_size=1), Side("b"))
    for part in ("size", "points", "layers", "precision", "accuracy"):
        assert found[part] is None
