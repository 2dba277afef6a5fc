r"""Texts of pairs, for models that write what a title asks for: the title, a separator, the text, an end.

Owns the form of such a record, the two characters that mark it, and where pairs come from: the documented functions of
this machine's Python, or a user's JSON lines. Takes files, gives text. Never encodes and never knows a model.

A record is `title \n SEPARATOR \n text \n END \n`. The marks are control characters to which ASCII gave this very
meaning ("start of text" ends a heading, "end of text" what follows it), so that no ordinary text holds them. Each
stands on a line of its own, which makes it one token for every tokenizer: a character, a byte, a word, and a piece that
no byte pair merges with its neighbours. (The separators U+001C to U+001F would vanish with words: Python takes them for
white space.)
"""

from __future__ import annotations

import ast
import json
import random
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

from ifog.errors import DataError
from ifog.writing import write_atomically

__all__ = ["END", "SEPARATOR", "Pair", "documented_functions", "opening", "read_pairs", "record", "write_pairs"]

SEPARATOR = "\x02"
END = "\x03"

_SKIPPED = frozenset({"idle_test", "lib2to3", "site-packages", "test", "tests"})
_LONGEST = 1000  # characters of a function: what a small model sees again and again, not the rare giant


class Pair(NamedTuple):
    """What is asked for, and what answers it.

    Attributes:
        prompt: The title, comment or signature; not empty.
        completion: The text; may be empty.
    """

    prompt: str
    completion: str


def opening(prompt: str) -> str:
    r"""A record up to its separator: what a model reads before it writes.

    It begins with the end of the record before, since that is what stands before nearly every record in training.

    Raises:
        DataError: The prompt is empty, or holds one of the marks.

    Examples:
        >>> opening("Pancakes")
        '\x03\nPancakes\n\x02'
    """
    return f"{END}\n{_checked(prompt, 'prompt')}\n{SEPARATOR}"


def record(pair: Pair) -> str:
    r"""One pair as training reads it; line breaks around either part are dropped.

    Raises:
        DataError: The prompt is empty, or one part holds a mark.

    Examples:
        >>> record(Pair("Pancakes", "Beat three eggs.\n"))
        'Pancakes\n\x02\nBeat three eggs.\n\x03\n'
    """
    prompt = _checked(pair.prompt, "prompt")
    text = _checked(pair.completion, "completion") if pair.completion.strip("\r\n") else ""
    return f"{prompt}\n{SEPARATOR}\n{text}\n{END}\n"


def read_pairs(path: str | Path) -> Iterator[Pair]:
    """The pairs of a JSON lines file: in each line an object with the strings "prompt" and "completion".

    Empty lines are skipped, further keys ignored.

    Raises:
        DataError: The file can't be read, is not UTF-8, or a line is no such object; says which line.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _pair(line, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}. Check the name.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it first.") from error


def documented_functions(root: str | Path | None = None, *, longest: int = _LONGEST) -> list[Pair]:
    """Signature and docstring of each documented function below a folder, and its body; duplicates once.

    Decorators are left out and indentation is taken back to that of a function of a module. What doesn't parse again as
    one function when both parts are joined (a body that begins on the docstring's line) is left out, and so is what is
    longer than `longest` or not ASCII: a small alphabet is learned faster.

    Args:
        root: The folder; None: this machine's standard library, without its tests.
        longest: Characters of a whole function.

    Returns:
        Pairs in an order that is shuffled and always the same: neighbours in a file would tell a model more than it has
        when it reads a single title, and its validation text would be of the last modules alone.

    Raises:
        DataError: There is none.
    """
    folder = Path(sysconfig.get_path("stdlib") if root is None else root)
    found: dict[Pair, None] = {}
    for path in sorted(folder.rglob("*.py"), key=lambda p: p.relative_to(folder).as_posix()):
        if _SKIPPED.isdisjoint(path.relative_to(folder).parts):
            content = path.read_bytes()
            if content.isascii() and b"\0" not in content:
                found.update(dict.fromkeys(_functions(content.decode(), longest)))
    if not found:
        raise DataError(f"{folder} holds no documented Python function; name a folder with sources, or give pairs.")
    pairs = list(found)
    random.Random(0).shuffle(pairs)
    return pairs


def write_pairs(pairs: Iterable[Pair], path: str | Path) -> int:
    """Write the records of all pairs to a new text file, on which `ifog.train` trains; gives their number.

    Raises:
        DataError: The file exists, a pair can't be a record, or there is none.
        OSError: The file can't be written.
    """
    target = Path(path)
    if target.exists():
        raise DataError(f"{target} exists already; name a new file, or remove it first.")
    records = [record(pair) for pair in pairs]
    if not records:
        raise DataError("there is no pair to write; each line should hold one, as JSON.")
    write_atomically(target, "".join(records).encode())
    return len(records)


def _checked(text: str, part: str) -> str:
    inner = text.strip("\r\n")
    if not inner.strip():
        raise DataError(f"the {part} is empty; give at least a word, such as the name of what is asked for.")
    for mark, name in ((SEPARATOR, "U+0002, which separates it from what follows"), (END, "U+0003, which ends it")):
        if mark in inner:
            raise DataError(
                f"the {part} holds the character {name}, at position {inner.index(mark)}; leave that character out."
            )
    return inner


def _pair(line: str, where: str) -> Pair:
    try:
        values: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f'{where} is no JSON ({error}); write {{"prompt": "...", "completion": "..."}}.') from error
    fields = cast("dict[str, Any]", values) if isinstance(values, dict) else {}
    prompt, completion = fields.get("prompt"), fields.get("completion")
    if not isinstance(prompt, str) or not isinstance(completion, str):
        raise DataError(f'{where} lacks the strings "prompt" and "completion"; every line needs both.')
    pair = Pair(prompt, completion)
    try:
        record(pair)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return pair


def _functions(source: str, longest: int) -> Iterator[Pair]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # sources of another Python
        return
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # as ast counts them
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(node.body) > 1:
            start, end, docstring = node.lineno - 1, node.end_lineno or 0, node.body[0]
            if ast.get_docstring(node, clean=False) and sum(map(len, lines[start:end])) <= longest:
                own = [_outdented(line, node.col_offset) for line in lines[start:end]]
                split = (docstring.end_lineno or 0) - start
                pair = Pair("\n".join(own[:split]), "\n".join(own[split:]).strip("\n"))
                if _is_function(pair) and pair.completion:
                    yield pair


def _outdented(line: str, columns: int) -> str:
    return line[min(columns, len(line) - len(line.lstrip(" "))) :].rstrip()


def _is_function(pair: Pair) -> bool:
    """Whether the parts joined are one function, of which the first part ends with the docstring."""
    try:
        first, whole = (ast.parse(text).body for text in (pair.prompt, "\n".join(pair)))
    except SyntaxError:
        return False
    lengths = [len(getattr(part[0], "body", ())) for part in (first, whole) if len(part) == 1]
    marked = any(mark in text for mark in (SEPARATOR, END) for text in pair)
    return len(lengths) == 2 and lengths[0] == 1 < lengths[1] and not marked
