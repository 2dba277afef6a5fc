"""Reading what a user gives as a text."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ifog.data import Corpus
from ifog.errors import DataError

MIB = 1 << 20


def text_of(corpus: Corpus) -> str:
    return "".join(corpus.texts())


def give_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_files_are_read_in_the_order_given_and_line_ends_are_kept(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes("b\r\né".encode())
    (tmp_path / "a").write_bytes(b"a\n")
    corpus = Corpus.from_files([tmp_path / "b", str(tmp_path / "a")])
    assert text_of(corpus) == "b\r\néa\n"
    assert text_of(corpus) == "b\r\néa\n"
    assert b"".join(corpus.blobs()) == "b\r\néa\n".encode()


def test_a_character_across_two_pieces_is_read_whole(tmp_path: Path) -> None:
    text = "x" * (MIB - 1) + "é\U0001f600" + "y" * MIB
    (tmp_path / "big").write_text(text, encoding="utf-8")
    corpus = Corpus.from_files([tmp_path / "big"])
    pieces = list(corpus.texts())
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= MIB


def test_standard_input_can_be_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    give_stdin(monkeypatch, "héllo".encode())
    corpus = Corpus.from_files(["-"])
    assert text_of(corpus) == text_of(corpus) == "héllo"
    assert corpus.description == "standard input"


def test_empty_or_repeated_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    give_stdin(monkeypatch, b"")
    with pytest.raises(DataError, match="standard input is empty"):
        Corpus.from_files(["-"])
    with pytest.raises(DataError, match="twice"):
        Corpus.from_files(["-", "-"])


def test_no_file_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no file"):
        Corpus.from_files([])


def test_an_empty_text_is_an_error() -> None:
    with pytest.raises(DataError, match="empty"):
        Corpus.from_text("")


def test_a_missing_an_empty_and_a_directory_are_errors_that_name_it(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match=r"nowhere\.txt doesn't exist"):
        Corpus.from_files([tmp_path / "nowhere.txt"])
    with pytest.raises(DataError, match=r"empty\.txt is empty"):
        Corpus.from_files([tmp_path / "empty.txt"])
    with pytest.raises(DataError, match="is a directory"):
        Corpus.from_files([tmp_path])


@pytest.mark.parametrize("offset", [0, 5, MIB - 1, MIB, MIB + 7])
def test_a_binary_file_is_refused_with_the_offset(tmp_path: Path, offset: int) -> None:
    (tmp_path / "program").write_bytes(b"x" * offset + b"\0rest")
    with pytest.raises(DataError, match=rf"program is binary: byte {offset} is NUL.*--tokenizer byte"):
        text_of(Corpus.from_files([tmp_path / "program"]))


@pytest.mark.parametrize("offset", [0, 5, MIB - 1, MIB, MIB + 7, 2 * MIB])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xe9t\xe9", b"\xe2\x82"])
def test_bad_utf8_is_refused_with_the_offset(tmp_path: Path, offset: int, wrong: bytes) -> None:
    (tmp_path / "latin").write_bytes(b"x" * offset + wrong)
    message = rf"latin is not UTF-8: byte 0x{wrong[0]:02x} at offset {offset} .*iconv.*--tokenizer byte"
    with pytest.raises(DataError, match=message):
        text_of(Corpus.from_files([tmp_path / "latin"]))


def test_a_character_cut_off_at_the_end_of_a_file_does_not_spill_into_the_next(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"a\xc3")
    (tmp_path / "two").write_bytes(b"\xa9b")
    with pytest.raises(DataError, match="one is not UTF-8: byte 0xc3 at offset 1"):
        text_of(Corpus.from_files([tmp_path / "one", tmp_path / "two"]))


def test_the_default_corpus_is_python_source_of_bounded_size_and_always_the_same() -> None:
    first = text_of(Corpus.default(limit=200_000))
    assert first == text_of(Corpus.default(limit=200_000))
    assert 50_000 < len(first) <= 200_000
    assert first.isascii()
    assert "def " in first
    assert "\0" not in first


def test_a_gzip_file_is_read_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress("é is text".encode() * 1000))
    corpus = Corpus.from_files([tmp_path / "a.gz"])
    assert text_of(corpus) == "é is text" * 1000
    assert b"".join(corpus.blobs()) == "é is text".encode() * 1000


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"some text" * 1000)
    for content in (whole[:-20], whole[:10] + b"\xff" * 20 + whole[30:], b"no gzip at all"):
        (tmp_path / "a.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.gz is no whole gzip file"):
            text_of(Corpus.from_files([tmp_path / "a.gz"]))
