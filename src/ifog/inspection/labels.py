"""A text with its language, and what of it lies inside what.

Owns `Source` and the guess of a language. Takes text that may begin and end anywhere, gives its lexemes (which `lexers`
find) as arrays over the characters. Never knows a model, and never says what a lexeme is good for: see `detectors`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError
from ifog.inspection.lexers import Lexeme, lexemes_of_code, lexemes_of_prose, lexemes_of_python, lexer_of

__all__ = ["Source", "guess_language", "opening"]

_PROSE = ("prose", "text")
_SUFFIXES = {".py": "python", ".pyi": "python", ".txt": "prose", ".md": "prose", "": "prose"}


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
            lexer_of(self.language)

    @cached_property
    def codes(self) -> NDArray[np.uint32]:
        """The code point of each character (T,)."""
        return np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")

    @cached_property
    def lexemes(self) -> tuple[Lexeme, ...]:
        """What the language's lexer finds, in order of the starts."""
        if self.language == "python":
            found = lexemes_of_python(self.text)
        elif self.language in _PROSE:
            found = [*lexemes_of_prose(self.text)]
        else:
            found = lexemes_of_code(self.text, self.language)
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
