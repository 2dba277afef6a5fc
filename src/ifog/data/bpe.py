"""Turn text into ids of byte pairs and back: subwords learned from a corpus, in which any text can be said.

Owns the byte-pair tokenizer: its training through the `tokenizers` library, where a text in pieces can be cut, and its
way from ids back to bytes. Takes text or bytes, gives ids. Never reads a file.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from ifog.data.tokenizers import Decoder, Encoder, Ids, checked_ids, id_dtype, joined, write_tokenizer
from ifog.errors import ConfigError, DataError

__all__ = ["BPETokenizer"]

_SEGMENT = 1 << 14  # characters encoded at once; a stretch without any space is cut at as many
_PIECE = 1 << 20
_INVALID = re.compile("[\udc80-\udcff]+")
# No subword holds a space after anything else, so cutting there changes no id; see
# test_pieces_of_any_text_give_the_ids_of_the_whole.
_CUT = re.compile(r"[\s\S]*\S(?=[ \n])")


class BPETokenizer:
    """Byte pairs: the most frequent neighbours among bytes, merged again and again (Sennrich et al. 2016).

    The 256 bytes are part of every vocabulary (byte-level BPE, Radford et al. 2019), so any text comes back from its
    ids, bytes that are no UTF-8 too. A stretch of more than 16,384 characters without a space is cut there.

    Args:
        model: What `tokenizers.Tokenizer.to_str` wrote for a byte-level model, as JSON.

    Raises:
        DataError: The JSON is no byte-level model.

    Examples:
        >>> tokenizer = BPETokenizer.from_chunks(["low lower lowest newest widest"] * 9, vocabulary_size=270)
        >>> tokenizer.decode(tokenizer.encode("lowest é"))
        'lowest é'
        >>> len(tokenizer.encode("lowest")) < 6
        True
    """

    kind = "bpe"

    def __init__(self, model: str) -> None:
        try:
            self._tokenizer: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(model)
        except Exception as error:  # the library raises nothing more special
            raise DataError(f"the byte-pair model can't be read: {error}") from error
        _check_parts(json.loads(model))
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise DataError(f"the byte-pair model's ids aren't 0 ... {len(vocabulary) - 1}, each once")
        try:
            table = {index: bytes(_BYTES[sign] for sign in text) for text, index in vocabulary.items()}
        except KeyError as error:
            raise DataError(f"the byte-pair model's vocabulary holds {error.args[0]!r}, which is no byte") from error
        self._pieces = [table[index] for index in range(len(table))]
        self._single = {piece[0]: index for index, piece in table.items() if len(piece) == 1}
        if len(self._single) != 256:
            raise DataError(f"the byte-pair model holds {len(self._single)} of the 256 bytes, so some text has no ids")
        self.dtype = id_dtype(len(table))

    @classmethod
    def from_chunks(cls, chunks: Iterable[str], *, vocabulary_size: int = 8192) -> BPETokenizer:
        """Learn the pairs of a text, which is read once, piece by piece.

        Memory grows with the number of different words. A short text may have too few pairs that occur twice, and the
        vocabulary then stays smaller.

        Args:
            chunks: The text, in pieces that may be cut anywhere.
            vocabulary_size: Number of subwords V, the 256 bytes included.

        Raises:
            ConfigError: The size is not in 256 ... 2**32.
            DataError: The text is empty.
        """
        if not 256 <= vocabulary_size <= 2**32:
            raise ConfigError(
                f"vocabulary_size is {vocabulary_size}; byte pairs begin with the 256 bytes, "
                f"so give more than 256, such as 8192, and at most 2**32."
            )
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=sorted(_BYTES),
        )
        read = _Counted(_segments(chunks))
        tokenizer.train_from_iterator(read, trainer)
        if not read.count:
            raise DataError("the text is empty; byte pairs are learned from a text, so give one.")
        return cls(tokenizer.to_str())

    @property
    def vocabulary_size(self) -> int:
        """Number of subwords V."""
        return len(self._pieces)

    def encode(self, text: str) -> Ids:
        """Text to ids, shape (length,)."""
        encoder = self.encoder()
        return joined([encoder.feed(text), encoder.finish()], self.dtype)

    def encode_bytes(self, content: bytes) -> Ids:
        """Bytes to ids, shape (length,); what is no UTF-8 becomes the ids of its bytes."""
        return self.encode(content.decode("utf-8", "surrogateescape"))

    def encoder(self) -> Encoder:
        """A new encoder for a text in pieces."""
        return _BPEEncoder(self)

    def encode_segments(self, segments: Iterable[str]) -> Ids:
        """The ids of texts one after another, shape (length,).

        Raises:
            DataError: Half a surrogate pair, which stands for no character and no byte.
        """
        ids: list[Ids] = []
        valid: list[str] = []
        for segment in segments:
            if segment.isascii():
                valid.append(segment)
                continue
            position = 0
            for invalid in _INVALID.finditer(segment):
                valid.append(segment[position : invalid.start()])
                ids += [self._encode_valid(valid), self._encode_single(invalid[0])]
                valid, position = [], invalid.end()
            valid.append(segment[position:])
        ids.append(self._encode_valid(valid))
        return joined(ids, self.dtype)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text; bytes that are no UTF-8 become replacement signs.

        Raises:
            DataError: An id is outside 0 ... V - 1.
        """
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Ids to the very bytes that were encoded.

        Raises:
            DataError: An id is outside 0 ... V - 1.
        """
        return b"".join(map(self._pieces.__getitem__, checked_ids(ids, self.vocabulary_size).tolist()))

    def decoder(self) -> Decoder:
        """A new streaming decoder, which holds back a character's bytes until they are complete."""
        return _BPEDecoder(self._pieces)

    def to_dict(self) -> dict[str, Any]:
        """The byte-pair model as JSON values; as text it makes the same tokenizer again."""
        return json.loads(self._tokenizer.to_str())

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json atomically."""
        write_tokenizer(path, {"kind": self.kind, "model": self.to_dict()})

    def _encode_valid(self, texts: list[str]) -> Ids:
        try:
            encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError as error:  # what the library says to a text that UTF-8 can't say
            raise DataError(
                "the text holds half of a surrogate pair, which is no character; leave it out, "
                "or encode the text with errors='replace' first."
            ) from error
        count = sum(len(one) for one in encoded)
        return np.fromiter((index for one in encoded for index in one.ids), self.dtype, count)

    def _encode_single(self, escaped: str) -> Ids:
        return np.array([self._single[byte] for byte in escaped.encode("utf-8", "surrogateescape")], self.dtype)


def _byte_signs() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte: itself, or the next one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}


_BYTES = _byte_signs()


def _check_parts(content: dict[str, Any]) -> None:
    """Nothing but bytes and merges: other parts could lose text, or make ids depend on where it is cut."""
    extra = [name for name in ("normalizer", "post_processor", "added_tokens", "truncation") if content.get(name)]
    if extra:
        raise DataError(f"the byte-pair model has a {extra[0]}, which byte-level ids can't have")
    split = cast("dict[str, Any]", content.get("pre_tokenizer") or {})
    if (split.get("type"), split.get("add_prefix_space"), split.get("use_regex")) != ("ByteLevel", False, True):
        raise DataError(f"the byte-pair model splits text by {split or 'nothing'}, not by bytes of words")
    if content["model"].get("type") != "BPE" or content["model"].get("dropout"):
        raise DataError("the model isn't one of byte pairs without dropout")


def _split(text: str, last: bool) -> tuple[list[str], str]:
    """Segments whose ids don't depend on their neighbours, and the rest that waits for the next piece."""
    segments: list[str] = []
    start = 0
    while len(text) - start > _SEGMENT:
        cut = _CUT.match(text, start, start + _SEGMENT + 1)
        stop = cut.end() if cut else start + _SEGMENT
        segments.append(text[start:stop])
        start = stop
    if last and start < len(text):
        segments.append(text[start:])
        start = len(text)
    return segments, text[start:]


def _segments(texts: Iterable[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        segments, rest = _split(rest + text, last=False)
        yield from segments
    yield from _split(rest, last=True)[0]


class _Counted:
    """An iterator that remembers how much it gave."""

    def __init__(self, items: Iterator[str]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        item = next(self._items)
        self.count += 1
        return item


class _BPEEncoder:
    def __init__(self, tokenizer: BPETokenizer) -> None:
        self._tokenizer = tokenizer
        self._rest = ""

    def feed(self, text: str) -> Ids:
        made: list[Ids] = []
        for start in range(0, len(text), _PIECE):
            segments, self._rest = _split(self._rest + text[start : start + _PIECE], last=False)
            made.append(self._tokenizer.encode_segments(segments))
        return joined(made, self._tokenizer.dtype)

    def finish(self) -> Ids:
        segments, self._rest = _split(self._rest, last=True)
        return self._tokenizer.encode_segments(segments)


class _BPEDecoder:
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        return self._decoder.decode(self._pieces[token])

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)
