"""Counts, in memory and on disk."""

from __future__ import annotations

import builtins
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError, RunError
from ifog.ngrams import NgramCounts, Sentences, count_ngrams, count_on_disk

SENTENCES = Sentences(0, 1)


def stream(length: int, ends: float = 0.2) -> np.ndarray:
    generator = np.random.default_rng(length)
    ids = generator.integers(2, 9, length).astype(np.uint8)
    ids[generator.random(length) < ends] = 1
    return ids


def equal(a: NgramCounts, b: NgramCounts) -> bool:
    return a.trie.vocabulary_size == b.trie.vocabulary_size and all(
        len(one) == len(other) and all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))
        for one, other in (
            (a.trie.keys, b.trie.keys),
            (a.occurrences, b.occurrences),
            (a.suffixes, b.suffixes),
            (a.adjusted, b.adjusted),
        )
    )


@pytest.mark.parametrize("length", [1, 2, 17, 333])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int64])
def test_a_stream_has_the_ngrams_one_sees_in_it(length: int, dtype: type):
    ids = stream(length).astype(dtype)
    counts = count_ngrams(ids, 4, 9)
    for n in range(1, 5):
        seen = Counter(tuple(ids[at : at + n].tolist()) for at in range(length - n + 1))
        rows = [tuple(row) for row in counts.trie.rows(n).tolist()]
        found = dict(zip(rows, counts.occurrences[n - 1].tolist(), strict=True))
        assert {gram: number for gram, number in found.items() if number} == dict(seen)
        assert rows == sorted(rows)
        if n > 1:
            shorter = counts.trie.rows(n - 1)[counts.suffixes[n - 2]]
            np.testing.assert_array_equal(shorter, counts.trie.rows(n)[:, 1:])


def test_ngrams_do_not_cross_the_end_of_a_sentence():
    counts = count_ngrams(np.array([2, 3, 1, 1, 3, 1]), 3, 4, sentences=SENTENCES)
    assert counts.trie.rows(2).tolist() == [[0, 1], [0, 2], [0, 3], [2, 3], [3, 1]]
    assert counts.trie.rows(3).tolist() == [[0, 2, 3], [0, 3, 1], [2, 3, 1]]
    assert counts.occurrences[1].tolist() == [1, 1, 1, 1, 2]
    assert counts.adjusted[1].tolist() == [1, 1, 1, 1, 2]  # raw for those that begin with <s>
    assert counts.adjusted[0].tolist() == [0, 2, 1, 2]  # </s> follows <s> and 3; 3 follows <s> and 2


def test_ids_mapped_from_a_file_are_counted(tmp_path: Path):
    stream(333).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint8, "r")
    assert equal(count_ngrams(mapped, 3, 9), count_ngrams(stream(333), 3, 9))


@pytest.mark.parametrize(
    ("ids", "words", "match"),
    [
        ([0, 5, 1], 5, r"id 5 at position 1 .*0 to 4"),
        ([0, -1], 5, r"id -1 at position 1"),
        ([], 5, r"shape \(0,\) and type float64"),
        (np.empty(0, np.uint8), 5, r"the text is empty"),
        ([[1]], 5, r"shape \(1, 1\)"),
        ([0.5], 5, r"type float64"),
        ([1], 2**32 + 1, r"4294967297 words.*2\^32"),
    ],
)
def test_ids_that_do_not_fit_are_refused(ids: object, words: int, match: str):
    with pytest.raises(DataError, match=match):
        count_ngrams(np.array(ids), 3, words)


def test_an_order_of_zero_and_a_given_start_are_refused():
    with pytest.raises(ConfigError, match="the order is 0"):
        count_ngrams(np.array([1]), 0, 3)
    with pytest.raises(DataError, match=r"position 2 holds <s>"):
        count_ngrams(np.array([2, 1, 0, 1]), 2, 3, sentences=SENTENCES)


# --- on disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentences", [SENTENCES, None], ids=["sentences", "stream"])
@pytest.mark.parametrize(("length", "shard", "order"), [(100, 33, 4), (97, 17, 1), (40, 4, 5), (50, 50, 3), (2, 9, 5)])
def test_counts_on_disk_are_those_in_memory(
    tmp_path: Path, length: int, shard: int, order: int, sentences: Sentences | None
):
    pytest.importorskip("duckdb")
    ids = stream(length)
    steps: list[tuple[int, int]] = []
    found = count_on_disk(
        ids, tmp_path / "it's", order, 9, sentences=sentences, shard_tokens=shard, progress=lambda *s: steps.append(s)
    )
    wanted = count_ngrams(ids, order, 9, sentences=sentences)
    assert equal(found.load(), wanted)
    assert found.sizes()[1:] == wanted.trie.sizes[1:]
    assert steps[-1] == (len(steps), len(steps))


def test_counting_goes_on_after_a_kill_and_counts_no_shard_twice(tmp_path: Path):
    pytest.importorskip("duckdb")
    ids = stream(100)

    class Killed(BaseException):
        pass

    def kill(done: int, _: int) -> None:
        if done == kill_at:
            raise Killed

    for kill_at in (2, 6):  # among the shards, and among the merged orders
        with pytest.raises(Killed):
            count_on_disk(ids, tmp_path, 3, 9, shard_tokens=25, progress=kill)
        if kill_at == 2:
            kept = tmp_path / "shard-000000" / "order-3.parquet"
            before = kept.stat().st_mtime_ns
            (tmp_path / "shard-000002.temporary").mkdir()
            (tmp_path / "shard-000002.temporary" / "order-1.parquet").write_bytes(b"half of it")
        else:
            assert kept.stat().st_mtime_ns == before
    assert equal(count_on_disk(ids, tmp_path, 3, 9, shard_tokens=25).load(), count_ngrams(ids, 3, 9))
    assert not list(tmp_path.glob("shard-*"))
    assert equal(count_on_disk(ids, tmp_path, 3, 9, shard_tokens=25).load(), count_ngrams(ids, 3, 9))


def test_a_directory_with_counts_of_another_text_is_refused(tmp_path: Path):
    pytest.importorskip("duckdb")
    count_on_disk(stream(30), tmp_path, 2, 9)
    with pytest.raises(RunError, match=r"something else \(checksum, tokens differ\)"):
        count_on_disk(stream(31), tmp_path, 2, 9)


def test_without_duckdb_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usual = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name == "duckdb":
            raise ImportError(name)
        return usual(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RunError, match=r"pip install 'ifog\[ngrams\]'"):
        count_on_disk(stream(30), tmp_path, 2, 9)
