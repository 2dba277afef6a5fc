"""Recurrent neural networks from equations: write a cell as it stands on the slide, train it, look inside it.

Owns the public names. Each is imported when it is first used, so that `import ifog` costs milliseconds and no torch.
Never does any work of its own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifog.cells import cell
    from ifog.errors import IfogError
    from ifog.inspection.activations import inspect
    from ifog.layers import GRU, LSTM, RNN, Recurrent
    from ifog.models import LanguageModel
    from ifog.tasks.jobs import evaluate, load, predict, resume, train

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "IfogError",
    "LanguageModel",
    "Recurrent",
    "__version__",
    "cell",
    "evaluate",
    "inspect",
    "load",
    "predict",
    "resume",
    "train",
]

_HOMES = {
    "GRU": "ifog.layers",
    "LSTM": "ifog.layers",
    "RNN": "ifog.layers",
    "Recurrent": "ifog.layers",
    "IfogError": "ifog.errors",
    "LanguageModel": "ifog.models",
    "cell": "ifog.cells",
    "evaluate": "ifog.tasks.jobs",
    "inspect": "ifog.inspection.activations",
    "load": "ifog.tasks.jobs",
    "predict": "ifog.tasks.jobs",
    "resume": "ifog.tasks.jobs",
    "train": "ifog.tasks.jobs",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ifog' has no attribute {name!r}; its public names are {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
