"""Jobs done from end to end: data, model, training and results joined by name.

Exports are loaded on first use, so that the command line can read the options without waiting for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifog.tasks.beginning import Run
    from ifog.tasks.comparison import compare
    from ifog.tasks.jobs import evaluate, load, predict, resume, train
    from ifog.tasks.language_options import LanguageOptions

__all__ = ["LanguageOptions", "Run", "compare", "evaluate", "load", "predict", "resume", "train"]

_HOMES = {"LanguageOptions": "language_options", "Run": "beginning", "compare": "comparison"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'jobs')}"), name)
