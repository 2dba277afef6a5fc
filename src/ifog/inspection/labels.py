"""Read a text as its language does: which characters are strings, comments, keywords, brackets, indents, conditions.

Owns `Source`, a text with its language, and the lexers behind it: Python's own `tokenize`, Pygments for every other
programming language, simple rules for prose. Takes text that may begin and end anywhere, gives lexemes. Never knows
a model, and never says what a lexeme is good for: see `detectors`.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError

__all__ = ["Lexeme", "Source", "guess_language", "opening"]

_PROSE = ("prose", "text")
_SUFFIXES = {".py": "python", ".pyi": "python", ".txt": "prose", ".md": "prose", "": "prose"}
_OPENERS, _CLOSERS = ("(", "[", "{"), (")", "]", "}")
_JUDGED = 20_000  # characters that decide where a cut text begins


class Lexeme(NamedTuple):
    """A stretch of text with a meaning: `text[start:stop]`.

    `kind` is "string", "comment", "condition" (which all end with the character that closes them), "keyword", "open",
    "close", "indent" or "dedent" (these four matter where they start).
    """

    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """A text (T characters) and the language that it is written in.

    Attributes:
        text: The text; it may be a piece of a longer one.
        language: "python", "prose", or a language that Pygments knows, such as "c".

    Raises:
        ConfigError: A language that nobody knows.

    Examples:
        >>> source = Source("x = 'a'  # why", "python")
        >>> [(lexeme.kind, source.text[lexeme.start : lexeme.stop]) for lexeme in source.lexemes]
        [('string', "'a'"), ('comment', '# why')]
    """

    text: str
    language: str = "prose"

    def __post_init__(self) -> None:
        if self.language not in ("python", *_PROSE):
            _lexer(self.language)

    @cached_property
    def codes(self) -> NDArray[np.uint32]:
        """The code point of each character (T,)."""
        return np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")

    @cached_property
    def lexemes(self) -> tuple[Lexeme, ...]:
        """What the language's lexer finds, in order of the starts."""
        if self.language == "python":
            found = _python(self.text)
        elif self.language in _PROSE:
            found = [*_prose(self.text)]
        else:
            found = [*_pygments(self.text, self.language)]
        return tuple(sorted(found, key=lambda lexeme: lexeme.start))

    def inside(self, *kinds: str) -> NDArray[np.bool_]:
        """Whether one stands inside a lexeme of these kinds after reading each character (T,).

        The opening character counts, the closing one doesn't: a model that has read it is outside again.
        """
        steps = np.zeros(len(self.text) + 1, dtype=np.int32)
        for kind, start, stop in self.lexemes:
            if kind in kinds and stop - 1 > start:
                steps[start] += 1
                steps[min(stop - 1, len(self.text))] -= 1
        return steps[:-1].cumsum() > 0

    def within(self, kind: str) -> NDArray[np.bool_]:
        """Whether each character belongs to a lexeme of this kind, its last character counted (T,)."""
        found = np.zeros(len(self.text), dtype=np.bool_)
        for which, start, stop in self.lexemes:
            if which == kind:
                found[start:stop] = True
        return found

    def depth(self, opening: str, closing: str) -> NDArray[np.int64]:
        """How many lexemes of kind `opening` are not yet closed after each character, never below 0 (T,)."""
        found = np.zeros(len(self.text) + 1, dtype=np.int64)
        level, before = 0, 0
        for kind, start, _ in self.lexemes:
            if kind in (opening, closing):
                found[before:start] = level
                level, before = max(0, level + (1 if kind == opening else -1)), start
        found[before:] = level
        return found[:-1]


def guess_language(text: str, name: str = "") -> str:
    """The language of a text: by the suffix of its file's name, else by how its lines begin.

    Args:
        text: The text, of which the beginning is looked at.
        name: A file name, if there is one.

    Examples:
        >>> guess_language("", "main.c"), guess_language("def f():" + chr(10) + "    return 1")
        ('c', 'python')
    """
    suffix = PurePath(name).suffix
    if suffix not in ("", ".txt"):
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
        from pygments.lexers import get_lexer_for_filename  # pyright: ignore[reportUnknownVariableType]
        from pygments.util import ClassNotFound

        try:
            return str(get_lexer_for_filename(name).aliases[0])
        except (ClassNotFound, IndexError):
            pass
    lines = [line.strip() for line in text[:100_000].splitlines()]
    lines = [line for line in lines if line]
    python = sum(bool(re.match(r"(def|class|import|from|return|if|elif|for|self\.)\b.*", line)) for line in lines)
    braces = sum(line.endswith((";", "{", "}")) or line.startswith(("#include", "#define")) for line in lines)
    if braces > 0.3 * len(lines):
        return "c"
    return "python" if python > 0.08 * len(lines) else "prose"


