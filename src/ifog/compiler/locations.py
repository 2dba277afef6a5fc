"""Where in the user's source a symbol is being made, and how to spell it back, for error messages.

Owns the walk up the call stack. Takes symbols and nodes, gives text. Used on the way to an error only.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ifog.compiler.graph import Node
    from ifog.compiler.symbols import Symbol

__all__ = ["here", "spell"]

_COMPILER = str(Path(__file__).parent)


def _user_frame() -> FrameType | None:
    """The innermost frame outside this package's compiler."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_COMPILER):
        frame = frame.f_back
    return frame


def here() -> str:
    """`file.py:line` of the code that is recording."""
    frame = _user_frame()
    return "cell" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def spell(symbol: Symbol, nodes: Sequence[Node]) -> str:
    """The symbol as its author would write it: a local variable's name, or the expression."""
    from ifog.compiler.printing import Speller

    frame = _user_frame()
    names: dict[int, str] = {}
    if frame is not None:
        for name, value in frame.f_locals.items():
            if getattr(value, "id", None) is not None and isinstance(value, type(symbol)):
                names.setdefault(value.id, name)
    return Speller(nodes, names)(symbol.id)
