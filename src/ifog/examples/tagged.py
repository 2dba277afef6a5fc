"""Files of sentences whose words carry tags: CoNLL columns, CoNLL-U and JSON lines, gzipped or not.

Owns their reading and writing. Takes paths, gives a `Table` with the columns "words", "tags" and "original", which has
every line, so that writing gives the same file back with predictions in it. Never encodes and never mends a tag.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ifog.errors import ConfigError, DataError
from ifog.examples.plain import excerpt, json_of, lines_of
from ifog.examples.tables import Table
from ifog.writing import write_atomically

__all__ = ["PREDICTED", "PROBABILITY", "Original", "layout_of", "read_tagged", "where_word", "write_tagged"]

Layout = Literal["columns", "conllu", "jsonl"]
Mark = Literal["word", "beside", "end", "document"]

PREDICTED = "predicted"
PROBABILITY = "probability"  # of each predicted tag
_FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")  # of CoNLL-U
_DOCUMENT = "-DOCSTART-"  # begins a document in files of columns; no word


@dataclass(frozen=True)
class Original:
    """A sentence as its file has it.

    Attributes:
        layout: of the file.
        first: the number of the first line, from 1.
        lines: with their ends: words, comments, blank lines, beginnings of documents.
        words: which of the lines hold a word, from 0.
        tags: the name of the column that the tags are in.
    """

    layout: Layout
    first: int
    lines: tuple[str, ...]
    words: tuple[int, ...]
    tags: str


def read_tagged(
    paths: str | Path | Sequence[str | Path],
    *,
    words: str | None = None,
    tags: str | None = None,
    labelled: bool = True,
) -> Table:
    """The sentences of files that are all of one layout, which their names tell.

    `.conllu` is CoNLL-U: multiword ranges, empty nodes and comments are no words, but kept. `.jsonl` has an object with
    lists of strings on each line. Anything else has a word per line, in columns that blanks or tabs part, and a blank
    line after each sentence; a line with `-DOCSTART-` is no word. `.gz` after any of these is unpacked.

    Args:
        paths: the files.
        words: the column of the words. In CoNLL-U a field ("form"), in JSON lines a name ("words"), in columns a number
            from 1 ("1").
        tags: the column of the tags: "upos", "tags", or the number of the last column.
        labelled: whether there must be tags; otherwise they aren't read.

    Returns:
        "words" and "tags", lists of strings, and "original", an `Original`, for each sentence.

    Raises:
        DataError: a file that can't be read, is empty, or lacks a column; a word without a tag; columns or tags of
            another number than before. Names file and line.
        ConfigError: a column that the layout can't have, or files of several layouts.
    """
    names = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    layouts = {layout_of(name) for name in names}
    if len(layouts) != 1:
        raise ConfigError(f"{', '.join(names) or 'no files'}: give files of one layout, not {sorted(layouts)}.")
    found: dict[str, list[Any]] = {"words": [], "original": []} | ({"tags": []} if labelled else {})
    places: list[tuple[str, int]] = []
    read = _read_jsonl if layouts == {"jsonl"} else _read_conllu if layouts == {"conllu"} else _read_columns
    for name in names:
        before = len(places)
        for sentence, marked, original in read(name, words, tags, labelled):
            found["words"].append(sentence)
            found["original"].append(original)
            if labelled:
                found["tags"].append(marked)
            places.append((name, original.first + (original.words[0] if original.words else 0)))
        if len(places) == before:
            raise DataError(f"{name}: there is no sentence in it; give a file with words.")
    return Table(found, places)


def layout_of(path: str | Path) -> Layout:
    """What a file's name says of its layout.

    Examples:
        >>> layout_of("en.conllu.gz"), layout_of("eng.train")
        ('conllu', 'columns')
    """
    name = str(path).lower().removesuffix(".gz")
    return "conllu" if name.endswith(".conllu") else "jsonl" if name.endswith((".jsonl", ".ndjson")) else "columns"


def where_word(table: Table, row: int, word: int) -> str:
    """The place of a sentence's word for a message: "eng.train:12", or "tags.jsonl:3, word 5".

    Args:
        table: as `read_tagged` gives it, or any other with lists of words.
        row: of the sentence.
        word: its number, from 0.
    """
    original = cast("Original | None", table.columns["original"][row] if "original" in table.columns else None)
    if original is None or not original.words:
        return f"{table.where(row)}, word {word + 1}"
    return f"{table.places[row][0]}:{original.first + original.words[word]}"


# --- files with a word per line ---------------------------------------------------------------------------------------

Read = Iterable[tuple[list[str], list[str], Original]]


def _read_columns(name: str, words: str | None, tags: str | None, labelled: bool) -> Read:
    width = 0
    word = _number("words", words or "1")
    for first, block, rows in _blocks(lines_of(name), _mark_column):
        fields: list[list[str]] = []
        for row in rows:
            line, parts = first + row, _columns(block[row])
            if not width:
                width = len(parts)
                tag = _number("tags", tags) if tags else width
                _check_columns(f"{name}:{line}", width, word, tag, tags is None, labelled)
            if len(parts) != width:
                raise DataError(
                    f"{name}:{line}: {len(parts)} columns where the lines before have {width}; give one word per line, "
                    "each with all columns, and a blank line between sentences."
                )
            tag = _number("tags", tags) if tags else width
            _check_filled(f"{name}:{line}", parts[word - 1], parts[tag - 1] if labelled else None)
            fields.append(parts)
        tag = _number("tags", tags) if tags else width
        yield (
            [parts[word - 1] for parts in fields],
            [parts[tag - 1] for parts in fields] if labelled else [],
            Original("columns", first, tuple(block), tuple(rows), tags or str(width)),
        )


def _check_columns(where: str, width: int, word: int, tag: int, last: bool, labelled: bool) -> None:
    if labelled and last and tag == word:
        raise DataError(
            f"{where}: one column, but tags are to be learned from another one; give a word and its tag on each line, "
            "with a blank or a tab between them."
        )
    for column, number in (("words", word), *([("tags", tag)] if labelled else [])):
        if number > width:
            raise DataError(
                f"{where}: there is no column {number} for the {column}, the line has {width}; columns count from 1."
            )


def _check_filled(where: str, word: str, tag: str | None) -> None:
    if not word or tag == "":
        lacking = f"the word {excerpt(word)} has an empty tag" if word else "a word is empty"
        raise DataError(f"{where}: {lacking}; fill it in, or leave the word out.")


def _number(option: str, text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise ConfigError(f"{option} is {excerpt(text)}, but columns without names are numbered; give 1 for the first.")
    return int(text)


def _columns(line: str) -> list[str]:
    """A line's columns, between tabs where it has some, else between blanks."""
    body = line.rstrip("\r\n")
    return body.split("\t") if "\t" in body else [part for part in body.split(" ") if part]


