"""Find the C++ engine, or do without it and say so.

Owns the one import of `ifog._engine`. Takes nothing, gives the module or None. Never imports it before something asks,
never raises because it is missing (an install without a compiler is a working install), never computes.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from ifog.compiler.precision import Precision

__all__ = [
    "Engine",
    "EngineMissingWarning",
    "available",
    "engine",
    "fastest_products",
    "instruction_set",
    "loaded_engine",
]


class EngineMissingWarning(RuntimeWarning):
    """The C++ engine was asked for and is not installed; what was asked for runs on PyTorch instead, slower."""


class Engine(Protocol):
    """What the compiled module `ifog._engine` offers (bindings/module.cpp)."""

    Program: Callable[[list[int]], object]
    Call: Callable[..., Any]

    def cpu_features(self) -> list[str]:
        """Names of the instruction sets this machine can run, weakest first, as "avx2" or "amx_bf16"."""
        ...

    def isas(self) -> list[str]:
        """The kernels that can run here, slowest first."""
        ...

    def operations(self) -> list[str]:
        """The operations that programs are made of."""
        ...

    def native_half(self, isa: str) -> bool:
        """Whether these kernels multiply bf16 numbers as they are."""
        ...

    def native_fixed(self, isa: str) -> bool:
        """Whether these kernels multiply 16-bit integers faster than floats."""
        ...

    def pick_rows(self, out: int, source: int, stride: int, width: int, rows: int, count: int, threads: int) -> None:
        """Row i of `out` becomes row `rows[i]` of `source`, or zeros where that is negative; sizes are bytes."""
        ...

    def number_rows(
        self, sizes: int, steps: int, order: int, step: int, sequence: int, rows: int, back: int, padded: int
    ) -> None:
        """Where the rows of packed sequences lie among `padded` ones that are `step` and `sequence` apart, and back."""
        ...

    def use_openmp(self, gomp_parallel: int) -> None:
        """Where torch's OpenMP library starts its threads."""
        ...

    def borrow(self, shape: Sequence[int], element: int) -> Tensor:
        """A tensor in the engine's pool: float32 where an element has 4 bytes, bf16 where it has 2, else uint8."""
        ...

    def release_idle_memory(self) -> None:
        """Gives the pool's idle memory back."""
        ...


@functools.cache
def _load() -> Engine | ImportError:
    try:
        module = cast(Engine, importlib.import_module("ifog._engine"))
    except ImportError as error:
        return error
    module.use_openmp(_gomp_parallel())
    return module


def _gomp_parallel() -> int:
    """The address of GOMP_parallel in the OpenMP library that torch has loaded, or 0.

    Two OpenMP libraries in a process fight for its cores, so none is linked, and none is loaded here.
    """
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if "libgomp" in line}
    except OSError:
        return 0
    for path in sorted(paths):
        try:
            library = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
            return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value or 0
        except (OSError, AttributeError):
            continue
    return 0


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


def loaded_engine() -> Engine:
    """The C++ engine, where `available` said that it is there."""
    loaded = _load()
    if isinstance(loaded, ImportError):
        raise loaded
    return loaded


def instruction_set() -> str:
    """The kernels to run: those that the environment variable IFOG_ISA names, or "" for the best."""
    return os.environ.get("IFOG_ISA", "")


def available() -> bool:
    """Whether the C++ engine is there. Warns of nothing: this is the question, not the use."""
    return not isinstance(_load(), ImportError)


def fastest_products() -> Precision:
    """What the kernels that would run multiply fastest."""
    if not available():
        return "fp32"
    isa = instruction_set()
    return "bf16" if loaded_engine().native_half(isa) else "int16" if loaded_engine().native_fixed(isa) else "fp32"
