"""Jobs done from end to end: data, model, training and results joined by name.

Exports are loaded on first use, so that the command line can read the options without waiting for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifog.tasks.comparison import compare
    from ifog.tasks.language import Run, evaluate, load, resume, train
    from ifog.tasks.options import LanguageOptions

__all__ = ["LanguageOptions", "Run", "compare", "evaluate", "load", "resume", "train"]

_HOMES = {"LanguageOptions": "options", "compare": "comparison"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'language')}"), name)
