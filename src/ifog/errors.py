"""The errors a user can meet, each a paragraph that says where, what was given, what was wanted and how to mend it.

Owns the exception types. Gives one base class that the command line turns into exit code 2.
Never formats: the place that notices a mistake words it, since only that place knows the remedy.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "CellError",
    "ConfigError",
    "DataError",
    "IfogError",
    "RunError",
    "ShapeError",
    "TrainingError",
]


class IfogError(Exception):
    """Any mistake that a user can mend; `str(error)` is one paragraph meant for reading."""


class CellError(IfogError):
    """A cell function that can't be traced: wrong names, sizes or returned values."""


class ShapeError(IfogError, ValueError, RuntimeError):
    """A tensor of the wrong shape or type. Also a `ValueError` and a `RuntimeError`, as `torch.nn` raises either."""


class BackendError(IfogError):
    """A backend that was asked for by name and can't run what it was given."""


class DataError(IfogError):
    """A corpus or text that can't be read, decoded or split."""


class RunError(IfogError):
    """A run directory that is missing, damaged, or of another architecture."""


class ConfigError(IfogError, ValueError, TypeError):
    """An option out of its range or in conflict with another."""


class TrainingError(IfogError):
    """Training that had to stop: the loss is not a number, or exploded."""
