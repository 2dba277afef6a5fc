"""Pairs of texts out of files and back into them, and every mistake by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ifog.errors import DataError
from ifog.examples import Table
from ifog.examples.parallel import read_parallel, write_parallel


def two(folder: Path, source: str, target: str) -> list[Path]:
    paths = [folder / "a.en", folder / "a.de"]
    for path, text in zip(paths, (source, target), strict=True):
        path.write_bytes(text.encode())
    return paths


def test_two_texts_are_pairs_by_line(tmp_path: Path) -> None:
    table = read_parallel(two(tmp_path, "one \r\ntwo\n", "eins\n zwei"))
    assert table.columns == {"source": ["one", "two"], "target": ["eins", "zwei"]}
    assert table.where(1).endswith("a.en:2")


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    table = read_parallel(two(tmp_path, "one\u2028more\x0bstill\ntwo\n", "eins\nzwei\n"))
    assert table.columns["source"][0] == "one\u2028more\x0bstill"


def test_different_numbers_of_lines_name_both_files_and_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.en has 3 lines and .*a\.de has 2"):
        read_parallel(two(tmp_path, "one\ntwo\nthree\n", "eins\nzwei\n"))


@pytest.mark.parametrize(
    ("source", "target", "place"), [("a\n\nb\n", "a\nb\nc\n", "a.en:2"), ("a\nb", "a\n \n", "a.de:2")]
)
def test_an_empty_sentence_is_named_by_file_and_line(tmp_path: Path, source: str, target: str, place: str) -> None:
    with pytest.raises(DataError, match=f"{place}: the (source|target) is empty"):
        read_parallel(two(tmp_path, source, target))


def test_a_source_alone_is_enough_without_labels(tmp_path: Path) -> None:
    paths = two(tmp_path, "one\n", "eins\nzwei\n")
    assert read_parallel(paths, labelled=False).columns == {"source": ["one"]}
    assert read_parallel(paths[:1], labelled=False).columns == {"source": ["one"]}
    with pytest.raises(DataError, match=r"a\.en is one plain text.*second file"):
        read_parallel(paths[:1])


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.jsonl", "pairs.tsv.gz", "pairs.jsonl.gz"])
def test_a_table_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    columns = {"id": ["1", "2"], "source": ['say "hi"', "zwei, drei"], "target": ["ä", "ö"]}
    write_parallel(Table(columns, [("x", 1), ("x", 2)]), tmp_path / name, "target")
    table = read_parallel([tmp_path / name])
    assert table.columns == columns
    assert [line for _, line in table.places] == ([2, 3] if "tsv" in name else [1, 2])


def test_a_plain_text_holds_the_column_asked_for(tmp_path: Path) -> None:
    table = Table({"source": ["a", "b"], "translation": ["A", "B"]}, [("x", 1), ("x", 2)])
    write_parallel(table, tmp_path / "out.de", "translation")
    assert (tmp_path / "out.de").read_bytes() == b"A\nB\n"
    with pytest.raises(DataError, match="no column 'translatoin'; did you mean 'translation'"):
        write_parallel(table, tmp_path / "out.de", "translatoin")


def test_a_cell_that_a_tsv_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x:7: source holds a tab"):
        write_parallel(Table({"source": ["a\tb"]}, [("x", 7)]), tmp_path / "out.tsv", "source")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "source\ttarget\none\teins\ntwo\n", r"a\.tsv:3: 1 cells, but line 1 names 2 columns"),
        ("a.tsv", "source\tgoal\none\teins\n", r'a\.tsv:2: there is no column "target", only .source., .goal.'),
        ("a.tsv", "source\ttarget\n", r"a\.tsv holds no pairs"),
        ("a.tsv", "", r"a\.tsv is empty"),
        ("a.jsonl", '{"source": "a", "target": "b"}\n\n{"source": \n', r"a\.jsonl:3: this is no JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: expected an object"),
        ("a.jsonl", '{"source": "a", "target": 3}\n', r'a\.jsonl:1: "target" is 3, not a text'),
        (
            "a.jsonl",
            '{"source": "a", "target": "b"}\n{"source": "a", "target": "b", "x": 1}\n',
            r"a\.jsonl:2: the names",
        ),
        ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": "a"}\n', r'a\.jsonl:2: there is no column "target"'),
    ],
)
def test_a_broken_table_is_named_by_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_parallel([tmp_path / name])


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*can't be read"):
        read_parallel([tmp_path / "nowhere", tmp_path / "nowhere"])
    paths = two(tmp_path, "", "eins\n")
    paths[0].write_bytes(b"one\ntw\xff\n")
    with pytest.raises(DataError, match=r"a\.en:2: this is not UTF-8"):
        read_parallel(paths)
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"source\ttarget\n")[:-3])
    with pytest.raises(DataError, match="no whole gzip file"):
        read_parallel([tmp_path / "a.tsv.gz"])
    with pytest.raises(DataError, match="got 3 files"):
        read_parallel(["a", "b", "c"])
    (tmp_path / "a.jsonl").write_text(json.dumps({"source": "a", "target": "b"}))
    with pytest.raises(DataError, match="table of pairs, so give it alone"):
        read_parallel([tmp_path / "a.jsonl", tmp_path / "a.de"])