def _mark_column(line: str) -> Mark:
    if not line.strip(" \t\r\n"):
        return "end"
    return "document" if _columns(line)[0] == _DOCUMENT else "word"


def _read_conllu(name: str, words: str | None, tags: str | None, labelled: bool) -> Read:
    word, tag = _field("words", words or "form"), _field("tags", tags or "upos")
    for first, block, rows in _blocks(lines_of(name), _mark_conllu):
        fields: list[list[str]] = []
        for row in rows:
            where, parts = f"{name}:{first + row}", block[row].rstrip("\r\n").split("\t")
            if len(parts) != len(_FIELDS):
                raise DataError(
                    f"{where}: {len(parts)} fields between tabs, but a word of CoNLL-U has {len(_FIELDS)}: "
                    f"{', '.join(_FIELDS)}."
                )
            if parts[0] != str(len(fields) + 1):
                raise DataError(
                    f"{where}: the word's id is {excerpt(parts[0])} where {len(fields) + 1} comes next; number the "
                    "words of each sentence from 1 and put a blank line between sentences."
                )
            if labelled and tag == _FIELDS.index("upos") and parts[tag] == "_":
                raise DataError(
                    f"{where}: the word {excerpt(parts[word])} has no tag (upos is _); tag it, or leave it out."
                )
            _check_filled(where, parts[word], parts[tag] if labelled else None)
            fields.append(parts)
        yield (
            [parts[word] for parts in fields],
            [parts[tag] for parts in fields] if labelled else [],
            Original("conllu", first, tuple(block), tuple(rows), _FIELDS[tag]),
        )


def _field(option: str, name: str) -> int:
    if name not in _FIELDS:
        raise ConfigError(f"{option} is {name!r}, but the fields of CoNLL-U are {', '.join(_FIELDS)}.")
    return _FIELDS.index(name)


def _mark_conllu(line: str) -> Mark:
    if not line.strip():
        return "end"
    beside = line.startswith("#") or re.match(r"\d+[-.]\d+\t", line)
    return "beside" if beside else "word"


def _blocks(lines: Iterable[str], mark: Callable[[str], Mark]) -> list[tuple[int, list[str], list[int]]]:
    """The sentences: the number of the first line, the lines, and which of them are words.

    Every line is in exactly one: what stands before a sentence's first word belongs to it, and what stands after the
    last sentence to that one.
    """
    blocks: list[tuple[int, list[str], list[int]]] = []
    first, block, rows = 1, list[str](), list[int]()
    for number, line in enumerate(lines, 1):
        kind = mark(line)
        if kind == "document" and rows:
            blocks.append((first, block, rows))
            first, block, rows = number, [], []
        if kind == "word":
            rows.append(len(block))
        block.append(line)
        if kind == "end" and rows:
            blocks.append((first, block, rows))
            first, block, rows = number + 1, [], []
    if rows:
        blocks.append((first, block, rows))
    elif blocks:
        blocks[-1][1].extend(block)
    return blocks


# --- JSON lines -------------------------------------------------------------------------------------------------------


