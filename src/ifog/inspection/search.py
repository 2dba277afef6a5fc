"""Look for units that stand for something, and say so only if nothing simpler explains it.

Owns the search over all units for each detector, the bar that a find has to clear, and the verdict in words. Takes
traces (of a network, and of networks to compare it with), gives findings. Never runs a network: see `controls`.

The best of a thousand units follows any label a little, and a network with random weights follows many labels well,
since its state holds the last few characters. So a unit is chosen on the first half of the text, judged on the second,
and is *found* only if the lower end of its interval lies above each of these, judged in the same way:

- **chance**: what the best of all units reaches in 95 % of trials with labels that were shifted along the text;
- **controls**: the best unit of each of several networks that have the same weights in other places. Had the weights'
  places no meaning, the network would be one of these, whatever the size of its weights. The bar is what the best
  unit of one more control exceeds with a probability of 5 % in all, shared out among the detectors;
- **recent characters**: what the last four characters alone tell. This bar is for labels that need memory; the others
  (a digit, a capital) are told by the last characters in full, so there the controls decide, and without
  controls nothing is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.inspection.detectors import DETECTORS, Detector, Labels
from ifog.inspection.findings import Finding, Findings
from ifog.inspection.labels import Source, guess_language
from ifog.inspection.statistics import (
    Shifted,
    Weights,
    association,
    centred_ranks,
    concordance,
    interval,
    predicted_bound,
    probe,
    readable,
    recent_prediction,
)

if TYPE_CHECKING:
    from ifog.inspection.activations import Trace

__all__ = ["Judged", "Search", "search"]

_RISK = 0.05  # of finding anything at all in a network with nothing to find
_SHORTEST = 400
_AT_ONCE = 64  # units whose ranks are held at a time
_PROBED = 2048  # columns that a probe reads at most


class Halves(NamedTuple):
    """How the units of one state or gate follow each label: associations (D, H) on either half of the text."""

    first: NDArray[np.float64]
    second: NDArray[np.float64]


class Judged(NamedTuple):
    """How every unit of one network follows every label.

    Attributes:
        units: By the name of the state or gate.
        shifted: What the best unit reaches with shifted labels (D, shifts).
        probed: The probe's association with each label (D,).
    """

    units: dict[str, Halves]
    shifted: NDArray[np.float64]
    probed: list[float]

    def best(self, k: int) -> tuple[str, int, float]:
        """The unit that follows label k best on the first half, and its association on the second, its sign turned."""
        name, unit = max(
            ((name, int(np.abs(halves.first[k]).argmax())) for name, halves in self.units.items()),
            key=lambda place: abs(self.units[place[0]].first[k, place[1]]),
        )
        halves = self.units[name]
        return name, unit, float((1.0 if halves.first[k, unit] >= 0 else -1.0) * halves.second[k, unit])


class _Part:
    """Detectors whose labels are known at the same positions.

    Args:
        numbers: Which of the search's detectors they are.
        labels: Of these (T).
        known: (T,) positions where they are known; None: all.
        half: Where the first half of the text ends.
    """

    def __init__(self, numbers: list[int], labels: list[Labels], known: NDArray[np.bool_] | None, half: int) -> None:
        self.numbers = numbers
        self.first: Any = slice(0, half) if known is None else np.flatnonzero(known[:half])
        self.second: Any = slice(half, None) if known is None else half + np.flatnonzero(known[half:])
        self.early = [label[self.first] for label in labels]
        self.late = [label[self.second] for label in labels]

    @cached_property
    def weights(self) -> tuple[Weights, Weights]:
        """Of either half."""
        return Weights(self.early), Weights(self.late)


class Search:
    """A text made ready for a search: its labels, and what chance and the last characters make of them.

    `search` does all of it in one call; the parts serve those who compare many networks on one text.

    Args:
        tokens: The text of each token (T).
        language: Of the text: see `Source`; None guesses.
        detectors: Names in `DETECTORS`; None: all.
        seed: Of shifts and draws.

    Raises:
        DataError: Fewer than 400 tokens.
        ConfigError: No such detector, no such language.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        language: str | None = None,
        *,
        detectors: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        if len(tokens) < _SHORTEST:
            raise DataError(
                f"the text has {len(tokens)} tokens; a unit is chosen on its first half and judged on its second, "
                f"which needs at least {_SHORTEST}, better 20,000. Give a longer text."
            )
        text = "".join(tokens)
        self.source = Source(text, guess_language(text) if language is None else language)
        self.steps, self.half, self.seed = len(tokens), len(tokens) // 2, seed
        # after a token, a network has read the characters up to the token's last one
        ends = np.maximum(np.cumsum([len(token) for token in tokens]) - 1, 0)
        self.codes = self.source.codes[ends]
        self.detectors: list[Detector] = []
        self.labels: list[Labels] = []
        self.known: list[NDArray[np.bool_] | None] = []
        self.absent: list[str] = []
        for one in map(_named, DETECTORS if detectors is None else detectors):
            labels = one(self.source)[ends]
            known = None if one.known is None else one.known(self.source)[ends]
            if all(_varies(labels, known, half) for half in (slice(0, self.half), slice(self.half, None))):
                self.detectors.append(one)
                self.labels.append(labels)
                self.known.append(known)
            else:
                self.absent.append(one.name)
        everywhere = [k for k, known in enumerate(self.known) if known is None]
        groups = [everywhere] if everywhere else []
        groups += [[k] for k, known in enumerate(self.known) if known is not None]
        self.parts = [_Part(ks, [self.labels[k] for k in ks], self.known[ks[0]], self.half) for ks in groups]
        self._part_of = {k: (part, ks.index(k)) for part, ks in zip(self.parts, groups, strict=True) for k in ks}

    def late(self, k: int) -> tuple[Any, Labels]:
        """Where label k is known in the second half, and what it is there."""
        part, place = self._part_of[k]
        return part.second, part.late[place]

    @cached_property
    def recent(self) -> list[float]:
        """What the last four characters tell of each label (D,)."""
        found: list[float] = []
        for k, (labels, known) in enumerate(zip(self.labels, self.known, strict=True)):
            said = recent_prediction(self.codes, labels, self.half, known=known)
            found.append(association(said if known is None else said[known[self.half :]], self.late(k)[1]))
        return found

    @cache  # noqa: B019 - a search lives as long as its shifted labels are wanted
    def _shifted(self, shifts: int) -> list[Shifted]:
        return [Shifted(part.late, shifts, self.seed) for part in self.parts]

    def judge(self, trace: Trace, *, shifts: int = 0) -> Judged:
        """How every unit of a network follows every label.

        Args:
            trace: What the network did on the text.
            shifts: Trials of the null distribution.

        Raises:
            DataError: The trace is of another text or holds nothing, or an activation is not finite.
        """
        if len(trace.tokens) != self.steps:
            raise DataError(
                f"the labels are those of {self.steps} tokens and a network read {len(trace.tokens)}; give all "
                "networks the same text."
            )
        if not trace.names:
            raise DataError(
                "the trace holds no state and no gate; give `values` that the model has, or none to take all."
            )
        if not self.labels:
            none = {name: np.zeros((0, trace[name].shape[1])) for name in trace.names}
            return Judged({name: Halves(array, array) for name, array in none.items()}, np.zeros((0, shifts)), [])
        nulls = self._shifted(shifts) if shifts else [None] * len(self.parts)
        best = np.zeros((len(self.labels), shifts))
        units: dict[str, Halves] = {}
        for name in trace.names:
            values = trace[name]
            parts: list[Halves] = []
            for begin in range(0, values.shape[1], _AT_ONCE):
                block = np.asarray(values[:, begin : begin + _AT_ONCE], dtype=np.float32)
                if not np.isfinite(block).all():
                    raise DataError(f"{name} holds values that are not finite; the network's weights are damaged.")
                made = Halves(*(np.zeros((len(self.labels), block.shape[1])) for _ in range(2)))
                for part, null in zip(self.parts, nulls, strict=True):
                    early, late = centred_ranks(block[part.first]), centred_ranks(block[part.second])
                    made.first[part.numbers] = part.weights[0].association(early).T
                    made.second[part.numbers] = part.weights[1].association(late).T
                    if null is not None:
                        best[part.numbers] = np.maximum(best[part.numbers], null.best(late))
                parts.append(made)
            units[name] = Halves(*(np.concatenate(halves, 1) for halves in zip(*parts, strict=True)))
        return Judged(units, best, self._probed(trace))

    def _probed(self, trace: Trace) -> list[float]:
        states = [name for name in trace.names if name in trace.states] or list(trace.names)
        features = np.concatenate([np.asarray(trace[name], dtype=np.float32) for name in states], 1)[:, :_PROBED]
        found = [0.0] * len(self.labels)
        for part in self.parts:
            whole = isinstance(part.first, slice)
            rows = features if whole else np.concatenate([features[part.first], features[part.second]])
            halves = zip(part.early, part.late, strict=True)
            labels = np.stack([np.concatenate(pair).astype(np.float32) for pair in halves])
            for k, said, late in zip(part.numbers, probe(rows, labels, len(part.early[0])), part.late, strict=True):
                found[k] = association(said, late)
        return found

    def conclude(self, trace: Trace, own: Judged, others: Sequence[Judged] = (), *, samples: int = 1000) -> Findings:
        """What a network's units stand for, beside its controls.

        Args:
            trace: What the network did on the text.
            own: How its units were judged.
            others: How those of the control networks were.
            samples: Draws of the bootstrap.
        """
        masks = {name: np.zeros(halves.second.shape[1], np.bool_) for name, halves in own.units.items()}
        findings: list[Finding] = []
        for k in range(len(self.labels)):
            rivals = [other.best(k)[2] for other in others]
            bar = self._chance(own, k)
            if rivals:
                bar = max(bar, predicted_bound(rivals, _RISK / len(self.labels)))
            if not (self.detectors[k].local and others):
                bar = max(bar, self.recent[k])
            clear = {name: np.sign(halves.first[k]) * halves.second[k] > bar for name, halves in own.units.items()}
            for name, units in clear.items():
                masks[name] |= units
            clearing = sum(int(units.sum()) for units in clear.values())
            findings.append(self._finding(k, trace, own, others, bar, clearing, samples))
        return Findings(self.source.language, tuple(findings), tuple(self.absent), masks, len(others))

    @staticmethod
    def _chance(own: Judged, k: int) -> float:
        return float(np.quantile(own.shifted[k], 0.95)) if own.shifted.shape[1] else 0.0

    def _finding(
        self, k: int, trace: Trace, own: Judged, others: Sequence[Judged], bar: float, clearing: int, samples: int
    ) -> Finding:
        name, unit, value = own.best(k)
        rises = bool(own.units[name].first[k, unit] >= 0)
        places, labels = self.late(k)
        values = trace[name][places, unit].astype(np.float32) * (1.0 if rises else -1.0)
        lower, upper = interval(centred_ranks(values[:, None])[0], labels, samples=samples, seed=self.seed)
        binary = labels.dtype == np.bool_
        return Finding(
            detector=self.detectors[k].name,
            words=self.detectors[k].words,
            binary=binary,
            name=name,
            unit=unit,
            rises=rises,
            value=readable(value, binary),
            lower=readable(lower, binary),
            upper=readable(upper, binary),
            auc=concordance(values, labels),
            chance=readable(self._chance(own, k), binary),
            p_value=float((1 + (own.shifted[k] >= value).sum()) / (1 + own.shifted.shape[1])),
            recent=readable(self.recent[k], binary),
            controls=readable(max(other.best(k)[2] for other in others), binary) if others else None,
            probe=readable(own.probed[k], binary),
            probe_controls=readable(max(other.probed[k] for other in others), binary) if others else None,
            bar=readable(bar, binary),
            clearing=clearing,
        )


