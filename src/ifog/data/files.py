"""Encode a corpus into files of ids that are mapped into memory, never loaded.

Owns train.ids and validation.ids: raw little-endian unsigned integers, described by a header in config.json.
Takes a corpus and a tokenizer, gives read-only arrays. Memory stays bounded by one piece of text, whatever the size.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from ifog.data.bpe import BPETokenizer
from ifog.data.corpus import Corpus, Shard
from ifog.data.tokenizers import ByteTokenizer, CharTokenizer, Ids, Tokenizer, id_dtype, load_tokenizer
from ifog.data.words import WordTokenizer
from ifog.errors import ConfigError, DataError, RunError

__all__ = ["TextData", "encode_corpus", "map_ids", "open_text", "prepare_text", "write_ids"]

_COPIED = 1 << 22
_SUBWORDS = 8192
_NAMES = ("train", "validation")


@dataclass(frozen=True)
class TextData:
    """A text ready for training.

    Attributes:
        tokenizer: What made the ids.
        train: Ids to train on, shape (length,), mapped read-only.
        validation: Ids held out, shape (length,), mapped read-only.
        header: What `open_text` needs to map the files again, for config.json.
    """

    tokenizer: Tokenizer
    train: Ids
    validation: Ids
    header: dict[str, Any]


def prepare_text(
    corpus: Corpus,
    directory: str | Path,
    *,
    tokenizer: Literal["char", "byte", "word", "bpe"] | Tokenizer = "char",
    validation: Corpus | None = None,
    validation_fraction: float = 0.1,
    vocabulary_size: int | None = None,
    minimum_count: int | None = None,
) -> TextData:
    """Write tokenizer.json, train.ids and validation.ids into `directory`.

    Args:
        corpus: The text.
        directory: An existing directory, usually the run's.
        tokenizer: "char" takes the alphabet from the text (and the validation text); "word" and "bpe" learn their
            vocabulary from the text alone; "byte" needs none; or a tokenizer.
        validation: A separate text to hold out; without it the end of `corpus` is held out.
        validation_fraction: How much of the end, 0 < fraction < 1.
        vocabulary_size: Largest V of "word" (without it: no limit) or "bpe" (without it: 8,192).
        minimum_count: Words of "word" that occur less often are `<unk>`; without it: 1, which keeps every word.

    Raises:
        DataError: The text is empty, binary, not UTF-8, too short to split, or holds characters unknown to `tokenizer`.
        ConfigError: A number is out of its range, or `tokenizer` has no use for it.
        RunError: The disk is full.
    """
    if not 0 < validation_fraction < 1:
        raise ConfigError(f"validation_fraction is {validation_fraction}; it must lie between 0 and 1, such as 0.1.")
    chosen = _tokenizer(tokenizer, corpus, validation, vocabulary_size, minimum_count)
    folder = Path(directory)
    train, held_out = folder / "train.ids", folder / "validation.ids"
    try:
        count = write_ids(corpus, chosen, train)
        if validation is not None:
            held_out_count = write_ids(validation, chosen, held_out)
        else:
            held_out_count = count - int(count * (1 - validation_fraction))
            count -= held_out_count
            if min(count, held_out_count) < 2:
                raise DataError(
                    f"{corpus.description} has {count + held_out_count} tokens, too few to hold out "
                    f"{validation_fraction:.0%} for validation; give a longer text."
                )
            _move_tail(train, held_out, count * id_dtype(chosen.vocabulary_size).itemsize)
    except OSError as error:
        raise RunError(f"the ids can't be written to {folder}: {error.strerror or error}. Free some space.") from error
    chosen.save(folder / "tokenizer.json")
    header = {
        "dtype": id_dtype(chosen.vocabulary_size).str,
        "train": count,
        "validation": held_out_count,
        "description": corpus.description,
    }
    return open_text(folder, header)


def open_text(directory: str | Path, header: Mapping[str, Any]) -> TextData:
    """Map the files that `prepare_text` wrote.

    Raises:
        RunError: A file is missing, truncated, or doesn't fit the header.
    """
    folder = Path(directory)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    expected = id_dtype(tokenizer.vocabulary_size)
    if header.get("dtype") != expected.str or not all(isinstance(header.get(name), int) for name in _NAMES):
        raise RunError(f"config.json in {folder} doesn't describe its ids; it is damaged. Restore it, or train anew.")
    train, validation = (map_ids(folder / f"{name}.ids", expected, int(header[name])) for name in _NAMES)
    return TextData(tokenizer, train, validation, dict(header))


def encode_corpus(corpus: Corpus, tokenizer: Tokenizer, path: str | Path) -> Ids:
    """Write the ids of a corpus to one file and map it, shape (length,).

    Raises:
        DataError: The text is binary, not UTF-8, or holds characters unknown to `tokenizer`.
        RunError: The disk is full.
    """
    target = Path(path)
    try:
        count = write_ids(corpus, tokenizer, target)
    except OSError as error:
        raise RunError(f"{target} can't be written: {error.strerror or error}. Free some space.") from error
    return map_ids(target, id_dtype(tokenizer.vocabulary_size), count)


def _tokenizer(
    wanted: str | Tokenizer,
    corpus: Corpus,
    validation: Corpus | None,
    vocabulary_size: int | None,
    minimum_count: int | None,
) -> Tokenizer:
    if wanted not in ("bpe", "word") and vocabulary_size is not None:
        raise ConfigError(
            f"vocabulary_size is {vocabulary_size}, but only tokenizer='word' and 'bpe' choose one; leave it out."
        )
    if wanted != "word" and minimum_count is not None:
        raise ConfigError(f"minimum_count is {minimum_count}, but only tokenizer='word' counts words; leave it out.")
    if not isinstance(wanted, str):
        return wanted
    if wanted == "byte":
        return ByteTokenizer()
    if wanted == "word":
        least = 1 if minimum_count is None else minimum_count
        return WordTokenizer.from_chunks(corpus.texts(lines=True), minimum_count=least, vocabulary_size=vocabulary_size)
    if wanted == "bpe":
        size = _SUBWORDS if vocabulary_size is None else vocabulary_size
        return BPETokenizer.from_chunks(corpus.texts(), vocabulary_size=size)
    if wanted != "char":
        raise ConfigError(f"tokenizer is {wanted!r}; known are 'bpe', 'byte', 'char' and 'word'.")
    texts = (text for part in (corpus, validation) if part is not None for text in part.texts())
    return CharTokenizer.from_chunks(texts)


def write_ids(corpus: Corpus, tokenizer: Tokenizer, path: Path, shard: Shard | None = None) -> int:
    """Write the ids of a corpus, or of one shard of it; gives their number. The file appears whole or not at all."""
    temporary = path.with_name(path.name + ".temporary")
    try:
        with temporary.open("wb") as file:
            count = _write(corpus, tokenizer, file, shard)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _write(corpus: Corpus, tokenizer: Tokenizer, file: BinaryIO, shard: Shard | None) -> int:
    count = 0
    if isinstance(tokenizer, ByteTokenizer):
        for blob in corpus.blobs(shard):
            count += file.write(blob)
        return count
    encoder = tokenizer.encoder()
    for text in corpus.texts(shard, lines=isinstance(tokenizer, WordTokenizer)):
        try:
            ids = encoder.feed(text)
        except DataError as error:
            where = "its start" if shard is None else f"byte {shard.start} of file {shard.source + 1}"
            raise DataError(f"{corpus.description}, {count} characters from {where}: {error}") from error
        file.write(ids.tobytes())
        count += len(ids)
    ids = encoder.finish()
    file.write(ids.tobytes())
    return count + len(ids)


def _move_tail(source: Path, target: Path, start: int) -> None:
    with source.open("r+b") as whole, target.open("wb") as tail:
        whole.seek(start)
        while block := whole.read(_COPIED):
            tail.write(block)
        tail.flush()
        os.fsync(tail.fileno())
        whole.truncate(start)


def map_ids(path: Path, dtype: np.dtype[Any], count: int) -> Ids:
    """The ids of one file, shape (count,), mapped read-only.

    Raises:
        RunError: The file is missing, or has another size.
    """
    try:
        size = path.stat().st_size
        if size != count * dtype.itemsize:
            raise RunError(
                f"{path} has {size} bytes, {count * dtype.itemsize} were written: it is truncated or was replaced. "
                f"Restore it from a copy, or train anew."
            )
        return np.memmap(path, dtype=dtype, mode="r", shape=(count,))
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror}. Restore it from a copy, or train anew.") from error
