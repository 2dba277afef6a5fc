"""Corpora in shards: cut, counted and encoded, with and without kills."""

from __future__ import annotations

import gzip
import json
import os
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ifog.data import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    Corpus,
    ShardedIds,
    Streams,
    Tokenizer,
    WordCounts,
    WordTokenizer,
    count_words,
    encode_shards,
    id_dtype,
    open_shards,
    prepare_text,
)
from ifog.errors import ConfigError, DataError, RunError

TEXT = "the  cat\tsat\n\n on the\u3000mat é世 \u2028 and\x85the dog \n" * 9 + "end"


class Killed(BaseException):
    """What no code catches, as a kill."""


@given(st.text(alphabet="ab é世\n\t\u2028\u3000\x85\xa0", min_size=1, max_size=80), st.integers(1, 30))
def test_shards_cover_the_text_and_cut_no_word(text: str, size: int) -> None:
    corpus = Corpus.from_text(text)
    shards = corpus.shards(size)
    parts = ["".join(corpus.texts(shard)) for shard in shards]
    assert "".join(parts) == text
    assert b"".join(blob for shard in shards for blob in corpus.blobs(shard)) == text.encode()
    for left, right in pairwise(parts):
        assert left[-1:].strip(), "a shard ends with white space"
        assert right[0] in " \n"
        assert len(left.encode()) >= min(size, 2)
    assert [word for part in parts for word in part.split()] == text.split()


@pytest.mark.parametrize("size", [1, 7, 64, 10**6])
@pytest.mark.parametrize("kind", ["word", "char", "byte", "bpe"])
def test_ids_in_shards_are_those_of_the_whole(tmp_path: Path, kind: str, size: int) -> None:
    tokenizer: Tokenizer = {
        "word": lambda: WordTokenizer.from_chunks([TEXT], vocabulary_size=6),
        "char": lambda: CharTokenizer.from_chunks([TEXT]),
        "byte": ByteTokenizer,
        "bpe": lambda: BPETokenizer.from_chunks([TEXT], vocabulary_size=270),
    }[kind]()
    found = encode_shards(Corpus.from_text(TEXT), tokenizer, tmp_path, shard_bytes=size)
    wanted = tokenizer.encode(TEXT)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(found[:], wanted)
    again = open_shards(tmp_path)
    for part in (slice(3, 11), slice(-5, None), slice(7, 7), slice(9, 2), slice(0, 10**9)):
        np.testing.assert_array_equal(again[part], wanted[part])
        assert again[part].dtype == wanted.dtype
    with pytest.raises(IndexError, match="in steps of 2"):
        again[::2]


def test_words_of_two_files_are_not_joined_and_line_ends_not_doubled(tmp_path: Path) -> None:
    for name, text in (("a", "one two"), ("b", "three\n"), ("c", "four")):
        (tmp_path / name).write_text(text)
    corpus = Corpus.from_files([tmp_path / name for name in "abc"])
    words = "one two\nthree\nfour"
    counted = count_words(corpus, tmp_path / "words", shard_bytes=3)
    assert dict(counted.counts) == {"one": 1, "two": 1, "three": 1, "four": 1, "<eos>": 2}
    (tmp_path / "ids").mkdir()
    prepared = prepare_text(corpus, tmp_path / "ids", tokenizer="word", validation_fraction=0.5)
    joined = np.concatenate([prepared.train, prepared.validation])
    assert prepared.tokenizer.decode(joined) == words
    assert (
        prepared.tokenizer.decode(encode_shards(corpus, prepared.tokenizer, tmp_path / "s", shard_bytes=3)[:]) == words
    )
    assert "".join(corpus.texts()) == "one twothree\nfour"  # what no tokenizer of words reads is left as it is


@pytest.mark.parametrize("stop", [1, 4, 9])
def test_encoding_goes_on_after_a_kill_with_the_first_shard_that_is_missing(tmp_path: Path, stop: int) -> None:
    tokenizer = WordTokenizer.from_chunks([TEXT])
    corpus = Corpus.from_text(TEXT)

    def kill(done: int, _: int) -> None:
        if done == stop:
            raise Killed

    with pytest.raises(Killed):
        encode_shards(corpus, tokenizer, tmp_path, shard_bytes=30, progress=kill)
    with pytest.raises(RunError, match=rf"holds {stop} of \d+ shards"):
        open_shards(tmp_path)
    (tmp_path / f"ids-{stop:06d}.bin.temporary").write_bytes(b"half of")
    (tmp_path / f"ids-{stop:06d}.bin").write_bytes(b"whole, but not written down")
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("ids-*.bin")}
    made: list[int] = []
    found = encode_shards(corpus, tokenizer, tmp_path, shard_bytes=30, progress=lambda done, _: made.append(done))
    np.testing.assert_array_equal(found[:], tokenizer.encode(TEXT))
    assert made[0] == stop + 1
    for number in range(stop):
        name = f"ids-{number:06d}.bin"
        assert (tmp_path / name).stat().st_mtime_ns == before[name]
    made.clear()
    encode_shards(corpus, tokenizer, tmp_path, shard_bytes=30, progress=lambda done, _: made.append(done))
    assert not made


