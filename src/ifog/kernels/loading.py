"""Find the C++ engine, or do without it and say so.

Owns the one import of `ifog._engine`. Takes nothing, gives the module or None. Never imports it before something asks,
never raises because it is missing (an install without a compiler is a working install), never computes.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Protocol, cast

__all__ = ["Engine", "EngineMissingWarning", "available", "engine"]


class EngineMissingWarning(RuntimeWarning):
    """The C++ engine was asked for and is not installed; what was asked for runs on PyTorch instead, slower."""


class Engine(Protocol):
    """What the compiled module `ifog._engine` offers (bindings/module.cpp)."""

    def cpu_features(self) -> list[str]:
        """Names of the instruction sets this machine can run, weakest first, as "avx2" or "amx_bf16"."""
        ...


@functools.cache
def _load() -> Engine | ImportError:
    try:
        return cast(Engine, importlib.import_module("ifog._engine"))
    except ImportError as error:
        return error


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"ifog runs without its C++ engine ({reason}). Nothing but speed is lost: every cell runs on PyTorch's own "
        "operators, cells that torch.nn does not have several times slower. To have the engine, put a C++20 compiler "
        "on the PATH and install ifog again, with pip install --force-reinstall --no-deps --no-cache-dir.",
        EngineMissingWarning,
        stacklevel=3,
    )


def engine() -> Engine | None:
    """The C++ engine, or None, with one `EngineMissingWarning` per process, where it was not built.

    Returns:
        The compiled module, whose functions `Engine` lists, or None.

    Examples:
        >>> features = engine().cpu_features() if available() else []
        >>> features[:1] in (["sse2"], [])  # every 64-bit x86 has it; another CPU, or no engine, has none
        True
    """
    loaded = _load()
    if isinstance(loaded, ImportError):
        _warn_once(str(loaded))
        return None
    return loaded


def available() -> bool:
    """Whether the C++ engine is there. Warns of nothing: this is the question, not the use."""
    return not isinstance(_load(), ImportError)
