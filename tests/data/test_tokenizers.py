"""Text to ids and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ifog.data import ByteTokenizer, CharTokenizer, Tokenizer, id_dtype, load_tokenizer
from ifog.errors import DataError, RunError


@given(st.text(min_size=1))
def test_any_text_comes_back_from_its_ids(text: str) -> None:
    tokenizers: list[Tokenizer] = [CharTokenizer.from_chunks([text]), ByteTokenizer()]
    for tokenizer in tokenizers:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(torch.from_numpy(ids.astype(np.int64))) == text
        assert tokenizer.encode_bytes(text.encode()).tolist() == ids.tolist()
        decoder = tokenizer.decoder()
        assert "".join(decoder.feed(i) for i in ids.tolist()) + decoder.finish() == text


def test_the_alphabet_is_sorted_by_code_point() -> None:
    tokenizer = CharTokenizer.from_chunks(["hello", "éa\U0001f600"])
    assert tokenizer.alphabet == "aehloé\U0001f600"
    assert tokenizer.vocabulary_size == 7
    assert tokenizer.encode("é\U0001f600a").tolist() == [5, 6, 0]


def test_an_unknown_character_is_named_with_its_position_and_a_remedy() -> None:
    with pytest.raises(DataError, match=r"'ü' \(U\+00FC\) at position 3.*'ehlo'.*--tokenizer byte"):
        CharTokenizer("ehlo").encode("helüü")


def test_an_alphabet_that_is_empty_or_repeats_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        CharTokenizer("")
    with pytest.raises(DataError, match="'a' twice"):
        CharTokenizer("abca")


@pytest.mark.parametrize("ids", [[-1], [4], [0, 300]])
def test_an_id_outside_the_vocabulary_is_an_error(ids: list[int]) -> None:
    with pytest.raises(DataError, match=r"outside 0 \.\.\. 3"):
        CharTokenizer("ehlo").decode(ids)
    if max(ids) > 255:
        with pytest.raises(DataError, match="255"):
            ByteTokenizer().decode(ids)


def test_bytes_that_are_no_text_decode_to_replacement_signs() -> None:
    assert ByteTokenizer().decode([0xC3, 0x28]) == "�("
    decoder = ByteTokenizer().decoder()
    assert decoder.feed(0xC3) == ""
    assert decoder.finish() == "�"


def test_the_smallest_type_that_holds_every_id_is_taken() -> None:
    sizes = (1, 256, 257, 65536, 65537)
    assert [id_dtype(size).str for size in sizes] == ["|u1", "|u1", "<u2", "<u2", "<u4"]
    wide = CharTokenizer("".join(map(chr, range(0x100, 0x100 + 300))))
    assert wide.encode("Āā").dtype == np.uint16


@pytest.mark.parametrize("tokenizer", [CharTokenizer("aé\n\ud800\U0001f600"), ByteTokenizer()])
def test_a_tokenizer_comes_back_from_its_file(tmp_path: Path, tokenizer: CharTokenizer | ByteTokenizer) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = load_tokenizer(path)
    assert type(loaded) is type(tokenizer)
    assert loaded.vocabulary_size == tokenizer.vocabulary_size
    if isinstance(loaded, CharTokenizer) and isinstance(tokenizer, CharTokenizer):
        assert loaded.alphabet == tokenizer.alphabet


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"kind": "char"}',
        b'{"kind": "char", "alphabet": 5}',
        b'{"kind": "word"}',
        b"\xff",
        b'{"kind": "char", "alphabet": ""}',
        b'{"kind": []}',
    ],
)
def test_a_damaged_tokenizer_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"tokenizer\.json"):
        load_tokenizer(path)
