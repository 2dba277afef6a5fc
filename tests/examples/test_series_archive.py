"""The `.ts` form of the UEA and UCR archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.series_archive import has_targets, read_ts, write_ts
from ifog.examples.tables import Table

HEADER = "#a remark\n@problemName Made\n@timeStamps false\n@classLabel true up down\n@data\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "made.ts"
    path.write_text(text)
    return path


def test_series_of_different_lengths_and_their_classes_are_read(tmp_path: Path):
    table = read_ts(written(tmp_path, HEADER + "1,2,3:4,5,6:up\n\n7:8:down\n"))
    first, second = table.column("series")
    np.testing.assert_equal(first, np.array([[1, 4], [2, 5], [3, 6]], np.float32))
    np.testing.assert_equal(second, np.array([[7, 8]], np.float32))
    assert list(table.column("label")) == ["up", "down"]
    assert table.where(1).endswith("made.ts:8")


def test_a_file_without_classes_has_no_label(tmp_path: Path):
    table = read_ts(written(tmp_path, "@classLabel false\n@data\n1,2\n3,4\n"))
    assert list(table.columns) == ["series"]
    assert [series.shape for series in table.column("series")] == [(2, 1), (2, 1)]


def test_a_file_may_have_a_number_with_each_series(tmp_path: Path):
    path = written(tmp_path, "@problemName Made\n@targetLabel true\n@data\n1,2:3,4:0.5\n7:8:-2e1\n")
    assert has_targets(path)
    table = read_ts(path)
    assert not has_targets(written(tmp_path, HEADER))
    np.testing.assert_equal(table.column("series")[0], np.array([[1, 3], [2, 4]], np.float32))
    assert list(table.column("label")) == ["0.5", "-2e1"]


@pytest.mark.parametrize("labels", [[0.25, -3.5], ["up", "down"]])
def test_what_is_written_is_read_again(tmp_path: Path, labels: list[Any]):
    series = [np.array([[0.1, 2], [-3e-7, 4]], np.float32), np.array([[5, 6]], np.float32)]
    write_ts(Table({"series": series, "label": labels}, [("made", 1), ("made", 2)]), tmp_path / "a.ts")
    table = read_ts(tmp_path / "a.ts")
    for given, found in zip(series, table.column("series"), strict=True):
        np.testing.assert_equal(found, given)
    assert [float(x) if has_targets(tmp_path / "a.ts") else x for x in table.column("label")] == labels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "1,2:3:up\n", r"made.ts:6: the dimensions have \[2, 1\] values"),
        (HEADER + "1:2:up\n1:up\n", r"made.ts:7: 1 dimensions, the first series has 2"),
        (HEADER + "1:2:left\n", r"made.ts:6: the class 'left'"),
        (HEADER + "1:x:up\n", r"made.ts:6: dimension 2"),
        (HEADER + "inf:1:up\n", r"made.ts:6: dimension 1: a value is infinite"),
        (HEADER + "1,?,3:up\n", r"made.ts:6: dimension 1: 1 of 3 values are missing, the first in line 6"),
        (HEADER, "no series after @data"),
        ("", "no line @data"),
        ("1,2:up\n", "made.ts:1: .* stands before @data"),
        ("@timeStamps true\n@data\n1:2\n", "times beside"),
        ("@equalLength true\n@data\n1,2\n3\n", "made.ts:4: 1 steps"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str):
    with pytest.raises(DataError, match=said):
        read_ts(written(tmp_path, text))


def test_missing_values_are_interpolated_where_asked_for(tmp_path: Path):
    with pytest.warns(UserWarning, match="interpolated"):
        table = read_ts(written(tmp_path, HEADER + "1,?,3:up\n"), missing="interpolate")
    assert table.column("series")[0].ravel().tolist() == [1, 2, 3]


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere.ts"):
        read_ts(tmp_path / "nowhere.ts")


def test_the_archives_small_sets_are_read(data: Path):
    sizes = {"JapaneseVowels": (270, 370, 12), "BasicMotions": (40, 40, 6), "GunPoint": (50, 150, 1)}
    for name, (train, test, dimensions) in sizes.items():
        for part, count in (("TRAIN", train), ("TEST", test)):
            table = read_ts(data / "uea_ucr" / f"{name}_{part}.ts")
            assert len(table) == count
            assert {series.shape[1] for series in table.column("series")} == {dimensions}
