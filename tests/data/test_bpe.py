"""Byte pairs: any text and any bytes come back, pieces cut anywhere, its file."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifog.data import BPETokenizer, Corpus, load_tokenizer, open_text, prepare_text
from ifog.errors import ConfigError, DataError, RunError

TEXT = 'low lower lowest, newer newest; wide wider widest: "don\'t" 世界 1234\n\n    indented   spaces\tand é\n' * 20
TOKENIZER = BPETokenizer.from_chunks([TEXT], vocabulary_size=300)
ODD = "\u180e\u200b\x1c\x85\xa0\u2028\ufeff"  # spaces to some and not to others


def cut(text: str, seed: int, pieces: int = 6) -> list[str]:
    generator = random.Random(seed)
    ends = sorted(generator.choices(range(len(text) + 1), k=pieces - 1))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@given(st.text())
def test_any_text_comes_back_from_its_ids(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    decoder = TOKENIZER.decoder()
    assert "".join(map(decoder.feed, ids.tolist())) + decoder.finish() == text
    assert TOKENIZER.encode_bytes(text.encode()).tolist() == ids.tolist()


@given(st.binary())
def test_any_bytes_come_back_from_their_ids(content: bytes) -> None:
    ids = TOKENIZER.encode_bytes(content)
    assert TOKENIZER.decode_bytes(ids) == content
    assert TOKENIZER.decode(ids) == content.decode("utf-8", "replace")


def test_learned_pairs_make_a_text_shorter() -> None:
    ids = TOKENIZER.encode(TEXT)
    assert len(ids) < 0.6 * len(TEXT.encode())
    assert TOKENIZER.vocabulary_size == 300
    assert ids.dtype == np.uint16


PARTS = [" ", " ", "  ", "\n", " \n", "\t", " low", " wide", " and", "est", "é", *ODD]  # pairs that were learned


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join), st.integers(0, 99))
def test_pieces_of_any_text_give_the_ids_of_the_whole(text: str, seed: int) -> None:
    import ifog.data.bpe as module

    segment, module._SEGMENT = module._SEGMENT, 8  # as many cuts as can be
    try:
        whole = TOKENIZER.encode(text).tolist()
        encoder = TOKENIZER.encoder()
        made = [*map(encoder.feed, cut(text, seed)), encoder.finish()]
        assert np.concatenate(made).tolist() == whole
    finally:
        module._SEGMENT = segment
    if all(len(stretch) <= 8 for stretch in re.split(r"(?<=\S)(?=[ \n])", text)):
        assert TOKENIZER.encode(text).tolist() == whole  # in one segment


def test_long_text_is_cut_where_it_changes_nothing() -> None:
    text = TEXT * 30
    assert len(text) > 3 << 14
    encoder = TOKENIZER.encoder()
    made = np.concatenate([*map(encoder.feed, cut(text, 5)), encoder.finish()])
    uncut = TOKENIZER._tokenizer.encode(text, add_special_tokens=False).ids
    assert made.tolist() == TOKENIZER.encode(text).tolist() == uncut


def test_a_long_stretch_without_a_space_is_cut_at_the_same_places_in_any_pieces() -> None:
    text = "low " + "lowest" * 9000 + " newest" + "世界" * 9000
    encoder = TOKENIZER.encoder()
    made = np.concatenate([*map(encoder.feed, cut(text, 7, 30)), encoder.finish()])
    assert made.tolist() == TOKENIZER.encode(text).tolist()
    assert TOKENIZER.decode(made) == text


def test_a_character_in_parts_is_held_back() -> None:
    ids = BPETokenizer.from_chunks(["a"], vocabulary_size=256).encode("é!").tolist()
    decoder = BPETokenizer.from_chunks(["a"], vocabulary_size=256).decoder()
    assert [decoder.feed(token) for token in ids] == ["", "é", "!"]
    decoder.feed(ids[0])
    assert decoder.finish() == "\ufffd"


def test_training_does_not_depend_on_the_pieces() -> None:
    other = BPETokenizer.from_chunks(cut(TEXT, 9, 40), vocabulary_size=300)
    assert other.encode(TEXT).tolist() == TOKENIZER.encode(TEXT).tolist()


def test_what_cannot_be_encoded_or_learned_is_refused() -> None:
    with pytest.raises(DataError, match="half of a surrogate pair"):
        TOKENIZER.encode("a \ud800 b")
    with pytest.raises(DataError, match="the id 300 is outside"):
        TOKENIZER.decode([1, 300])
    with pytest.raises(DataError, match="empty"):
        BPETokenizer.from_chunks(["", ""])
    for size in (255, 2**32 + 1):
        with pytest.raises(ConfigError, match=f"vocabulary_size is {size}"):
            BPETokenizer.from_chunks(["a"], vocabulary_size=size)


def test_a_bpe_tokenizer_comes_back_from_its_file(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(loaded, BPETokenizer)
    assert loaded.vocabulary_size == 300
    assert loaded.encode(TEXT).tolist() == TOKENIZER.encode(TEXT).tolist()


def without_a_byte(content: dict[str, Any]) -> None:
    vocabulary = content["model"]["model"]["vocab"]
    gone = vocabulary.pop("!")
    content["model"]["model"]["vocab"] = {text: index - (index > gone) for text, index in vocabulary.items()}


def with_a_gap(content: dict[str, Any]) -> None:
    vocabulary = content["model"]["model"]["vocab"]
    vocabulary[max(vocabulary, key=vocabulary.get)] = 999


def with_a_word_of_no_bytes(content: dict[str, Any]) -> None:
    vocabulary = content["model"]["model"]["vocab"]
    vocabulary["世"] = len(vocabulary)


def with_a_wrong_merge(content: dict[str, Any]) -> None:
    content["model"]["model"]["merges"][0] = ["never", "seen"]


def with_a_normalizer(content: dict[str, Any]) -> None:
    content["model"]["normalizer"] = {"type": "Lowercase"}


def with_other_splits(content: dict[str, Any]) -> None:
    content["model"]["pre_tokenizer"] = {"type": "Whitespace"}


def with_dropout(content: dict[str, Any]) -> None:
    content["model"]["model"]["dropout"] = 0.5


def without_a_model(content: dict[str, Any]) -> None:
    del content["model"]


def with_text_for_a_model(content: dict[str, Any]) -> None:
    content["model"] = "bpe"


@pytest.mark.parametrize(
    "damage",
    [
        without_a_byte,
        with_a_gap,
        with_a_word_of_no_bytes,
        with_a_wrong_merge,
        with_a_normalizer,
        with_other_splits,
        with_dropout,
        without_a_model,
        with_text_for_a_model,
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, damage: Callable[[dict[str, Any]], None]) -> None:
    path = tmp_path / "tokenizer.json"
    TOKENIZER.save(path)
    content = copy.deepcopy(json.loads(path.read_text()))
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"tokenizer\.json is no tokenizer file"):
        load_tokenizer(path)


def test_a_text_is_prepared_by_byte_pairs(tmp_path: Path) -> None:
    prepared = prepare_text(Corpus.from_text(TEXT), tmp_path, tokenizer="bpe", vocabulary_size=300)
    whole = np.concatenate([prepared.train, prepared.validation])
    again = open_text(tmp_path, prepared.header)
    assert again.tokenizer.decode(whole) == TEXT
    assert again.tokenizer.vocabulary_size == 300