def opening(pieces: Iterable[str], characters: int) -> str:
    """The first characters of a text that comes in pieces, of which no more are read than needed.

    Raises:
        ConfigError: No positive number of characters.
    """
    if characters < 1:
        raise ConfigError(f"characters is {characters}; give how many to read, such as 50000.")
    taken = ""
    for piece in pieces:
        taken += piece[: characters - len(taken)]
        if len(taken) == characters:
            break
    return taken


# --- Python -----------------------------------------------------------------------------------------------------------


def _python(text: str) -> list[Lexeme]:
    """Python's lexemes, also where the text begins inside a docstring: the beginning that makes most sense is taken."""
    head = text[:_JUDGED]
    starts = ["", *(quotes for quotes in ('"""', "'''") if quotes in head)]
    # prose read as code is full of names beside names; on a tie the text begins as code
    start = min(starts, key=lambda quotes: _nonsense(quotes + head))
    return [
        Lexeme(kind, max(0, begin - len(start)), end - len(start))
        for kind, begin, end in _python_lexemes(start + text)
        if end > len(start)
    ]


def _nonsense(text: str) -> int:
    """How often a text, read as Python, breaks off or has two names side by side."""
    count, before = 0, False
    for token in _tokens(text):
        name = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
        count += (name and before) + 3 * (token.type == tokenize.ERRORTOKEN and not token.string.isspace())
        before = name
    return count


class _Token(NamedTuple):
    type: int
    string: str
    start: int
    stop: int


def _tokens(text: str) -> Iterator[_Token]:
    """The tokens of `tokenize`, which goes on behind what it can't read; a string that never ends is an open token."""
    lines = io.StringIO(text, newline="\n").readlines()
    offsets = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).tolist()

    def place(row: int, column: int) -> int:
        return min(offsets[min(row, len(offsets) - 1)] + column, len(text))

    first = 0
    while first < len(lines):
        begun = first
        rest = iter([*lines[first:], ""])
        try:
            for token in tokenize.generate_tokens(rest.__next__):
                (row, column), (last, end) = token.start, token.end
                yield _Token(token.type, token.string, place(begun + row - 1, column), place(begun + last - 1, end))
            return
        except (tokenize.TokenError, SyntaxError) as error:
            row, column = _where(error)
            message = str(error.args[0])
            if "multi-line statement" in message:
                return
            if "string" in message and ("triple" in message or "multi-line" in message):
                yield _Token(tokenize.STRING, text[place(begun + row - 1, column) :], place(begun + row - 1, column),
                             len(text) + 1)  # fmt: skip
                return
            yield _Token(tokenize.ERRORTOKEN, "?", place(begun + row - 1, 0), place(begun + row - 1, 0))
            # a dedent to nowhere: that line begins anew; what else can't be read is left out
            first = begun + row - 1 if isinstance(error, IndentationError) and row > 1 else begun + max(row, 1)


def _where(error: Exception) -> tuple[int, int]:
    """Row from 1 and column from 0 of a tokenizer's error."""
    if isinstance(error, SyntaxError):
        return error.lineno or 1, max((error.offset or 1) - 1, 0)
    places: Any = error.args[1] if len(error.args) > 1 else (1, 0)
    return int(places[0]), max(int(places[1]), 0)


_FORMATTED = {getattr(tokenize, f"{kind}STRING_{end}", -1): end for kind in "FT" for end in ("START", "END")}
_FORMATTED.pop(-1, None)
_LAYOUT = (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT)


def _whole_strings(tokens: Iterator[_Token]) -> Iterator[_Token]:
    """The same tokens, formatted strings in one piece, as tokenizers before Python 3.12 give them."""
    opened: list[_Token] = []
    for token in tokens:
        if token.type not in _FORMATTED:
            if not opened:
                yield token
        elif _FORMATTED[token.type] == "START":
            opened.append(token)
        elif opened:
            first = opened.pop()
            if not opened:
                yield _Token(tokenize.STRING, first.string, first.start, token.stop)


