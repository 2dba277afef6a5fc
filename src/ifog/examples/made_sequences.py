"""Made problems that ask for a long memory: adding and copying.

Owns their making, from a seed. Takes sizes, gives tables. Reads nothing.
"""

from __future__ import annotations

import numpy as np

from ifog.errors import ConfigError
from ifog.examples.tables import Table

__all__ = ["adding", "copying"]

SYMBOLS, REMEMBERED = 8, 10


def adding(count: int, steps: int, seed: int = 0) -> Table:
    """Two numbers of a long series are marked: what is their sum?

    One mark lies in the first half, one in the second; always answering 1 has a mean squared error of 1/6.

    Args:
        count: examples.
        steps: length of each series, T.
        seed: of the numbers and marks.

    Returns:
        Columns "series" (T, 2), a number from 0 to 1 and a mark of 0 or 1, and "label", the sum.

    Raises:
        ConfigError: no examples, or fewer than two steps.

    Source:
        Hochreiter and Schmidhuber (1997), Long short-term memory; in this form Le, Jaitly and Hinton (2015),
        arXiv:1504.00941.

    Examples:
        >>> one = adding(1, 6)
        >>> series = one.columns["series"][0]
        >>> series.shape, bool((series[:, 0] * series[:, 1]).sum() == one.columns["label"][0])
        ((6, 2), True)
    """
    _check("adding", count, steps, 2)
    chance = np.random.default_rng(seed)
    series = np.zeros((count, steps, 2), dtype=np.float32)
    series[:, :, 0] = chance.random((count, steps), dtype=np.float32)
    rows = np.arange(count)
    series[rows, chance.integers(0, steps // 2, count), 1] = 1
    series[rows, chance.integers(steps // 2, steps, count), 1] = 1
    sums = (series[:, :, 0] * series[:, :, 1]).sum(1)
    return Table({"series": list(series), "label": [float(x) for x in sums]}, _places("adding", count))


def copying(count: int, delay: int, seed: int = 0) -> Table:
    """Ten symbols, a long pause, then a mark: say them again.

    Without memory the best is to guess: 10 log(8) / (delay + 20) nats a step.

    Args:
        count: examples.
        delay: steps between the symbols and the mark, T.
        seed: of the symbols.

    Returns:
        Columns "words" and "tags", lists of `delay` + 20 strings: "a" to "h", "-" for nothing, "?" for the mark.

    Raises:
        ConfigError: no examples, or no pause.

    Source:
        Hochreiter and Schmidhuber (1997); in this form Arjovsky, Shah and Bengio (2016), Unitary evolution recurrent
        neural networks, arXiv:1511.06464.

    Examples:
        >>> one = copying(1, 3, seed=1)
        >>> " ".join(one.columns["words"][0][10:14]), one.columns["words"][0][:10] == one.columns["tags"][0][-10:]
        ('- - - ?', True)
    """
    _check("copying", count, delay, 1)
    symbols = np.random.default_rng(seed).integers(0, SYMBOLS, (count, REMEMBERED))
    words: list[list[str]] = []
    tags: list[list[str]] = []
    for row in symbols:
        remembered = ["abcdefgh"[x] for x in row]
        words.append([*remembered, *["-"] * delay, "?", *["-"] * (REMEMBERED - 1)])
        tags.append([*["-"] * (delay + REMEMBERED), *remembered])
    return Table({"words": words, "tags": tags}, _places("copying", count))


def _check(name: str, count: int, steps: int, least: int) -> None:
    if count < 1:
        raise ConfigError(f"{name}: count is {count}; give 1 or more.")
    if steps < least:
        raise ConfigError(f"{name}: {steps} steps leave nothing to remember; give {least} or more.")


def _places(name: str, count: int) -> list[tuple[str, int]]:
    return [(name, i) for i in range(1, count + 1)]
