"""What the units of a network may stand for, each as one function from a text to a label for every character.

Owns the registry `DETECTORS`, the decorator that adds to it, and the detectors that the lectures found by eye. Takes a
`Source`, gives an array (T,): what a reader knows after each character. Never looks at a network.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.inspection.labels import Source

__all__ = ["DETECTORS", "Detector", "Labels", "detector", "load_detectors"]

Labels = NDArray[np.bool_] | NDArray[np.int64]


@dataclass(frozen=True)
class Detector:
    """A label for every character of a text.

    Attributes:
        name: How it is asked for.
        words: What a unit that follows it does: "inside quotes", "the position in the line".
        function: Takes a `Source`, gives an array (T,), of truth values or of whole numbers.
        local: Whether the last few characters tell the label, so that no memory is needed.
        known: Takes a `Source`, gives the characters (T,) after which the label is known; None: all. The others are
            left out of a search.
    """

    name: str
    words: str
    function: Callable[[Source], NDArray[Any]]
    local: bool = False
    known: Callable[[Source], NDArray[np.bool_]] | None = None

    def __call__(self, source: Source) -> Labels:
        """The labels of a text (T,), bool or int64.

        Raises:
            DataError: The function gave another number of labels, or labels that are neither.
        """
        found = np.asarray(self.function(source))
        if found.shape != (len(source.text),) or found.dtype.kind not in "biu":
            raise DataError(
                f"detector {self.name} gave an array of shape {found.shape} and type {found.dtype} for "
                f"{len(source.text)} characters; give one truth value or whole number for each."
            )
        return found if found.dtype == np.bool_ else found.astype(np.int64)


DETECTORS: dict[str, Detector] = {}


def detector(
    words: str, *, local: bool = False, known: Callable[[Source], NDArray[np.bool_]] | None = None
) -> Callable[[Callable[[Source], NDArray[Any]]], Callable[[Source], NDArray[Any]]]:
    """Adds a function to `DETECTORS`, under its own name.

    Args:
        words: What a unit that follows it does, to end the sentence "unit 37 is ..." (truth values) or "unit 37
            counts ..." (whole numbers).
        local: Whether the last few characters tell the label, so that no memory is needed.
        known: Gives the characters (T,) after which the label is known; None: all.

    Raises:
        ConfigError: Another detector has the name.

    Examples:
        >>> @detector("at a vowel", local=True)
        ... def vowel(source):
        ...     return np.array([character in "aeiou" for character in source.text])
        >>> DETECTORS["vowel"](Source("hello")).astype(int).tolist()
        [0, 1, 0, 0, 1]
        >>> _ = DETECTORS.pop("vowel")
    """

    def add(function: Callable[[Source], NDArray[Any]]) -> Callable[[Source], NDArray[Any]]:
        name = function.__name__
        if name in DETECTORS:
            raise ConfigError(f"there is a detector {name} already; give the function another name.")
        DETECTORS[name] = Detector(name, words, function, local, known)
        return function

    return add


def load_detectors(path: str | Path) -> None:
    """Runs a Python file whose functions under `@detector` join `DETECTORS`.

    Raises:
        DataError: There is no such file.
        ConfigError: It adds no detector.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} doesn't exist; give a Python file with functions under @detector.")
    before = len(DETECTORS)
    runpy.run_path(str(path))
    if len(DETECTORS) == before:
        raise ConfigError(
            f'{path} adds no detector; write functions under @detector("what a unit does"), with '
            "`from ifog.inspection.detectors import detector`."
        )


# --- what needs memory ------------------------------------------------------------------------------------------------


@detector("inside quotes")
def quotes(source: Source) -> NDArray[np.bool_]:
    """Inside a quotation; in code, inside a string that is written on one line."""
    found = source.inside("string")
    if source.language in ("prose", "text"):
        return found
    for kind, start, stop in source.lexemes:
        if kind == "string" and "\n" in source.text[start : stop - 1]:
            found[start:stop] = False
    return found


