"""Models estimated on disk, against those estimated in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError, RunError
from ifog.ngrams import (
    NgramModel,
    Sentences,
    Vocabulary,
    count_ngrams,
    count_on_disk,
    estimate,
    estimate_on_disk,
    open_mapped,
    read_arpa,
    write_arpa,
)

pytest.importorskip("duckdb")

SENTENCES = Sentences(0, 1)
FALLBACK = (0.5, 1.0, 1.5)
WORDS = ["<s>", "</s>", *"abcdefg"]


def stream(length: int) -> np.ndarray:
    generator = np.random.default_rng(length)
    ids = (generator.zipf(1.3, length) % 7 + 2).astype(np.uint8)
    ids[generator.random(length) < 0.2] = 1
    return ids


def agree(a: NgramModel, b: NgramModel) -> None:
    assert (a.vocabulary_size, a.order, a.sentences) == (b.vocabulary_size, b.order, b.sentences)
    for one, other in zip(a.trie.keys, b.trie.keys, strict=True):
        np.testing.assert_array_equal(one, other)
    for mine, theirs in ((a.log_probs, b.log_probs), (a.backoffs, b.backoffs)):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sentences", [SENTENCES, None], ids=["sentences", "stream"])
@pytest.mark.parametrize(
    ("length", "shard", "order", "batch"),
    [(333, 20, 4, 1), (97, 17, 1, 5), (200, 17, 5, 1 << 20), (50, 9, 2, 1), (2, 9, 4, 3)],
)
def test_a_model_estimated_on_disk_is_the_one_estimated_in_memory(
    tmp_path: Path, length: int, shard: int, order: int, batch: int, sentences: Sentences | None
):
    ids = stream(length)
    counts = count_on_disk(ids, tmp_path / "it's", order, 9, sentences=sentences, shard_tokens=shard)
    found = estimate_on_disk(counts, tmp_path / "model", fallback=FALLBACK, batch=batch)
    wanted = estimate(count_ngrams(ids, order, 9, sentences=sentences), fallback=FALLBACK)
    agree(found, wanted)
    np.testing.assert_allclose(found.log_prob(ids), wanted.log_prob(ids), rtol=1e-12)
    assert all(isinstance(each, np.memmap) for each in found.log_probs if len(each))


def test_estimation_goes_on_after_a_kill_and_repeats_no_finished_batch(tmp_path: Path):
    ids = stream(150)
    counts = count_on_disk(ids, tmp_path / "counts", 3, 9, shard_tokens=60)
    wanted = estimate_on_disk(counts, tmp_path / "whole", fallback=FALLBACK, batch=1)

    class Killed(BaseException):
        pass

    seen: list[int] = []

    def kill(done: int, _: int) -> None:
        assert done not in seen, "a batch was made twice"
        seen.append(done)
        raise Killed

    rounds = 0
    while not (tmp_path / "killed" / "model.json").exists():
        for file in (tmp_path / "killed").glob("order-?.*"):  # what a kill in the middle of a batch leaves
            if file.name.startswith(f"order-{_order(tmp_path / 'killed')}.") and rounds % 2:
                with file.open("ab") as end:
                    end.write(b"half a number")
        try:
            estimate_on_disk(counts, tmp_path / "killed", fallback=FALLBACK, batch=1, progress=kill)
        except Killed:
            rounds += 1
    assert rounds > 6
    agree(open_mapped(tmp_path / "killed"), wanted)
    assert seen[-1] == sum(wanted.trie.sizes)


def _order(folder: Path) -> int:
    return int(json.loads((folder / "progress.json").read_text())["place"][0])


def test_a_mapped_model_is_written_as_arpa_in_pieces_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ifog.ngrams.arpa._ROWS", 7)
    ids = stream(500)
    counts = count_on_disk(ids, tmp_path / "counts", 3, 9, sentences=SENTENCES, shard_tokens=100)
    model = estimate_on_disk(counts, tmp_path / "model", fallback=FALLBACK, vocabulary=Vocabulary(WORDS))
    write_arpa(model, tmp_path / "model.arpa")
    again = read_arpa(tmp_path / "model.arpa")
    assert again.vocabulary is not None
    assert again.vocabulary.words == tuple(WORDS)
    np.testing.assert_allclose(again.log_prob(ids), model.log_prob(ids), rtol=1e-7)


def test_back_offs_that_an_arpa_file_lacks_are_zero(tmp_path: Path):
    text = (
        "\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n-0.5 a\n-0.6 b\n-0.7 c -0.2\n\n\\2-grams:\n-0.1 a b\n\n\\end\\\n"
    )
    (tmp_path / "a.arpa").write_text(text)
    model = read_arpa(tmp_path / "a.arpa")
    np.testing.assert_allclose(model.log_prob(np.array([0, 2, 1])) / np.log(10), [-0.5, -0.7, -0.8])


def test_requests_that_do_not_fit_are_refused(tmp_path: Path):
    ids = stream(500)
    counts = count_on_disk(ids, tmp_path / "counts", 2, 9, sentences=SENTENCES)
    with pytest.raises(ConfigError, match="batch is 0"):
        estimate_on_disk(counts, tmp_path / "model", batch=0)
    with pytest.raises(DataError, match="3 words, the counts 9"):
        estimate_on_disk(counts, tmp_path / "model", vocabulary=Vocabulary(["a", "b", "c"]))
    with pytest.raises(RunError, match="no finished n-gram model"):
        open_mapped(tmp_path / "model")
    estimate_on_disk(counts, tmp_path / "model", "kneser-ney", fallback=FALLBACK)
    with pytest.raises(RunError, match="other counts or discounts"):
        estimate_on_disk(counts, tmp_path / "model", "modified", fallback=(0.1, 0.2, 0.3))
    os.truncate(tmp_path / "model" / "order-2.keys.bin", 8)
    with pytest.raises(RunError, match=r"order-2\.keys\.bin has 8 bytes"):
        open_mapped(tmp_path / "model")


def test_counts_that_are_not_finished_can_not_be_estimated(tmp_path: Path):
    counts = count_on_disk(stream(30), tmp_path, 2, 9)
    (tmp_path / "merged.json").unlink()
    with pytest.raises(RunError, match="run count_on_disk again"):
        counts.sizes()
