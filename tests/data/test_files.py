"""A corpus on disk as ids."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ifog.data import ByteTokenizer, CharTokenizer, Corpus, encode_corpus, open_text, prepare_text
from ifog.errors import ConfigError, DataError, RunError


def test_the_last_tenth_is_held_out(tmp_path: Path) -> None:
    text = "".join(chr(97 + i % 26) for i in range(1003))
    prepared = prepare_text(Corpus.from_text(text), tmp_path)
    assert len(prepared.train) == int(1003 * 0.9)
    assert prepared.tokenizer.decode(prepared.train) + prepared.tokenizer.decode(prepared.validation) == text
    assert sorted(os.listdir(tmp_path)) == ["tokenizer.json", "train.ids", "validation.ids"]


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_prepared_files_open_again_as_they_were(tmp_path: Path, tokenizer: str) -> None:
    text = "Grüße, 世界! " * 50 + "".join(map(chr, range(0x400, 0x400 + 300)))
    prepared = prepare_text(Corpus.from_text(text), tmp_path, tokenizer=tokenizer)  # type: ignore[arg-type]
    again = open_text(tmp_path, prepared.header)
    assert again.train.dtype == prepared.train.dtype == (np.uint16 if tokenizer == "char" else np.uint8)
    np.testing.assert_array_equal(again.train, prepared.train)
    np.testing.assert_array_equal(again.validation, prepared.validation)
    whole = np.concatenate([again.train, again.validation])
    assert again.tokenizer.decode(whole) == text


def test_a_separate_validation_text_shares_the_alphabet(tmp_path: Path) -> None:
    prepared = prepare_text(Corpus.from_text("abcabc"), tmp_path, validation=Corpus.from_text("axa"))
    assert prepared.tokenizer.decode(prepared.train) == "abcabc"
    assert prepared.tokenizer.decode(prepared.validation) == "axa"
    assert prepared.tokenizer.vocabulary_size == 4


def test_a_given_tokenizer_is_used_and_its_unknown_characters_are_errors(tmp_path: Path) -> None:
    tokenizer = CharTokenizer("abcdefgh")
    prepared = prepare_text(Corpus.from_text("hhgghhggaabb"), tmp_path, tokenizer=tokenizer)
    assert prepared.train[:4].tolist() == [7, 7, 6, 6]
    with pytest.raises(DataError, match=r"'z'.*position 2"):
        encode_corpus(Corpus.from_text("abz"), tokenizer, tmp_path / "other.ids")
    assert not list(tmp_path.glob("other*"))


def test_raw_bytes_take_what_is_no_text(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3
    (tmp_path / "raw").write_bytes(content)
    ids = encode_corpus(Corpus.from_files([tmp_path / "raw"]), ByteTokenizer(), tmp_path / "raw.ids")
    assert ids.tobytes() == content


@pytest.mark.parametrize("text", ["a", "ab", "abc"])
def test_a_text_too_short_to_split_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="too few"):
        prepare_text(Corpus.from_text(text), tmp_path)


def test_a_fraction_or_tokenizer_out_of_range_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        prepare_text(Corpus.from_text("abc"), tmp_path, validation_fraction=1.0)
    with pytest.raises(ConfigError, match="'bpe', 'byte', 'char' and 'word'"):
        prepare_text(Corpus.from_text("abc"), tmp_path, tokenizer="syllable")  # type: ignore[arg-type]


def test_damaged_ids_are_an_error(tmp_path: Path) -> None:
    prepared = prepare_text(Corpus.from_text("hello world " * 9), tmp_path)
    with pytest.raises(RunError, match=r"config\.json"):
        open_text(tmp_path, {**prepared.header, "dtype": "<u4"})
    with pytest.raises(RunError, match=r"config\.json"):
        open_text(tmp_path, {"dtype": "|u1"})
    os.truncate(tmp_path / "train.ids", 5)
    with pytest.raises(RunError, match=r"train\.ids has 5 bytes"):
        open_text(tmp_path, prepared.header)
    (tmp_path / "train.ids").unlink()
    with pytest.raises(RunError, match=r"train\.ids can't be read"):
        open_text(tmp_path, prepared.header)


def test_memory_stays_bounded_for_a_large_file(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(b"the quick brown fox\n" * 3_000_000)  # 60 MB
    corpus = Corpus.from_files([tmp_path / "large.txt"])
    tokenizer = CharTokenizer.from_chunks(corpus.texts())
    tracemalloc.start()
    ids = encode_corpus(corpus, tokenizer, tmp_path / "large.ids")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(ids) == 60_000_000
    assert peak < 30_000_000
