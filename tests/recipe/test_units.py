"""Sizes and durations become exact numbers."""

from __future__ import annotations

import pytest

from trtbuild.recipe.units import bytes_of, milliseconds_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1),
        ("1KiB", 1024),
        ("512 MiB", 512 * 1024**2),
        ("1GiB", 1024**3),
        ("1.5GiB", 3 * 512 * 1024**2),
        ("2TiB", 2 * 1024**4),
        ("1kB", 1000),
        ("1MB", 1000**2),
        ("0.5 GB", 5 * 1000**3 // 10),
        (" 1GiB ", 1024**3),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "1", "GiB", "1G", "1gib", "-1GiB", "0GiB", "0.1B", "1e3MiB", "1 GiB 1", "\u0661GiB"],
)
def test_what_is_no_size_is_none(text: str) -> None:
    assert bytes_of(text) is None


@pytest.mark.parametrize(
    ("text", "duration"),
    [("200ms", 200), ("3s", 3000), ("1m", 60_000), ("0.2 s", 200), ("1.5m", 90_000), ("0s", 0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: float) -> None:
    assert milliseconds_of(text) == duration


@pytest.mark.parametrize("text", ["", "200", "ms", "3 seconds", "-1s", "1h", "1e3ms", "1 m s"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert milliseconds_of(text) is None


def test_the_same_duration_gives_the_same_number_in_every_unit() -> None:
    assert milliseconds_of("0.3s") == milliseconds_of("300ms") == milliseconds_of("0.005m")
