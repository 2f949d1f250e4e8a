"""Calibration tables, as JSON and in TensorRT's format."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from trtbuild.errors import StageError
from trtbuild.precision.table import Table, read_cache, read_table, write_cache, write_table

TABLE = Table("entropy", 256, "npz", {"input": 1.0, "/layer:0/Conv_output_0": 0.0123, "b c": 127.0})


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "calibration.json")
    assert read_table(tmp_path / "calibration.json") == TABLE


def test_a_cache_holds_scales_as_tensorrt_writes_them(tmp_path: Path) -> None:
    write_cache(TABLE, tmp_path / "calibration.cache")
    lines = (tmp_path / "calibration.cache").read_text().splitlines()
    assert lines[0] == "TRT-100300-EntropyCalibration2"
    assert lines[1] == "input: 3c010204"  # 1 / 127 as a big-endian float32
    assert lines[3] == f"b c: {struct.pack('>f', 1.0).hex()}"


def test_a_cache_is_read_back_to_the_precision_of_its_numbers(tmp_path: Path) -> None:
    write_cache(TABLE, tmp_path / "calibration.cache")
    found = read_cache(tmp_path / "calibration.cache").amax
    assert found == pytest.approx(dict(TABLE.amax), rel=1e-6)
    assert list(found) == list(TABLE.amax)


def test_a_cache_of_trtexec_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.cache"
    path.write_text(
        "TRT-8601-EntropyCalibration2\n"
        "data: 3c008912\n(Unnamed Layer* 3) [Shuffle]_output: 3d2ad0e9\n"
    )
    assert read_cache(path).title == "TRT-8601-EntropyCalibration2"
    assert read_cache(path).amax["data"] == pytest.approx(127 * 0.00784516, rel=1e-4)


@pytest.mark.parametrize(
    ("content", "what", "place"),
    [
        ("", "no calibration cache", "old.cache"),
        ("hello\n", "no calibration cache", "old.cache"),
        ("TRT-8601-EntropyCalibration2\ndata 3c008912\n", "is no `tensor: scale`", "old.cache:2"),
        ("TRT-8601-EntropyCalibration2\na: 3c008912\nb: xyz\n", "'b: xyz'", "old.cache:3"),
        ("TRT-8601-EntropyCalibration2\na: 7fc00000\n", "has the scale nan", "old.cache:2"),
        ("TRT-8601-EntropyCalibration2\na: 7f7fffff\n", "has the scale 3.4", "old.cache:2"),
        (
            "TRT-8601-EntropyCalibration2\na: 3c000000\nb: 3c000000\na: 3d000000\n",
            "'a' is given twice",
            "old.cache:4",
        ),
    ],
)
def test_what_is_no_cache_is_refused_with_the_line(
    tmp_path: Path, content: str, what: str, place: str
) -> None:
    path = tmp_path / "old.cache"
    path.write_text(content)
    with pytest.raises(StageError) as caught:
        read_cache(path)
    assert what in caught.value.what
    assert caught.value.where.endswith(place)


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"format": 1}')
    with pytest.raises(StageError, match="calibration table cannot be read"):
        read_table(tmp_path / "calibration.json")
