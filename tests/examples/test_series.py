"""Reading series: numbers, dates, parts of files, what is missing, and messages that name the line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.series import SeriesTable, joined, read_series, split_part


def written(folder: Path, text: str, name: str = "series.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


LOADS = "date,load,wind\n2020-01-01 00:00,1.5,2\n2020-01-01 01:00,2.5,3\n2020-01-01 02:00,3.5,4\n"


def test_columns_of_numbers_and_the_dates_are_read(tmp_path: Path):
    table = read_series(written(tmp_path, LOADS))
    assert np.asarray(table.column("load")).tolist() == [1.5, 2.5, 3.5]
    assert np.asarray(table.column("wind")).tolist() == [2, 3, 4]
    assert str(table.column("date")[2]) == "2020-01-01T02:00:00"
    assert all(table.column("judged"))
    assert table.where(1).endswith("series.csv:3")


@pytest.mark.parametrize(
    "text", ["a;b\n1;2\n3;4\n", "a\tb\n1\t2\n3\t4\n", '"a","b"\n"1",2\n\n"3",4\n', "\ufeffa,b\n1,2\n3,4"]
)
def test_separators_quotes_blank_lines_and_a_byte_order_mark_are_understood(tmp_path: Path, text: str):
    table = read_series(written(tmp_path, text))
    assert np.asarray(table.column("a")).tolist() == [1, 3]
    assert np.asarray(table.column("b")).tolist() == [2, 4]
    assert "date" not in table.columns


def test_a_file_of_numbers_alone_has_numbered_columns(tmp_path: Path):
    table = read_series(written(tmp_path, "1,2\n3,4\n"))
    assert np.asarray(table.column("column2")).tolist() == [2, 4]
    assert table.where(0).endswith(":1")


def test_dates_may_be_spread_over_columns(tmp_path: Path):
    text = "year,month,day,hour,x\n2010,1,31,23,5\n2010,2,1,0,6\n"
    table = read_series(written(tmp_path, text), date=["year", "month", "day", "hour"])
    assert [str(date) for date in table.column("date")] == ["2010-01-31T23:00:00", "2010-02-01T00:00:00"]
    assert "year" not in table.columns


def test_a_part_keeps_what_lies_before_it_to_look_back_on(tmp_path: Path):
    path = written(tmp_path, LOADS)
    for part in ("[1:2]", "[-2:-1]"):
        table = read_series(path + part)
        assert np.asarray(table.column("load")).tolist() == [1.5, 2.5]
        assert np.asarray(table.column("judged")).tolist() == [False, True]
    days = written(tmp_path, "d,x\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n", "days.csv")
    assert np.asarray(read_series(days + "[2020-01-02:]").column("judged")).tolist() == [False, True, True]
    assert len(read_series(days + "[:2020-01-03]")) == 2
    for part in ("[3:]", "[2:2]", "[2:1]", "[0:9]", "[x:]", "[5]", "[-9:]"):
        with pytest.raises(DataError, match="days.csv"):
            read_series(days + part)


def test_a_file_whose_name_ends_in_brackets_is_a_file(tmp_path: Path):
    path = written(tmp_path, "1\n2\n", "a[1].csv")
    assert split_part(path) == (Path(path), None)
    odd = written(tmp_path, "1\n2\n", "b[0:1]")
    assert split_part(odd) == (Path(odd), None)
    assert split_part("c[0:1]") == (Path("c"), "0:1")


@pytest.mark.parametrize("absent", ["", "NA", "nan", "?", "null"])
def test_a_missing_value_is_an_error_with_its_line_or_interpolated_and_said(tmp_path: Path, absent: str):
    path = written(tmp_path, f"x,y\n1,0\n{absent},0\n4,0\n5,0\n{absent},0\n")
    with pytest.raises(DataError, match=r"series.csv: column 'x': 2 of 5 values are missing, the first in line 3"):
        read_series(path)
    with pytest.warns(UserWarning, match="2 of 5 values are missing, the first in line 3; they are interpolated"):
        table = read_series(path, missing="interpolate")
    assert np.asarray(table.column("x")).tolist() == [1, 2.5, 4, 5, 5]
    with pytest.raises(DataError, match="nothing to interpolate"):
        read_series(written(tmp_path, "x,y\nNA,1\nNA,2\n"), missing="interpolate")


def test_an_end_may_be_open_where_it_is_to_be_forecast(tmp_path: Path):
    path = written(tmp_path, "x,known\n1,7\n2,8\n,9\n,10\n")
    table = read_series(path, open_end=["x"])
    np.testing.assert_equal(np.asarray(table.column("x")), [1, 2, np.nan, np.nan])
    with pytest.raises(DataError, match="line 3"):
        read_series(written(tmp_path, "x,known\n1,7\n,8\n3,9\n,10\n"), open_end=["x"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3\n", r"series.csv:3: 1 values, but there are 2 columns"),
        ("a,b\n1,2\n3,4,5\n", r"series.csv:3: 3 values"),
        ("a,b\n1,2\n3,x\n", r"series.csv:3: column 'b' holds 'x'"),
        ("a,b\n1,2\ninf,4\n", r"series.csv:3: column 'a' holds 'inf'"),
        ("a,a\n1,2\n", r"series.csv:1: the column 'a' is there twice"),
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a\nx\n", "no column holds numbers"),
        ("date,x\n2020-01-02,1\n2020-01-01,2\n", r"series.csv:3: 2020-01-01T00:00:00 comes after"),
        ("date,x\n2020-01-01,1\n2020-01-01,2\n", r"series.csv:3"),
        ("date,x\n2020-01-01,1\nsoon,2\n", r"series.csv:3: 'soon' is no date"),
        ("judged,x\n1,1\n2,2\n", "'judged'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*left out what holds no numbers")
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str):
    with pytest.raises(DataError, match=said):
        read_series(written(tmp_path, text))


def test_columns_that_hold_no_numbers_are_left_out_and_named(tmp_path: Path):
    with pytest.warns(UserWarning, match="left out what holds no numbers: 'side'"):
        table = read_series(written(tmp_path, "x,side\n1,NW\n2,SE\n"))
    assert "side" not in table.columns
    path = written(tmp_path, "load,b\n1,2\n2,3\n")
    assert set(read_series(path, columns=["b"]).columns) == {"b", "judged", "file"}
    with pytest.raises(DataError, match="did you mean 'load'"):
        read_series(path, columns=["laod"])


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere.csv"):
        read_series(str(tmp_path / "nowhere.csv"))
    with pytest.raises(DataError, match="nowhere.npz"):
        read_series(str(tmp_path / "nowhere.npz"))


def test_npz_arrays_are_columns_and_pickles_are_refused(tmp_path: Path):
    path = tmp_path / "series.npz"
    np.savez(path, load=np.array([1.0, 2.0]), x=np.array([[1, 2], [3, 4]]))
    table = read_series(str(path))
    assert np.asarray(table.column("x_1")).tolist() == [2, 4]
    assert table.where(1).endswith("series.npz:2")
    when = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")
    np.savez(path, when=when, load=np.array([1.0, 2.0]))
    assert str(read_series(str(path)).column("date")[1]) == "2020-01-02T00:00:00"
    np.savez(path, a=np.array([1.0, 2.0]), b=np.array([1.0]))
    with pytest.raises(DataError, match="lengths"):
        read_series(str(path))
    np.savez(path, a=np.array([{}, []], dtype=object))
    with pytest.raises(DataError, match="without pickle"):
        read_series(str(path))
    np.savez(path, a=np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match=r"\(2, 2, 2\)"):
        read_series(str(path))


def test_a_table_of_steps_is_split_by_time_and_the_later_part_looks_back(tmp_path: Path):
    path = written(tmp_path, "x\n" + "\n".join(map(str, range(10))) + "\n")
    table = joined([read_series(path), read_series(written(tmp_path, "x\n5\n6\n7\n", "other.csv"))])
    assert isinstance(table, SeriesTable)
    earlier, later = table.split(0.2, seed=3)
    assert np.asarray(earlier.column("x")).tolist() == [*range(8), 5, 6]
    assert np.asarray(earlier.column("judged")).all()
    assert np.asarray(later.column("x"))[np.asarray(later.column("judged"))].tolist() == [8, 9, 7]
    assert len(later) == 13
    again, _ = earlier.split(0.5, seed=0)
    assert np.asarray(again.column("x")).tolist() == [0, 1, 2, 3, 5]
    with pytest.raises(DataError, match="other.csv"):
        joined([read_series(path), read_series(written(tmp_path, "y\n5\n6\n", "other.csv"))])
    with pytest.raises(DataError, match="too few"):
        read_series(written(tmp_path, "x\n5\n")).split(0.5, seed=0)


# --- real data --------------------------------------------------------------------------------------------------------


def test_the_classic_series_are_read(data: Path):
    lengths = {"airline-passengers": 144, "monthly-sunspots": 2820, "daily-min-temperatures": 3650}
    for name, length in lengths.items():
        assert len(read_series(str(data / "classic_series" / f"{name}.csv"))) == length
    table = read_series(str(data / "ett" / "ETTh1.csv") + "[8640:11520]")
    assert (len(table), np.asarray(table.column("judged")).sum()) == (11520, 2880)
    assert np.asarray(table.column("OT"))[0] == 30.5310001373291


def test_the_gaps_of_the_pollution_series_are_counted(data: Path):
    path = str(data / "classic_series" / "pollution.csv")
    with pytest.warns(UserWarning, match="2,067 of 43,824 values are missing, the first in line 2"):
        read_series(path, columns=["pm2.5", "TEMP"], date=["year", "month", "day", "hour"], missing="interpolate")
