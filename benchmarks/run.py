"""How long things take: side by side in one process, so that both have the same machine.

Owns the clock, the number of rounds and the statistics. Takes cases or bare callables, gives rounds in milliseconds.
A case is verified here before it is timed. Never prints.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.registry import Case, Step
from benchmarks.verify import verify

__all__ = ["Limits", "Row", "compare", "interleaved", "spread"]

Call = Callable[[], object]
What = Literal["train", "infer"]

LEAST, MOST = 5, 50  # rounds
SHORTEST = 5.0  # milliseconds: what takes less is repeated within a round


@dataclass(frozen=True)
class Limits:
    """How much to measure.

    Attributes:
        seconds: What a case may take, if that allows the least number of rounds.
        rounds: Exactly as many; None: as many as fit.
    """

    seconds: float = 3.0
    rounds: int | None = None

    def count(self, milliseconds: float) -> int:
        """Rounds, where one takes this long."""
        return self.rounds or min(max(int(self.seconds * 1e3 / milliseconds), LEAST), MOST)


@dataclass(frozen=True)
class Row:
    """What was measured of a case; times in milliseconds, one for each round."""

    cell: str
    size: str
    precision: str
    what: str
    peer: str
    ours_ms: list[float]
    peer_ms: list[float]
    flops: tuple[int, int] | None = None

    @property
    def figure(self) -> float:
        """How often faster than the peer; or, where operations were counted, the cost of one against the peer's."""
        ours, peer = statistics.median(self.ours_ms), statistics.median(self.peer_ms)
        return peer / ours if self.flops is None else ours / self.flops[0] / (peer / self.flops[1])

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        medians = {"ours_median_ms": statistics.median(self.ours_ms), "peer_median_ms": statistics.median(self.peer_ms)}
        spreads = {"ours_spread": spread(self.ours_ms), "peer_spread": spread(self.peer_ms)}
        figure = {"ratio" if self.flops is None else "time_per_flop": self.figure}
        return {**vars(self), **medians, **spreads, **figure}


def compare(case: Case, what: What, limits: Limits) -> Row:
    """Verifies a case, then times it.

    Raises:
        MismatchError: Ours computes something else than the truth.
    """
    verify(case, training=what == "train")
    peer = _fastest(case.peers, what)
    ours_ms, peer_ms = interleaved([getattr(case.ours, what), getattr(peer, what)], limits)
    return Row(case.cell, str(case.size), case.precision, what, peer.name, ours_ms, peer_ms, case.flops)


def interleaved(calls: Sequence[Call], limits: Limits, rest: float = 0.0) -> list[list[float]]:
    """Times each call in turn, again and again; gives its rounds, in milliseconds for one call.

    Args:
        calls: What to time.
        limits: How often.
        rest: Seconds before each turn: a pool of threads that still spins after its own would slow the next.
    """
    gc.collect()
    gc.disable()
    try:
        estimates = [min(_timed(call) for _ in range(2)) for call in calls]  # warms up as well
        repeats = [max(1, round(SHORTEST / max(ms, 1e-3))) if ms < SHORTEST else 1 for ms in estimates]
        round_ms = sum(ms * n for ms, n in zip(estimates, repeats, strict=True))
        found: list[list[float]] = [[] for _ in calls]
        for _ in range(limits.count(round_ms)):
            for call, n, rounds in zip(calls, repeats, found, strict=True):
                time.sleep(rest)
                rounds.append(_timed(call, n))
    finally:
        gc.enable()
    return found


def spread(rounds: Sequence[float]) -> float:
    """The interquartile range over the median."""
    if len(rounds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return (high - low) / statistics.median(rounds)


def _fastest(peers: Sequence[Step], what: What) -> Step:
    if len(peers) == 1:
        return peers[0]
    return min(peers, key=lambda peer: min(_timed(getattr(peer, what)) for _ in range(3)))


def _timed(call: Call, repeats: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) * 1e3 / repeats
