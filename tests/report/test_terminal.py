"""What a person reads."""

from __future__ import annotations

import pytest

from trtbuild.report.terminal import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (581_000, "567 KiB"),
        (1023 << 10, "0.999 MiB"),
        (1 << 20, "1 MiB"),
        (4_665_000, "4.45 MiB"),
        (2_304_000_000, "2.15 GiB"),
        (5 << 40, "5120 GiB"),
    ],
)
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text
