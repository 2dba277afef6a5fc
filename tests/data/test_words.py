"""Words: the corpora's conventions, pieces cut anywhere, the vocabulary and its order, its file."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifog.data import Corpus, WordCounts, WordTokenizer, encode_corpus, load_tokenizer, open_text, prepare_text
from ifog.errors import ConfigError, DataError, RunError

TEXT = "the cat sat on the mat\n\nthe  dog\tsat \n on the cat"


def words_of(text: str) -> list[str]:
    """Character by character, without `str.split`."""
    words, word = [], ""
    for character in text:
        if character.isspace():
            words += [word] if word else []
            words += ["<eos>"] if character == "\n" else []
            word = ""
        else:
            word += character
    return words + ([word] if word else [])


def cut(text: str, seed: int) -> list[str]:
    generator = random.Random(seed)
    ends = sorted(generator.choices(range(len(text) + 1), k=5))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@pytest.mark.parametrize(
    ("folder", "name", "sizes", "vocabulary"),
    [
        ("ptb_word", "ptb.{}.txt", (929_589, 73_760, 82_430), 10_000),
        ("wikitext2", "wiki.{}.tokens", (2_088_628, 217_646, 245_569), 33_278),
    ],
)
def test_a_corpus_has_the_tokens_that_everyone_counts(
    data: Path, folder: str, name: str, sizes: tuple[int, ...], vocabulary: int
) -> None:
    parts = [Corpus.from_files([data / folder / name.format(part)]) for part in ("train", "valid", "test")]
    tokenizer = WordTokenizer.from_chunks(parts[0].texts())
    assert tokenizer.vocabulary_size == vocabulary
    for part, size in zip(parts, sizes, strict=True):
        encoder = tokenizer.encoder()
        assert sum(len(encoder.feed(text)) for text in part.texts()) + len(encoder.finish()) == size


@given(st.text(alphabet=st.sampled_from("ab é\n\t\u2028"), max_size=60), st.integers(0, 99))
def test_pieces_cut_anywhere_give_the_words_of_the_whole(text: str, seed: int) -> None:
    tokenizer = WordTokenizer.from_chunks(cut(text + " a", seed))
    expected = words_of(text)
    assert [tokenizer.words[i] for i in tokenizer.encode(text)] == expected
    encoder = tokenizer.encoder()
    pieces = [*map(encoder.feed, cut(text, seed)), encoder.finish()]
    assert np.concatenate(pieces).tolist() == tokenizer.encode(text).tolist()
    assert {piece.dtype for piece in pieces} == {np.dtype(np.uint8)}


def test_the_vocabulary_is_ranked_by_frequency_then_by_text() -> None:
    counts = Counter(words_of(TEXT))
    expected = sorted([*counts, "<unk>"], key=lambda word: (-counts[word], word))
    assert WordTokenizer.from_chunks([TEXT]).words == expected
    assert expected[:3] == ["the", "<eos>", "cat"]


def test_rare_words_are_unknown_and_unknown_has_their_rank() -> None:
    tokenizer = WordTokenizer.from_chunks([TEXT], minimum_count=2)
    assert tokenizer.words == ["the", "<eos>", "<unk>", "cat", "on", "sat"]  # mat and dog: 2 unknown
    assert tokenizer.decode(tokenizer.encode("the dog sat\non the mat\n")) == "the <unk> sat\non the <unk>\n"
    assert WordTokenizer.from_chunks([TEXT], vocabulary_size=3).words == ["<unk>", "the", "<eos>"]


def test_a_text_that_marks_unknown_words_itself_has_one_unknown() -> None:
    tokenizer = WordTokenizer.from_chunks(["a <unk> b <unk>\n"])
    assert tokenizer.words == ["<unk>", "<eos>", "a", "b"]
    assert tokenizer.encode("c <unk>").tolist() == [0, 0]


@given(st.lists(st.integers(0, 4), max_size=30))
def test_ids_come_back_from_their_text(ids: list[int]) -> None:
    tokenizer = WordTokenizer(["a", "<unk>", "b", "<eos>", "é"])
    text = tokenizer.decode(ids)
    assert tokenizer.encode(text).tolist() == ids
    assert tokenizer.encode_bytes(text.encode()).tolist() == ids
    decoder = tokenizer.decoder()
    assert "".join(map(decoder.feed, ids)) + decoder.finish() == text


def test_decoding_gives_single_spaces_and_whole_lines() -> None:
    tokenizer = WordTokenizer.from_chunks([TEXT])
    assert tokenizer.decode(tokenizer.encode(TEXT)) == "the cat sat on the mat\n\nthe dog sat\non the cat"
    with pytest.raises(DataError, match="the id 8 is outside"):
        tokenizer.decode([0, 8])


def test_counting_in_little_memory_keeps_the_frequent_words() -> None:
    generator = random.Random(1)
    frequent = [f"f{i}" for i in range(10)]
    words = [generator.choice(frequent) if generator.random() < 0.5 else f"r{i}" for i in range(20_000)]
    counted = WordCounts(limit=500)
    held = 0
    for start in range(0, len(words), 100):
        counted.read([" ".join(words[start : start + 100])])
        held = max(held, len(counted.counts))
    true = Counter(words)
    assert held <= 500
    assert 0 < counted.undercount < 100
    assert counted.total == len(words)
    for word in frequent:
        assert true[word] - counted.undercount <= counted.counts[word] <= true[word]
    tokenizer = WordTokenizer.from_counts(counted, minimum_count=counted.undercount + 1)
    assert sorted(tokenizer.words) == sorted([*frequent, "<eos>", "<unk>"])


def test_counts_without_pruning_are_exact() -> None:
    counted = WordCounts()
    counted.read(cut(TEXT, 3))
    assert counted.counts == Counter(words_of(TEXT))
    assert (counted.total, counted.undercount) == (len(words_of(TEXT)), 0)


def test_an_enormous_word_is_unknown_and_needs_no_memory() -> None:
    long = "x" * 5000
    tokenizer = WordTokenizer.from_chunks(["a b ", *["x" * 1000] * 5, " c ", "y" * 4096])
    assert long not in tokenizer.words
    assert "y" * 4096 in tokenizer.words
    encoder = tokenizer.encoder()
    tracemalloc.start()
    made = [encoder.feed("x" * 1_000_000) for _ in range(10)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    made += [encoder.feed(" a"), encoder.finish()]
    assert np.concatenate(made).tolist() == [tokenizer.unknown, *tokenizer.encode("a")]
    assert tokenizer.encode(f"{long} a").tolist() == np.concatenate(made).tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["<eos>", "<unk>", "a", "a"], "'a' twice"),
        (["<eos>", "a"], "lacks '<unk>'"),
        (["<unk>", "a"], "lacks '<eos>'"),
        (["<eos>", "<unk>", "a b"], "'a b', which is no word"),
        (["<eos>", "<unk>", ""], "'', which is no word"),
        ([], "lacks"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        WordTokenizer(words)


def test_numbers_out_of_their_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="minimum_count is 0"):
        WordTokenizer.from_chunks(["a"], minimum_count=0)
    for size in (2, 2**32 + 1):
        with pytest.raises(ConfigError, match=f"vocabulary_size is {size}"):
            WordTokenizer.from_chunks(["a"], vocabulary_size=size)
    with pytest.raises(ConfigError, match="limit is 1"):
        WordCounts(1)
    with pytest.raises(DataError, match="holds no word"):
        WordTokenizer.from_chunks(["  ", "\t"])


def test_a_word_tokenizer_comes_back_from_its_file(tmp_path: Path) -> None:
    tokenizer = WordTokenizer.from_chunks([TEXT + " é \ud800"])
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(loaded, WordTokenizer)
    assert loaded.words == tokenizer.words


@pytest.mark.parametrize(
    "words", [None, 5, "words", ["a", 5], [["a"]], ["<eos>", "<unk>", "a", "a"], ["<eos>"], {"<eos>": 0}]
)
def test_a_damaged_vocabulary_is_an_error(tmp_path: Path, words: object) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"kind": "word", "words": words}))
    with pytest.raises(RunError, match=r"tokenizer\.json is no tokenizer file"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_text_is_prepared_by_words(tmp_path: Path) -> None:
    text = "".join(f"the {i % 7} cats sat on mat {i}\n" for i in range(400))
    prepared = prepare_text(Corpus.from_text(text), tmp_path, tokenizer="word", minimum_count=2)
    whole = np.concatenate([prepared.train, prepared.validation])
    assert len(whole) == 400 * 8
    assert prepared.tokenizer.decode(whole).startswith("the 0 cats sat on mat 0\n")
    assert len(prepared.train) == 2880
    again = open_text(tmp_path, prepared.header)
    assert again.tokenizer.vocabulary_size == prepared.tokenizer.vocabulary_size == 5 + 7 + 2
    small = prepare_text(Corpus.from_text(text), tmp_path, tokenizer="word", vocabulary_size=5)
    assert small.tokenizer.vocabulary_size == 5


def test_memory_stays_bounded_for_a_large_file(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(b"the quick brown fox\n" * 500_000)  # 10 MB
    corpus = Corpus.from_files([tmp_path / "large.txt"])
    tracemalloc.start()
    tokenizer = WordTokenizer.from_chunks(corpus.texts())
    ids = encode_corpus(corpus, tokenizer, tmp_path / "large.ids")
    one_line = tokenizer.encode("the quick brown fox " * 200_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(ids), len(one_line)) == (2_500_000, 800_000)
    assert peak < 16_000_000


def test_the_vocabulary_is_that_of_the_training_text(tmp_path: Path) -> None:
    prepared = prepare_text(
        Corpus.from_text("a b a\n"), tmp_path, tokenizer="word", validation=Corpus.from_text("a c\n")
    )
    assert prepared.tokenizer.decode(prepared.validation) == "a <unk>\n"


def test_options_of_words_are_refused_by_other_tokenizers(tmp_path: Path) -> None:
    corpus = Corpus.from_text("some text")
    with pytest.raises(ConfigError, match="vocabulary_size is 9, but only"):
        prepare_text(corpus, tmp_path, tokenizer="char", vocabulary_size=9)
    with pytest.raises(ConfigError, match="minimum_count is 2, but only"):
        prepare_text(corpus, tmp_path, tokenizer="bpe", minimum_count=2)
    with pytest.raises(ConfigError, match="minimum_count is 0"):
        prepare_text(corpus, tmp_path, tokenizer="word", minimum_count=0)