def _python_lexemes(text: str) -> Iterator[Lexeme]:
    depth, condition = 0, None
    begins = True  # whether the next token begins a statement
    for token in _whole_strings(_tokens(text)):
        lexeme = _python_lexeme(token)
        if lexeme:
            yield lexeme
            depth = max(0, depth + (lexeme.kind == "open") - (lexeme.kind == "close"))
            if lexeme.kind == "keyword" and begins and token.string in ("if", "elif"):
                condition = (token.stop, depth)
        elif token.string == ":" and condition is not None and depth <= condition[1]:
            yield Lexeme("condition", condition[0], token.stop)
            condition = None
        if token.type == tokenize.NEWLINE:
            begins, condition = True, None
        elif token.type not in _LAYOUT:
            begins = False


def _python_lexeme(token: _Token) -> Lexeme | None:
    """What a token is by itself."""
    kind, string, start, stop = token
    if kind == tokenize.STRING:
        return Lexeme("string", start + _prefix(string), stop)
    if kind == tokenize.COMMENT:
        return Lexeme("comment", start, stop + 1)  # the line's end closes it
    if kind == tokenize.INDENT:
        return Lexeme("indent", stop, stop)
    if kind == tokenize.DEDENT:
        return Lexeme("dedent", start, start)
    if kind == tokenize.NAME and keyword.iskeyword(string):
        return Lexeme("keyword", start, stop)
    if kind == tokenize.OP and string in _OPENERS + _CLOSERS:
        return Lexeme("open" if string in _OPENERS else "close", start, stop)
    return None


def _prefix(string: str) -> int:
    """Letters before the opening quote: 2 of rb''."""
    return len(string) - len(string.lstrip("rRbBuUfFtT"))


# --- other languages --------------------------------------------------------------------------------------------------


def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name  # pyright: ignore[reportUnknownVariableType]
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        raise ConfigError(
            f"language is {language!r}, which neither ifog nor Pygments knows; give python, prose, or a name that "
            "Pygments has, such as c, cpp, java, javascript, latex."
        ) from None


def _pygments(text: str, language: str) -> Iterator[Lexeme]:
    from pygments.token import Comment, Keyword, String

    string: Lexeme | None = None  # the pieces of one literal come one by one
    depth, condition = 0, None  # the start and depth of an if's bracket; start -1 before the bracket is seen
    for start, kind, value in _lexer(language).get_tokens_unprocessed(text):
        stop = start + len(value)
        if kind in String:
            string = Lexeme("string", string.start if string else start, stop)
            continue
        if string:
            yield string
            string = None
        if kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile:
            open_end = kind in Comment.Single and not value.endswith("\n")
            yield Lexeme("comment", start, stop + open_end)
        elif kind in Keyword:
            yield Lexeme("keyword", start, stop)
            condition = (-1, depth) if value in ("if", "elif", "elsif") else condition
        else:
            for place, character in enumerate(value, start):
                if character in _OPENERS:
                    yield Lexeme("open", place, place + 1)
                    if condition and condition[0] < 0:
                        condition = (place, depth)
                    depth += 1
                elif character in _CLOSERS:
                    yield Lexeme("close", place, place + 1)
                    depth = max(0, depth - 1)
                    if condition and condition[0] >= 0 and depth <= condition[1]:
                        yield Lexeme("condition", condition[0], place + 1)
                        condition = None
    if string:
        yield string
    yield from _columns(text)


def _columns(text: str) -> Iterator[Lexeme]:
    """Blocks by their leading blanks, where brackets and not the layout tell the language's own."""
    levels = [0]
    for line in re.finditer(r"^([ \t]*)[^ \t\n]", text, re.MULTILINE):
        width, start = len(line[1].expandtabs(8)), line.end() - 1
        while width < levels[-1]:
            levels.pop()
            yield Lexeme("dedent", start, start)
        if width > levels[-1]:
            levels.append(width)
            yield Lexeme("indent", start, start)


def _prose(text: str) -> Iterator[Lexeme]:
    """Speech between quotation marks, which ends with its paragraph if nothing else ends it; and brackets."""
    opened: int | None = None
    for found in re.finditer(r'["“”„«»]|\n[ \t]*\n|[\[({})\]]', text):
        sign, place = found[0], found.start()
        if sign in _OPENERS or sign in _CLOSERS:
            yield Lexeme("open" if sign in _OPENERS else "close", place, place + 1)
        elif sign[0] == "\n" or (opened is not None and sign in '"”»') or (opened is not None and text[opened] == "„"):
            if opened is not None:
                yield Lexeme("string", opened, found.end() if sign[0] != "\n" else place + 1)
            opened = None
        elif opened is None and sign in '"“„«':
            opened = place
    if opened is not None:
        yield Lexeme("string", opened, len(text) + 1)
    yield from _columns(text)
