"""What a text is made of, as its language reads it: strings, comments, keywords, brackets, indents, conditions.

Owns `Lexeme` and three readers: Python's own `tokenize`, Pygments for every other programming language, simple rules
for prose. Takes text that may begin and end anywhere, gives lexemes. Never makes arrays of them: see `labels`.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError

__all__ = ["Lexeme", "lexemes_of_code", "lexemes_of_prose", "lexemes_of_python", "lexer_of"]

_OPENERS, _CLOSERS = ("(", "[", "{"), (")", "]", "}")
_JUDGED = 20_000  # characters that decide where a cut text begins


class Lexeme(NamedTuple):
    """A stretch of text with a meaning: `text[start:stop]`.

    `kind` is "string", "comment", "condition", "directive" (which all end with the character that closes them),
    "keyword", "open", "close", "indent" or "dedent" (these four matter where they start).
    """

    kind: str
    start: int
    stop: int


# --- Python -----------------------------------------------------------------------------------------------------------


def lexemes_of_python(text: str) -> list[Lexeme]:
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


def lexer_of(language: str) -> Any:
    """Pygments' lexer for a language.

    Raises:
        ConfigError: A language that Pygments doesn't know.
    """
    from pygments.lexers import get_lexer_by_name  # pyright: ignore[reportUnknownVariableType]
    from pygments.util import ClassNotFound

    try:
        # names of a library's types are no keywords
        return get_lexer_by_name(language, stdlibhighlighting=False, c99highlighting=False, platformhighlighting=False)
    except ClassNotFound:
        raise ConfigError(
            f"language is {language!r}, which neither ifog nor Pygments knows; give python, prose, or a name that "
            "Pygments has, such as c, cpp, java, javascript, latex."
        ) from None


def lexemes_of_code(text: str, language: str) -> list[Lexeme]:
    """What Pygments finds, in and between the lines of a preprocessor, and blocks by their leading blanks."""
    found = [*_Code(lexer_of(language), text).lexemes()]
    return [*found, *_columns(text, _beside_blocks(text, found))]


_DIRECTIVE = re.compile(r"#[ \t]*([a-z_]+)")
_LINE = re.compile(  # to the end that no backslash and no comment takes away
    r'(?:"(?:\\.|[^"\\\n])*"|/\*.*?(?:\*/|\Z)|//(?:\\\n|[^\n])*|\\\n|[^\n])*\n?', re.DOTALL
)
_IN_WORDS = ("error", "warning")  # directives whose rest is no code


class _Code:
    """A text as a lexer of Pygments reads it; what a preprocessor's line holds is read as code too.

    A reader of C knows that a macro's body leaves the brackets around it as they were, and that of the branches of an
    `#if` one is taken: each begins at the same depth. A block without `#else` need not be read, so it leaves the depth
    as it was, as the `extern "C" {` that only C++ sees.
    """

    def __init__(self, lexer: Any, text: str) -> None:
        self.lexer, self.text = lexer, text
        self.depth = 0
        self.condition: tuple[int, int] | None = None  # start and depth of an if's bracket; -1 before it is seen
        self.string: Lexeme | None = None  # the pieces of one literal come one by one
        self.branches: list[tuple[int, bool]] = []  # depth at each #if that is open, and whether it has an #else

    def lexemes(self) -> Iterator[Lexeme]:
        from pygments.token import Comment

        done = 0
        for start, kind, value in self.lexer.get_tokens_unprocessed(self.text):
            if start < done:
                continue
            begun = _DIRECTIVE.match(self.text, start) if kind in Comment.Preproc else None
            if begun:
                yield from self._ended()
                line = _LINE.match(self.text, start)
                done = line.end() if line else begun.end()
                yield from self._directive(begun[1], start, begun.end(), done)
            else:
                yield from self._token(start, kind, value)
        yield from self._ended()

    def _directive(self, word: str, start: int, rest: int, stop: int) -> Iterator[Lexeme]:
        yield Lexeme("directive", start, stop + (self.text[stop - 1] != "\n"))  # the line's end closes it
        depth, condition = self.depth, self.condition
        if word not in _IN_WORDS:
            for place, kind, value in self.lexer.get_tokens_unprocessed(self.text[rest:stop]):
                yield from self._token(rest + place, kind, value)
            yield from self._ended()
        self.condition = condition
        yield from self._back_to(self._depth_after(word, depth), stop - (self.text[stop - 1] == "\n"))

    def _depth_after(self, word: str, depth: int) -> int:
        if word in ("if", "ifdef", "ifndef"):
            self.branches.append((depth, False))
        elif word in ("else", "elif") and self.branches:
            depth, other = self.branches[-1]
            self.branches[-1] = (depth, other or word == "else")
        elif word == "endif" and self.branches:
            before, other = self.branches.pop()
            return depth if other else before
        return depth

    def _back_to(self, depth: int, place: int) -> Iterator[Lexeme]:
        """Brackets of no width that bring the depth to where it is wanted."""
        kind = "close" if depth < self.depth else "open"
        for _ in range(abs(depth - self.depth)):
            yield Lexeme(kind, place, place)
        self.depth = depth

    def _ended(self) -> Iterator[Lexeme]:
        if self.string:
            yield self.string
        self.string = None

    def _token(self, start: int, kind: Any, value: str) -> Iterator[Lexeme]:
        from pygments.token import Comment, Keyword, String

        stop = start + len(value)
        if kind in String:
            self.string = Lexeme("string", self.string.start if self.string else start, stop)
            return
        yield from self._ended()
        if kind in Comment and kind not in Comment.Preproc and kind not in Comment.PreprocFile:
            open_end = kind in Comment.Single and not value.endswith("\n")
            yield Lexeme("comment", start, stop + open_end)
        elif kind in Keyword:
            yield Lexeme("keyword", start, stop)
            self.condition = (-1, self.depth) if value in ("if", "elif", "elsif") else self.condition
        else:
            for place, character in enumerate(value, start):
                if character in _OPENERS + _CLOSERS:
                    yield from self._bracket(place, character in _OPENERS)

    def _bracket(self, place: int, opens: bool) -> Iterator[Lexeme]:
        yield Lexeme("open" if opens else "close", place, place + 1)
        if opens and self.condition and self.condition[0] < 0:
            self.condition = (place, self.depth)
        self.depth = max(0, self.depth + (1 if opens else -1))
        if not opens and self.condition and self.condition[0] >= 0 and self.depth <= self.condition[1]:
            yield Lexeme("condition", self.condition[0], place + 1)
            self.condition = None


def _beside_blocks(text: str, found: Sequence[Lexeme]) -> NDArray[np.bool_]:
    """Characters (T,) whose columns tell nothing of blocks: in comments, directives, strings and round brackets."""
    beside = np.zeros(len(text) + 1, np.bool_)
    opened: list[int] = []  # places of brackets that aren't closed
    for kind, start, stop in sorted(found, key=lambda lexeme: lexeme.start):
        if kind in ("comment", "directive"):
            beside[start:stop] = True
        elif kind == "string":
            beside[start + 1 : stop] = True
        elif kind == "open":
            opened.append(start if start < stop else -1)
        elif kind == "close" and opened:
            begun = opened.pop()
            if begun >= 0 and text[begun] in "([":
                beside[begun + 1 : start] = True
    return beside[:-1]


def _columns(text: str, beside: NDArray[np.bool_] | None = None) -> Iterator[Lexeme]:
    """Blocks by their leading blanks, where brackets and not the layout tell the language's own.

    Args:
        text: The text.
        beside: Lines that begin at one of these characters (T,) are passed over.
    """
    levels = [0]
    for line in re.finditer(r"^([ \t]*)[^ \t\n]", text, re.MULTILINE):
        width, start = len(line[1].expandtabs(8)), line.end() - 1
        if beside is not None and beside[start]:
            continue
        while width < levels[-1]:
            levels.pop()
            yield Lexeme("dedent", start, start)
        if width > levels[-1]:
            levels.append(width)
            yield Lexeme("indent", start, start)


# --- prose ------------------------------------------------------------------------------------------------------------

_WRAPPED = 200  # characters; who writes longer lines ends paragraphs, not lines


def lexemes_of_prose(text: str) -> Iterator[Lexeme]:
    """Speech between quotation marks, which ends with its paragraph if nothing else ends it; and brackets."""
    opened: int | None = None
    for found in re.finditer(r'["“”„«»]|\n[ \t]*\n|\n|[\[({})\]]', text):
        sign, place = found[0], found.start()
        if sign in _OPENERS or sign in _CLOSERS:
            yield Lexeme("open" if sign in _OPENERS else "close", place, place + 1)
        elif sign == "\n" and place - text.rfind("\n", 0, place) <= _WRAPPED:
            continue
        elif sign[0] == "\n" or (opened is not None and sign in '"”»') or (opened is not None and text[opened] == "„"):
            if opened is not None:
                yield Lexeme("string", opened, found.end() if sign[0] != "\n" else place + 1)
            opened = None
        elif opened is None and sign in '"“„«':
            opened = place
    if opened is not None:
        yield Lexeme("string", opened, len(text) + 1)
    yield from _columns(text)
