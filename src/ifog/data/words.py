"""Turn text into ids of words and back, with a vocabulary counted in one pass.

Owns the word tokenizer, the counting of words within bounded memory, and the two words that are no words: `<unk>` for
what the vocabulary lacks, `<eos>` for a line's end. Takes text in pieces, gives ids that are ranks by frequency.
Never reads a file and never changes a word: cases and marks are the corpus's affair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from ifog.data.tokenizers import Decoder, Encoder, Ids, checked_ids, id_dtype, joined, write_tokenizer
from ifog.errors import ConfigError, DataError

__all__ = ["COUNTED", "END", "UNKNOWN", "WordCounts", "WordTokenizer"]

UNKNOWN = "<unk>"
END = "<eos>"

_LONGEST = 4096  # characters; what is longer is no word, and must not have to fit into memory
_PIECE = 1 << 18
COUNTED = 4_000_000  # different words held while counting: about 0.7 GB of dictionary


class WordCounts:
    r"""How often each word occurs, counted in one pass with bounded memory.

    Once more than `limit` different words are held, the rarer half is forgotten, as in lossy counting (Manku and
    Motwani 2002). A word may then be counted too low, by at most `undercount`; a word more frequent than that is never
    missed. Without pruning, counts are exact and `undercount` is 0.

    Args:
        limit: Different words to hold.

    Attributes:
        counts: The words held and their counts; `<eos>` counts line ends.
        total: Words read, line ends among them.
        undercount: What a count can lack at most.

    Examples:
        >>> counted = WordCounts()
        >>> counted.read(["to be or n", "ot to be\n"])
        >>> sorted(counted.counts.items())
        [('<eos>', 1), ('be', 2), ('not', 1), ('or', 1), ('to', 2)]
    """

    def __init__(self, limit: int = COUNTED) -> None:
        if limit < 2:
            raise ConfigError(f"limit is {limit}; counting words needs room for at least 2 of them.")
        self.limit = limit
        self.counts: Counter[str] = Counter()
        self.total = 0
        self.undercount = 0

    def read(self, texts: Iterable[str]) -> None:
        """Count a text's words; pieces may be cut anywhere."""
        splitter = _Splitter()
        for text in texts:
            for words in splitter.feed(text):
                self._add(words)
        self._add(splitter.finish())

    def _add(self, words: list[str]) -> None:
        self.counts.update(words)
        self.total += len(words)
        if len(self.counts) > self.limit:
            self._prune()

    def _prune(self) -> None:
        counts = np.fromiter(self.counts.values(), np.int64, len(self.counts))
        bound = int(np.partition(counts, len(counts) // 2)[len(counts) // 2])
        self.counts = Counter({word: count for word, count in self.counts.items() if count > bound})
        self.undercount += bound


class WordTokenizer:
    r"""One id per word of a vocabulary; words are what stands between whitespace, and each line's end is `<eos>`.

    These are the conventions of Penn Treebank and WikiText: every line end counts, an empty line's too; a last line
    without a line end gets none. A word that the vocabulary lacks, or one longer than 4,096 characters, is `<unk>`.
    Decoding gives single spaces and no space at a line's ends. The text's own words `<unk>` and `<eos>`, where it has
    them, are those two.

    Args:
        words: The vocabulary; id i is the i-th. Each once, without whitespace, `<unk>` and `<eos>` among them.

    Raises:
        DataError: A word that is empty, holds whitespace or occurs twice, or `<unk>` or `<eos>` is missing.

    Examples:
        >>> tokenizer = WordTokenizer.from_chunks(["the cat saw the d", "og\nthe dog ran\n"])
        >>> tokenizer.words
        ['the', '<eos>', 'dog', 'cat', 'ran', 'saw', '<unk>']
        >>> tokenizer.encode("the dog saw  a cat\n").tolist()
        [0, 2, 5, 6, 3, 1]
        >>> tokenizer.decode([0, 2, 5, 6, 3, 1])
        'the dog saw <unk> cat\n'
    """

    kind = "word"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        if wrong := [word for word in self.words if word.split() != [word] or len(word) > _LONGEST]:
            raise DataError(
                f"the vocabulary holds {wrong[0][:80]!r}, which is no word: it is empty, holds whitespace or has more "
                f"than {_LONGEST} characters; leave it out."
            )
        self._table = {word: index for index, word in enumerate(self.words)}
        if len(self._table) != len(self.words):
            twice = next(word for index, word in enumerate(self.words) if self._table[word] != index)
            raise DataError(f"the vocabulary holds {twice!r} twice; give each word once.")
        if missing := [word for word in (UNKNOWN, END) if word not in self._table]:
            raise DataError(f"the vocabulary lacks {missing[0]!r}, which every vocabulary of words needs; add it.")
        self.dtype = id_dtype(len(self.words))
        self.unknown, self.end = self._table[UNKNOWN], self._table[END]

    @classmethod
    def from_chunks(
        cls,
        chunks: Iterable[str],
        *,
        minimum_count: int = 1,
        vocabulary_size: int | None = None,
        limit: int = COUNTED,
    ) -> WordTokenizer:
        """The vocabulary of a text, the most frequent word first, equally frequent ones in the order of code points.

        The order makes ids ranks, as adaptive and sampled softmax want them. `<unk>` has the rank of all the words that
        it stands for.

        Args:
            chunks: The text, in pieces that may be cut anywhere.
            minimum_count: Words that occur less often are left out.
            vocabulary_size: Largest number of words V, `<unk>` and `<eos>` included; None: all.
            limit: Different words held while counting, see `WordCounts`.

        Raises:
            ConfigError: A number is out of its range.
            DataError: The text holds no word.
        """
        if minimum_count < 1:
            raise ConfigError(f"minimum_count is {minimum_count}; give 1 (every word is kept) or more.")
        if vocabulary_size is not None and not 3 <= vocabulary_size <= 2**32:
            raise ConfigError(
                f"vocabulary_size is {vocabulary_size}; give at least 3 (<unk>, <eos> and a word) and at most 2**32."
            )
        counted = WordCounts(limit)
        counted.read(chunks)
        return cls.from_counts(counted, minimum_count=minimum_count, vocabulary_size=vocabulary_size)

    @classmethod
    def from_counts(
        cls, counted: WordCounts, *, minimum_count: int = 1, vocabulary_size: int | None = None
    ) -> WordTokenizer:
        """The same from words already counted; see `from_chunks`."""
        if not counted.total:
            raise DataError("the text holds no word to make a vocabulary of; give a longer text.")
        counts = counted.counts
        ranked = sorted(
            (word for word, count in counts.items() if count >= minimum_count and word not in (UNKNOWN, END)),
            key=lambda word: (-counts[word], word),
        )
        kept = ranked if vocabulary_size is None else ranked[: vocabulary_size - 2]
        known = {word: counts[word] for word in kept} | {END: counts[END]}
        known[UNKNOWN] = counted.total - sum(known.values())
        return cls(sorted(known, key=lambda word: (-known[word], word)))

    @property
    def vocabulary_size(self) -> int:
        """Number of words V."""
        return len(self.words)

    def encode(self, text: str) -> Ids:
        """Text to ids, shape (length,)."""
        encoder = self.encoder()
        return joined([encoder.feed(text), encoder.finish()], self.dtype)

    def encode_bytes(self, content: bytes) -> Ids:
        """UTF-8 to ids, shape (length,)."""
        return self.encode(content.decode("utf-8"))

    def encoder(self) -> Encoder:
        """A new encoder for a text in pieces."""
        return _WordEncoder(self)

    def ids_of(self, words: Sequence[str]) -> Ids:
        """Words to ids, shape (length,); what the vocabulary lacks is `<unk>`."""
        return np.fromiter(map(self._table.get, words, repeat(self.unknown)), self.dtype, len(words))

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text: single spaces between words, and a line end for `<eos>`.

        Raises:
            DataError: An id is outside 0 ... V - 1.
        """
        decoder = self.decoder()
        return "".join(map(decoder.feed, checked_ids(ids, self.vocabulary_size).tolist()))

    def decoder(self) -> Decoder:
        """A new streaming decoder."""
        return _WordDecoder(self.words, self.end)

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json atomically."""
        write_tokenizer(path, {"kind": self.kind, "words": self.words})


class _Splitter:
    """Cuts pieces of text into words; a word cut by the end of a piece waits for the next one."""

    def __init__(self) -> None:
        self._begun = ""

    def feed(self, text: str) -> Iterator[list[str]]:
        for start in range(0, len(text), _PIECE):
            piece = self._begun + text[start : start + _PIECE]
            words = piece.replace("\n", f" {END} ").split()
            # one character too many tells a word that is too long as well as all of them would
            self._begun = "" if piece[-1].isspace() else words.pop()[: _LONGEST + 1]
            yield _without_overlong(words)

    def finish(self) -> list[str]:
        begun, self._begun = self._begun, ""
        return _without_overlong([begun]) if begun else []


def _without_overlong(words: list[str]) -> list[str]:
    if max(map(len, words), default=0) <= _LONGEST:
        return words
    return [word if len(word) <= _LONGEST else UNKNOWN for word in words]


class _WordEncoder:
    def __init__(self, tokenizer: WordTokenizer) -> None:
        self._tokenizer = tokenizer
        self._splitter = _Splitter()

    def feed(self, text: str) -> Ids:
        pieces = [self._tokenizer.ids_of(words) for words in self._splitter.feed(text)]
        return joined(pieces, self._tokenizer.dtype)

    def finish(self) -> Ids:
        return self._tokenizer.ids_of(self._splitter.finish())


class _WordDecoder:
    def __init__(self, words: Sequence[str], end: int) -> None:
        self._words, self._end = words, end
        self._separator = ""

    def feed(self, token: int) -> str:
        if token == self._end:
            self._separator = ""
            return "\n"
        text = self._separator + self._words[token]
        self._separator = " "
        return text

    def finish(self) -> str:
        return ""
