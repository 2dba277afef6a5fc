"""Say how far long work has come, to whoever shows it.

Owns one generator that work wraps its loops in, and one context in which it is heard; where nobody listens, it only
hands on. Takes any loop, gives fractions. Never prints.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

__all__ = ["heard", "tracked"]

T = TypeVar("T")
Listener = Callable[[str, float], None]


class _Stretch(NamedTuple):
    """The part of all work that the loop under way stands for, and who listens."""

    listener: Listener
    begin: float = 0.0
    size: float = 1.0
    name: str = ""


_NOW: ContextVar[_Stretch | None] = ContextVar("stretch", default=None)


def tracked(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Hand on items, and say after each which share of all of them is done.

    Loops within a loop are shares of its item: what is told is one fraction of the outermost loop, under its name.

    Args:
        items: what is handed on.
        name: what is being done, such as "reading".
        total: how many items there will be, about; None: as many as `len` says.

    Examples:
        >>> with heard(lambda name, done: print(f"{name} {done:.0%}")):
        ...     for _ in tracked(range(2), "reading"):
        ...         for _ in tracked("ab", "not told"):
        ...             pass
        reading 25%
        reading 50%
        reading 50%
        reading 75%
        reading 100%
        reading 100%
    """
    whole = _NOW.get()
    if whole is None:
        yield from items
        return
    count = total if total is not None else len(items)  # type: ignore[arg-type]
    name = whole.name or name
    for k, item in enumerate(items):
        share = min(1.0, k / max(count, 1)), min(1.0, (k + 1) / max(count, 1))
        begin, end = (whole.begin + whole.size * s for s in share)
        mine = _Stretch(whole.listener, begin, end - begin, name)
        _NOW.set(mine)
        try:
            yield item
        finally:
            if _NOW.get() is mine:  # not where a loop that was left early is closed after all is over
                _NOW.set(whole)
        whole.listener(name, end)


@contextmanager
def heard(listener: Listener) -> Generator[None]:
    """Within it, `listener(name, fraction)` is called as tracked work goes on."""
    token = _NOW.set(_Stretch(listener))
    try:
        yield
    finally:
        _NOW.reset(token)
