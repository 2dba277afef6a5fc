"""Pretrained word vectors."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.vectors import read_vectors

GLOVE = "the 0.5 -1e-2 3\n. . . 1 2 3\nnext\u0085line 4 5 6\nthe 9 9 9\n"


def test_vectors_are_read_with_words_that_hold_blanks(tmp_path: Path):
    (tmp_path / "glove.txt").write_bytes(GLOVE.encode())
    vectors = read_vectors(tmp_path / "glove.txt")
    assert vectors.words == ("the", ". . .", "next\u0085line")
    assert vectors.values.dtype == np.float32
    np.testing.assert_allclose(vectors.values, [[0.5, -0.01, 3], [1, 2, 3], [4, 5, 6]])


def test_a_header_and_blanks_at_the_end_are_no_numbers(tmp_path: Path):
    (tmp_path / "word2vec.vec.gz").write_bytes(gzip.compress(b"2 2\nking 1 0 \nqueen 0 1 \n"))
    vectors = read_vectors(tmp_path / "word2vec.vec.gz")
    assert vectors.words == ("king", "queen")
    assert vectors.values.tolist() == [[1, 0], [0, 1]]


def test_vectors_of_one_number_have_no_header(tmp_path: Path):
    (tmp_path / "one.txt").write_text("a 1.5\nb 2\n")
    assert read_vectors(tmp_path / "one.txt").values.tolist() == [[1.5], [2.0]]


def test_only_wanted_words_and_first_lines_are_kept(tmp_path: Path):
    (tmp_path / "a.txt").write_text("3 1\na 1.0\nb 2.0\nc 3.0\n")
    assert read_vectors(tmp_path / "a.txt", words={"b", "z"}).words == ("b",)
    assert read_vectors(tmp_path / "a.txt", limit=2).words == ("a", "b")
    none = read_vectors(tmp_path / "a.txt", words=())
    assert (none.words, none.values.shape) == ((), (0, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"v\.txt: there is no vector"),
        (b"2 3\n", r"v\.txt: there is no vector"),
        (b"a 1 2\nb 1\n", r"v\.txt:2: a word and 2 numbers"),
        (b"alone\n", r"v\.txt:1: a word and its numbers"),
        (b"a 1 2\nb 1 x\n", r"v\.txt:2: something other than a number"),
        (b"a 1 2\nb nan 2\n", r"v\.txt:2: the vector holds NaN"),
        (b"a 1 2\n\xff 1 2\n", r"v\.txt:2: this is not UTF-8"),
    ],
)
def test_what_is_no_vector_is_named_with_its_line(tmp_path: Path, text: bytes, message: str):
    (tmp_path / "v.txt").write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_vectors(tmp_path / "v.txt")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"v\.txt can't be read"):
        read_vectors(tmp_path / "v.txt")