@detector("inside a string")
def string(source: Source) -> NDArray[np.bool_]:
    """Inside a string literal of code, docstrings and strings over several lines included."""
    return source.inside("string") & (source.language not in ("prose", "text"))


@detector("inside a comment")
def comment(source: Source) -> NDArray[np.bool_]:
    """Inside a comment of code."""
    return source.inside("comment")


@detector("inside a string or a comment")
def string_or_comment(source: Source) -> NDArray[np.bool_]:
    """Inside what a compiler doesn't read as code."""
    return string(source) | comment(source)


@detector("inside the condition of an if")
def condition(source: Source) -> NDArray[np.bool_]:
    """Between `if` and its colon in Python, between the brackets after `if` elsewhere."""
    return source.inside("condition")


@detector("in a line of the preprocessor")
def directive(source: Source) -> NDArray[np.bool_]:
    """In a line such as `#define`, with the lines that a backslash adds."""
    return source.inside("directive")


@detector("the position in the line")
def line_position(source: Source) -> NDArray[np.int64]:
    """Characters read since the last line break, which itself is at 0."""
    places = np.arange(len(source.text))
    last = np.maximum.accumulate(np.where(source.codes == ord("\n"), places, -1))
    return places - last


@detector("the depth of brackets")
def bracket_depth(source: Source) -> NDArray[np.int64]:
    """Brackets of any kind that are open; those in strings and comments of code don't count."""
    return source.depth("open", "close")


def _visible(source: Source) -> NDArray[np.bool_]:
    """From the first visible character of each line on."""
    blank = _among(source, str.isspace)
    places = np.arange(len(source.text))
    line = np.maximum.accumulate(np.where(np.roll(source.codes, 1) == ord("\n"), places, 0))
    seen = np.maximum.accumulate(np.where(blank, -1, places))
    return (seen >= line) & (source.codes != ord("\n"))


@detector("the depth of indentation", known=_visible)
def indentation_depth(source: Source) -> NDArray[np.int64]:
    """Blocks that are open, from a line's first visible character to its end: in the space before, nobody knows yet."""
    return source.depth("indent", "dedent")


# --- what the last characters tell ------------------------------------------------------------------------------------


def _among(source: Source, test: Callable[[str], bool]) -> NDArray[np.bool_]:
    """A property of each single character, asked once for each different one (T,)."""
    different, which = np.unique(source.codes, return_inverse=True)
    return np.array([test(chr(code)) for code in different], dtype=np.bool_)[which]


@detector("at the first letter of a word", local=True)
def first_letter(source: Source) -> NDArray[np.bool_]:
    """A letter after something that belongs to no word."""
    word = _among(source, lambda c: c.isalnum() or c in "_'’")
    found = _among(source, str.isalpha)
    found[1:] &= ~word[:-1]
    return found


@detector("at a digit", local=True)
def digit(source: Source) -> NDArray[np.bool_]:
    """One of 0 to 9."""
    return (source.codes >= ord("0")) & (source.codes <= ord("9"))


@detector("at an upper-case letter", local=True)
def upper_case(source: Source) -> NDArray[np.bool_]:
    """A capital letter."""
    return _among(source, str.isupper)


@detector("at the end of a sentence", local=True)
def sentence_end(source: Source) -> NDArray[np.bool_]:
    """The white space after a full stop, question mark or exclamation mark, which a quote or bracket may follow."""
    mark, closing = _among(source, lambda c: c in ".!?…"), _among(source, lambda c: c in "\"'”’)]")
    ended = mark.copy()
    ended[1:] |= mark[:-1] & closing[1:]
    found = _among(source, str.isspace)
    found[1:] &= ended[:-1]
    found[:1] = False
    return found


@detector("inside a keyword", local=True)
def language_keyword(source: Source) -> NDArray[np.bool_]:
    """A letter of a word that the programming language reserves."""
    return source.within("keyword")
