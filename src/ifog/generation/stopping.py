"""Where written text ends: at the first of some texts, wherever tokens begin and end.

Owns the search for stop texts in text that comes in pieces. Takes pieces, gives the text before the stop. Never knows a
token: a stop text may lie across several of them, or within one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ifog.errors import ConfigError

__all__ = ["before", "check_stops", "until"]


def until(pieces: Iterable[str], stops: Collection[str]) -> Iterator[str]:
    r"""Yield a text up to the stop text that is completed first, which is left out; then nothing more is asked for.

    What may turn out to be the beginning of a stop text is held back until that is known. What comes out doesn't depend
    on how the text was cut into pieces.

    Args:
        pieces: The text as it is made.
        stops: Texts that end it; none: all is yielded.

    Examples:
        >>> list(until(["one\n", "two.\n", "\nthree"], ["\n\n"]))
        ['one', '\ntwo.']
    """
    held = ""
    for piece in pieces:
        held += piece
        if (stop := _first(held, stops)) is not None:
            if stop:
                yield held[:stop]
            return
        sure = len(held) - _begun(held, stops)
        if sure:
            yield held[:sure]
            held = held[sure:]
    if held:
        yield held


def before(text: str, stops: Collection[str]) -> str | None:
    """What stands before the stop text that is completed first; None where there is none."""
    stop = _first(text, stops)
    return None if stop is None else text[:stop]


def check_stops(stops: Collection[str]) -> None:
    """Refuse what can't be a stop text.

    Raises:
        ConfigError: An empty one, which would end every text before it begins; or a string in place of a list of them.
    """
    if isinstance(stops, str):
        raise ConfigError(
            f"sampling: the stop texts are {stops!r}, one string; give a list of them, as in [{stops!r}]."
        )
    if "" in stops:
        raise ConfigError(
            "sampling: a stop text is empty, which would end every text before it begins; give at least a character."
        )


def _first(text: str, stops: Collection[str]) -> int | None:
    """Where the stop text begins that ends first; of those that end together, the longest."""
    found = [(start + len(stop), start) for stop in stops if (start := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def _begun(text: str, stops: Collection[str]) -> int:
    """How many characters at the end may be the beginning of a stop text."""
    longest = min(len(text), max(map(len, stops), default=1) - 1)
    ends = (k for k in range(longest, 0, -1) if any(stop.startswith(text[-k:]) for stop in stops))
    return next(ends, 0)