@pytest.mark.parametrize("limit", [3, 1000])
def test_counting_words_goes_on_after_a_kill_to_the_same_counts(tmp_path: Path, limit: int) -> None:
    corpus = Corpus.from_text(TEXT)
    whole = count_words(corpus, tmp_path / "whole", limit=limit, shard_bytes=30)
    made: list[int] = []

    def kill(done: int, _: int) -> None:
        made.append(done)
        raise Killed

    for _ in corpus.shards(30):
        with pytest.raises(Killed):
            count_words(corpus, tmp_path / "killed", limit=limit, shard_bytes=30, progress=kill)
    found = count_words(corpus, tmp_path / "killed", limit=limit, shard_bytes=30, progress=kill)
    assert made == list(range(1, len(corpus.shards(30)) + 1))
    assert list(found.counts.items()) == list(whole.counts.items())
    assert (found.total, found.undercount) == (whole.total, whole.undercount)
    if limit == 1000:
        once = WordCounts(limit)
        once.read([TEXT])
        assert found.counts == once.counts
        assert (found.total, found.undercount) == (once.total, 0)


def test_what_belongs_to_another_text_or_tokenizer_is_refused(tmp_path: Path) -> None:
    tokenizer = WordTokenizer.from_chunks([TEXT])
    encode_shards(Corpus.from_text(TEXT), tokenizer, tmp_path / "ids")
    count_words(Corpus.from_text(TEXT), tmp_path / "words")
    with pytest.raises(RunError, match=r"\(corpus differ\)"):
        encode_shards(Corpus.from_text(TEXT + "!"), tokenizer, tmp_path / "ids")
    with pytest.raises(RunError, match=r"\(tokenizer differ\)"):
        encode_shards(Corpus.from_text(TEXT), WordTokenizer(["<unk>", "<eos>"]), tmp_path / "ids")
    with pytest.raises(RunError, match=r"\(corpus differ\)"):
        count_words(Corpus.from_text("other"), tmp_path / "words")
    (tmp_path / "words").write_text("nothing of the kind\n")
    with pytest.raises(RunError, match="holds no counts of words"):
        count_words(Corpus.from_text(TEXT), tmp_path / "words")
    os.truncate(tmp_path / "ids" / "ids-000000.bin", 5)
    with pytest.raises(RunError, match=r"ids-000000\.bin has 5 bytes"):
        open_shards(tmp_path / "ids")
    (tmp_path / "ids" / "ids.json").write_text(json.dumps([]))
    with pytest.raises(RunError, match="describes no ids"):
        open_shards(tmp_path / "ids")
    with pytest.raises(RunError, match="nothing was encoded"):
        open_shards(tmp_path)
    with pytest.raises(ConfigError, match="0 bytes"):
        Corpus.from_text(TEXT).shards(0)


def test_a_mistake_in_a_shard_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"good words here \n and then \xe9 bad")
    corpus = Corpus.from_files([tmp_path / "latin"])
    with pytest.raises(DataError, match="0xe9 at offset 27"):
        count_words(corpus, tmp_path / "words", shard_bytes=10)
    with pytest.raises(DataError, match=r"from byte 10 of file 1: .*'h'"):
        encode_shards(corpus, CharTokenizer("abcdefgo rsw"), tmp_path / "ids", shard_bytes=9)


def test_a_gzip_file_is_one_shard(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "b").write_text(TEXT)
    corpus = Corpus.from_files([tmp_path / "a.gz", tmp_path / "b"])
    shards = corpus.shards(50)
    assert [shard.source for shard in shards].count(0) == 1
    assert "".join(text for shard in shards for text in corpus.texts(shard)) == TEXT * 2


def test_an_enormous_line_and_an_enormous_word_are_read_in_pieces(tmp_path: Path) -> None:
    line = "one two " * 400_000 + "x" * 3_000_000 + " three"
    (tmp_path / "line").write_text(line)
    corpus = Corpus.from_files([tmp_path / "line"])
    shards = corpus.shards(1_000_000)
    assert len(shards) == 5  # the word is longer than a shard, so one cut is missing
    counted = count_words(corpus, tmp_path / "words", shard_bytes=1_000_000)
    assert dict(counted.counts) == {"one": 400_000, "two": 400_000, "<unk>": 1, "three": 1}


@pytest.mark.parametrize("world", [1, 2, 3])
def test_each_process_reads_its_own_part_of_the_shards_and_all_read_the_text(tmp_path: Path, world: int) -> None:
    words = [f"w{number}" for number in range(613)]
    tokenizer = WordTokenizer(["<unk>", "<eos>", *words])
    ids = encode_shards(Corpus.from_text(" ".join(words)), tokenizer, tmp_path, shard_bytes=100)
    wanted = tokenizer.encode(" ".join(words))
    parts: list[set[int]] = []
    for rank in range(world):
        own = Streams(ids, 6, 17, rank=rank, world=world)
        usual = Streams(wanted, 6, 17, rank=rank, world=world)
        seen: set[int] = set()
        for one, other in zip(islice(own, 12), islice(usual, 12), strict=True):
            torch.testing.assert_close(one.inputs, other.inputs)
            torch.testing.assert_close(one.targets, other.targets)
            seen |= set(one.targets.flatten().tolist())
        parts.append(seen)
    assert sum(map(len, parts)) == len(set().union(*parts)), "two processes read the same tokens"
    # six streams of 102 tokens, read as six chunks of 17: all but the last rest of the text
    assert set().union(*parts) == set(wanted[1 : 6 * 102 + 1].tolist())


def test_no_ids_at_all_are_an_empty_row() -> None:
    empty = ShardedIds([], [], np.dtype("<u2"))
    assert len(empty[:]) == len(empty) == 0
    assert empty[:5].dtype == np.uint16


def test_more_words_than_ids_tell_apart_are_refused() -> None:
    assert id_dtype(2**32) == np.uint32
    with pytest.raises(ConfigError, match=r"4294967297 tokens.*higher minimum count"):
        id_dtype(2**32 + 1)
    with pytest.raises(ConfigError, match=r"at most 2\*\*32"):
        WordTokenizer.from_chunks(["a b"], vocabulary_size=2**32 + 1)