def search(
    trace: Trace,
    language: str | None = None,
    *,
    controls: Iterable[Trace] = (),
    detectors: Sequence[str] | None = None,
    shifts: int = 59,
    samples: int = 1000,
    seed: int = 0,
) -> Findings:
    """Find the best single unit, state or gate, for every detector, and a linear probe over all units.

    Args:
        trace: What a network did on a text.
        language: Of the text: see `Source`; None guesses.
        controls: What networks did on the same text that have nothing to find, such as those that
            `ifog.inspection.controls.shuffled` makes; read one by one.
        detectors: Names in `DETECTORS`; None: all.
        shifts: Trials of the null distribution; p-values are at least 1 / (shifts + 1).
        samples: Draws of the bootstrap.
        seed: Of both.

    Raises:
        DataError: The text is shorter than 400 tokens, an activation is not finite, or a control read another text.
        ConfigError: No such detector, no such language.
    """
    ready = Search(trace.tokens, language, detectors=detectors, seed=seed)
    own = ready.judge(trace, shifts=shifts)
    return ready.conclude(trace, own, [ready.judge(control) for control in controls], samples=samples)


def _varies(labels: Labels, known: NDArray[np.bool_] | None, half: slice) -> bool:
    """Whether a half of the text has different labels."""
    seen = labels[half] if known is None else labels[half][known[half]]
    return len(seen) > 0 and bool((seen != seen[0]).any())


def _named(name: str) -> Detector:
    if name not in DETECTORS:
        raise ConfigError(f"there is no detector {name!r}; there are {', '.join(DETECTORS)}.")
    return DETECTORS[name]