def _read_jsonl(name: str, words: str | None, tags: str | None, labelled: bool) -> Read:
    for number, line in enumerate(lines_of(name), 1):
        where = f"{name}:{number}"
        if not line.strip():
            continue
        row = json_of(where, line)
        if not isinstance(row, dict):
            raise DataError(f'{where}: no object; give lines such as {{"words": ["Hello"], "tags": ["INTJ"]}}.')
        values = cast("dict[str, Any]", row)
        sentence = _strings(where, values, words or "words")
        if not sentence:
            raise DataError(f"{where}: no words; leave the line out.")
        marked = _strings(where, values, tags or "tags") if labelled else []
        if labelled and len(marked) != len(sentence):
            raise DataError(f"{where}: {len(marked)} tags for {len(sentence)} words; give each word one tag.")
        for number_of_word, word in enumerate(sentence):
            _check_filled(where, word, marked[number_of_word] if labelled else None)
        yield sentence, marked, Original("jsonl", number, (line,), (), tags or "tags")


def _strings(where: str, row: dict[str, Any], name: str) -> list[str]:
    if name not in row:
        raise DataError(f"{where}: there is no column {name!r}; the object has {', '.join(map(repr, row)) or 'none'}.")
    values = row[name]
    strings = cast("list[Any]", values) if isinstance(values, list) else None
    if strings is None or not all(isinstance(value, str) for value in strings):
        raise DataError(f"{where}: {name!r} is {json.dumps(values)[:60]}; give a list of strings, one for each word.")
    return strings


# --- writing ----------------------------------------------------------------------------------------------------------


def write_tagged(table: Table, path: str | Path, *, predicted: str | None = PREDICTED) -> None:
    """Write sentences with their predicted tags, in the layout that the file's name tells.

    Where the table was read from files of that layout, all their lines come back. Predictions are one more column at
    the line's end (as conlleval reads it), one more name in an object, and in CoNLL-U, which has no more fields, they
    take the place of the tags (as the scripts of Universal Dependencies compare them). Their probabilities, where the
    table has some, go into JSON lines alone.

    Args:
        table: with "words", perhaps "tags" and "original".
        path: where to; ".gz" packs.
        predicted: the column of the predicted tags; None: there are none, the sentences are written as they are.

    Raises:
        ConfigError: there are probabilities, and the layout has no place for them.
        DataError: the table has no predictions, or of another number than words.
        OSError: the disk is full or can't be written.
    """
    layout, lines = layout_of(path), list[str]()
    sure = cast("Sequence[Sequence[float]] | None", table.columns.get(PROBABILITY))
    if sure is not None and layout != "jsonl":
        raise ConfigError(f"{path}: only JSON lines hold probabilities; give a name that ends in .jsonl.")
    made = None if predicted is None else cast("Sequence[Sequence[str]]", table.column(predicted))
    for row, words in enumerate(cast("Sequence[Sequence[str]]", table.column("words"))):
        if made is not None and len(made[row]) != len(words):
            raise DataError(f"{table.where(row)}: {len(made[row])} predicted tags for {len(words)} words.")
        original = cast("Original | None", table.columns["original"][row] if "original" in table.columns else None)
        if original is None or original.layout != layout:
            original = _original(layout, words, table.columns["tags"][row] if "tags" in table.columns else None)
        if made is None:
            lines += original.lines
        elif layout == "jsonl":
            probabilities = {} if sure is None else {PROBABILITY: list(sure[row])}
            found = json.loads(original.lines[0]) | {predicted or PREDICTED: list(made[row])} | probabilities
            lines.append(json.dumps(found, ensure_ascii=False) + "\n")
        else:
            lines += _with_predictions(original, made[row])
    content = "".join(lines).encode()
    target = Path(path)
    write_atomically(target, gzip.compress(content, mtime=0) if target.suffix.lower() == ".gz" else content)


def _original(layout: Layout, words: Sequence[str], tags: Sequence[str] | None) -> Original:
    """How a file could have had a sentence."""
    if layout == "jsonl":
        row = {"words": list(words)} | ({} if tags is None else {"tags": list(tags)})
        return Original(layout, 1, (json.dumps(row, ensure_ascii=False) + "\n",), (), "tags")
    known = ["_"] * len(words) if tags is None else tags
    if layout == "conllu":
        made = [f"{n}\t{word}\t_\t{tag}" + "\t_" * 6 for n, (word, tag) in enumerate(zip(words, known, strict=True), 1)]
    else:
        made = list(words) if tags is None else [f"{word}\t{tag}" for word, tag in zip(words, known, strict=True)]
    return Original(layout, 1, (*(line + "\n" for line in made), "\n"), tuple(range(len(words))), "upos")


def _with_predictions(original: Original, made: Sequence[str]) -> Iterable[str]:
    lines = list(original.lines)
    for number, tag in zip(original.words, made, strict=True):
        line = lines[number]
        body = line.rstrip("\r\n")
        if original.layout == "conllu":
            fields = body.split("\t")
            fields[_FIELDS.index(original.tags)] = tag
            lines[number] = "\t".join(fields) + line[len(body) :]
        else:
            lines[number] = body + ("\t" if "\t" in body else " ") + tag + line[len(body) :]
    return lines
