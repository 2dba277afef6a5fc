"""Files of labelled examples, as people have them, and the ways they go wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ifog.errors import ConfigError, DataError
from ifog.examples import Table
from ifog.examples.labelled import first_names, read_labelled, read_rows, write_rows


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    content = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_a_csv_with_quotes_line_ends_and_a_mark_at_its_start(tmp_path: Path) -> None:
    path = written(tmp_path, "r.csv.gz", '\ufefftext,label\n"so, ""good""\nit is",1\nbad,0\n')
    table = read_rows(path)
    assert table.columns == {"text": ['so, "good"\nit is', "bad"], "label": ["1", "0"]}
    assert [table.where(i).rpartition(":")[2] for i in range(2)] == ["2", "4"]
    assert first_names(path) == ["text", "label"]


def test_a_table_without_names_numbers_its_columns(tmp_path: Path) -> None:
    table = read_rows(written(tmp_path, "r.tsv", 'a "fine film\t1\nbad\t0\nworse\t0\nbest\t1\n'))
    assert table.columns == {"1": ['a "fine film', "bad", "worse", "best"], "2": ["1", "0", "0", "1"]}
    assert list(read_rows(written(tmp_path, "s.tsv", "x\ty\nz\ty\n"), header=True).columns) == ["x", "y"]


def test_json_lines_keep_types(tmp_path: Path) -> None:
    table = read_rows(written(tmp_path, "r.jsonl", '{"words": ["a"], "n": 1}\n\n{"n": 2, "words": []}\n'))
    assert table.columns == {"words": [["a"], []], "n": [1, 2]}
    assert table.where(1).endswith("r.jsonl:3")


def test_lines_that_begin_with_their_label(tmp_path: Path) -> None:
    table = read_labelled([written(tmp_path, "q.txt", "LOC where is it ?\r\n\nHUM who ?\n")])
    assert table.columns == {"label": ["LOC", "HUM"], "text": ["where is it ?", "who ?"]}


def test_folders_of_classes(tmp_path: Path) -> None:
    (tmp_path / "names").mkdir()
    written(tmp_path / "names", "Czech.txt", "Novák\nDvořák\n")
    written(tmp_path / "names", "Irish.txt", "Byrne\n")
    written(tmp_path / "names", "README.txt", "about\n")
    assert read_labelled([tmp_path / "names"]).columns["label"] == ["Czech", "Czech", "Irish"]
    for name in ("neg", "pos"):
        (tmp_path / "films" / name).mkdir(parents=True)
        written(tmp_path / "films" / name, "0.txt", f"{name} film\nindeed")
    assert read_labelled([tmp_path / "films"]).columns == {
        "label": ["neg", "pos"], "text": ["neg film\nindeed", "pos film\nindeed"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.csv", "text,label\na,1\nb\n", r"r\.csv:3: this row has 1 cells, the first has 2"),
        ("r.csv", 'text,label\n"a,1\n', r"r\.csv:2"),
        ("r.csv", "", "is empty"),
        ("r.csv", "a,a\n1,2\n", "two columns are called 'a'"),
        ("r.csv", b"text,label\ncaf\xe9,1\n", r"r\.csv:2: this is not UTF-8.*--charset"),
        ("r.jsonl", '{"a": 1}\nnope\n', r"r\.jsonl:2: this is no JSON"),
        ("r.jsonl", '{"a": 1}\n{"b": 1}\n', r"r\.jsonl:2: this object lacks 'a'"),
        ("r.jsonl", "[1]\n", r"r\.jsonl:1: this line is no JSON object"),
        ("q.txt", "LOC\n", r"q\.txt:1: there is no text after the label 'LOC'"),
        ("r.parquet", "x", "none of .csv"),
        ("r.csv.gz", b"", "can't be read"),
    ],
)
def test_files_that_cannot_be_used_name_the_line(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if name == "r.csv.gz":
        path.write_bytes(b"no gzip")
    with pytest.raises(DataError, match=words):
        read_labelled([path])


def test_a_charset_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", b"LOC caf\xe9\n")
    assert read_labelled([path], charset="latin-1").columns["text"] == ["café"]
    with pytest.raises(ConfigError, match="no charset 'klingon'"):
        read_labelled([path], charset="klingon")


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl", "o.csv.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    table = Table({"text": ["a, b", "c"], "predicted": ["x", "y"]}, [("f", 1), ("f", 2)])
    write_rows(table, tmp_path / name)
    assert read_rows(tmp_path / name).columns == table.columns


def test_tables_split_without_overlap_and_name_missing_columns() -> None:
    table = Table({"n": list(range(10))}, [("f.csv", i) for i in range(10)])
    one, two = table.split(0.25, seed=3)
    assert sorted([*one.column("n"), *two.column("n")]) == list(range(10))
    assert len(two) == 2
    assert one.where(0).startswith("f.csv:")
    with pytest.raises(DataError, match=r"f\.csv: there is no column 'm'"):
        table.column("m")
    with pytest.raises(DataError, match="too few"):
        table.take([0]).split(0.5, 0)
