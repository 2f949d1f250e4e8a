from __future__ import annotations

from trtbuild.benchmark.layers import LayerTimes, layer_table


def test_two_layers_of_one_name_are_told_apart_by_their_place() -> None:
    times = LayerTimes()
    for _ in range(2):
        for name, ms in (("conv", 2.0), ("copy", 1.0), ("copy", 3.0)):
            times.report(name, ms)
    assert [(layer.name, layer.total_ms) for layer in times.layers] == [
        ("conv", 4.0),
        ("copy", 2.0),
        ("copy", 6.0),
    ]
    assert times.count == 2


def test_the_table_has_the_slowest_layer_first_and_its_share() -> None:
    times = LayerTimes()
    for name, ms in (("fast", 1.0), ("slow", 3.0)):
        times.report(name, ms)
    table = layer_table(times, {})
    assert [(row["name"], row["percentage"]) for row in table] == [("slow", 75.0), ("fast", 25.0)]
