"""What a search for meaning found, in numbers and in words.

Owns `Finding`, the best unit for one detector with everything it was compared with, and `Findings`, those of all
detectors. Never searches: see `search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Finding", "Findings"]


@dataclass(frozen=True)
class Finding:
    """The best unit for one detector. AUC for truth values, rank correlation for whole numbers.

    Attributes:
        detector: Its name.
        words: What it labels.
        binary: Whether the labels are truth values.
        name: The state or gate that the unit belongs to, such as "layer0.h".
        unit: Its number there.
        rises: Whether it rises with the label, or falls.
        value: The unit's figure on the second half of the text.
        lower: Lower end of its 95 % interval.
        upper: Upper end.
        auc: The AUC, for whole numbers its generalisation: how often two positions are ordered as their labels are.
        chance: What the best of all units reaches with shifted labels, in 95 % of trials.
        p_value: How often shifted labels reach the value, for the best of all units.
        recent: What the last four characters alone reach.
        controls: The best of the control networks; None without any.
        probe: A linear probe over all units.
        probe_controls: The best probe of the control networks; None without any.
        bar: What `lower` has to exceed.
        clearing: How many units exceed the bar.
    """

    detector: str
    words: str
    binary: bool
    name: str
    unit: int
    rises: bool
    value: float
    lower: float
    upper: float
    auc: float
    chance: float
    p_value: float
    recent: float
    controls: float | None
    probe: float
    probe_controls: float | None
    bar: float
    clearing: int

    @property
    def found(self) -> bool:
        """Whether the unit stands for the label more than anything simpler explains."""
        return self.lower > self.bar

    @property
    def verdict(self) -> str:
        """One sentence: the unit, its figure, its interval, and what it was compared with."""
        layer, _, value = self.name.rpartition(".")
        where = f"unit {self.unit} of {layer.replace('layer', 'layer ')} ({value})"
        figure = "AUC" if self.binary else "rank correlation"
        measured = f"{figure} {self.value:.2f} ({self.lower:.2f}-{self.upper:.2f}), chance {0.5 * self.binary:.2f}"
        if not self.binary:
            measured += f" (AUC {self.auc:.2f})"
        rivals = f"the last 4 characters {self.recent:.2f}"
        if self.controls is not None:
            rivals = f"shuffled weights {self.controls:.2f}, {rivals}"
        if not self.found:
            return f"not found: {self.words}. The best, {where}, has {measured}; {rivals}"
        if self.binary:
            does = f"is {self.words}" if self.rises else f"is low {self.words}"
        else:
            does = f"counts {self.words}" if self.rises else f"counts down {self.words}"
        return f"{where} {does}: {measured}; {rivals}"

    def to_dict(self) -> dict[str, Any]:
        """All fields and the verdict, as values that JSON can hold."""
        return {**asdict(self), "found": self.found, "verdict": self.verdict}


@dataclass(frozen=True)
class Findings:
    """What a search found.

    Attributes:
        language: The language that the text was read as.
        findings: One for each detector whose label varies.
        absent: Detectors whose label is the same all over a half of the text.
        interpretable: For each state or gate the units (H,) that clear the bar of some detector.
        controls: How many control networks there were.
    """

    language: str
    findings: tuple[Finding, ...]
    absent: tuple[str, ...]
    interpretable: Mapping[str, NDArray[np.bool_]] = field(repr=False)
    controls: int = 0

    def __getitem__(self, detector: str) -> Finding:
        """The finding of a detector.

        Raises:
            KeyError: It wasn't looked for, or its label doesn't vary.
        """
        for finding in self.findings:
            if finding.detector == detector:
                return finding
        raise KeyError(detector)

    @property
    def share(self) -> float:
        """The share of all units, of all states and gates, that clear the bar of some detector."""
        units = np.concatenate([*self.interpretable.values(), np.empty(0, np.bool_)])
        return float(units.mean()) if len(units) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything but the masks, as values that JSON can hold."""
        return {
            "language": self.language,
            "controls": self.controls,
            "share_interpretable": self.share,
            "absent": list(self.absent),
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def __str__(self) -> str:
        lines = [finding.verdict for finding in self.findings]
        if self.absent:
            lines.append(f"The text has too little of: {', '.join(self.absent)}.")
        return "\n".join([*lines, f"{self.share:.0%} of all units of states and gates clear the bar of a detector."])
