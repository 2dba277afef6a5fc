"""What a doctor says: one diagnosis for each check.

Owns the record. Takes and gives nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Diagnosis", "Verdict"]

Verdict = Literal["good", "look", "bad"]


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in two or three words.
        verdict: "good", "look" (may be meant so), or "bad".
        seen: One sentence with the figures.
        remedy: What to do about it; empty where all is well.
    """

    check: str
    verdict: Verdict
    seen: str
    remedy: str = ""
