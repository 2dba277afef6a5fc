"""Tell what training was prepared with from what was damaged since.

Owns the checksums of a run's prepared files, which config.json holds, and how an encoding becomes JSON and back.
Takes run directories and encodings, gives errors that name the damaged file. Never knows what the files mean.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ifog.errors import IfogError, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ifog.runs import RunDirectory

__all__ = ["checked", "described", "plain", "restored", "sealed"]

E = TypeVar("E")

_FILES = ("encoding.json", "train.examples", "validation.examples")
# keys of config.json: the checksums of the files beside it, and that of all its other keys
_FILES_SUMS, _OWN_SUM = "checksums", "checksum"


def sealed(run: RunDirectory, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the checksums of itself and of the files that were prepared beside it.

    Raises:
        RunError: one of these files can't be read.
    """
    whole = {**config, _FILES_SUMS: {name: _of_file(run.path / name) for name in _FILES}}
    return {**whole, _OWN_SUM: _of_values(whole)}


def checked(run: RunDirectory, name: str) -> Path:
    """The path of a file that is as it was prepared; runs from before there were checksums aren't checked.

    Args:
        run: its directory.
        name: "config.json", "encoding.json", "train.examples" or "validation.examples".

    Raises:
        RunError: it was changed, damaged or removed.
    """
    path = run.path / name
    if _OWN_SUM not in run.config:
        return path
    sums = run.config.get(_FILES_SUMS)
    if name == "config.json":
        same = run.config[_OWN_SUM] == _of_values(run.config)
    else:
        same = isinstance(sums, dict) and cast("dict[str, Any]", sums).get(name) == _of_file(path)
    if not same:
        raise RunError(
            f"{path} is not what training was prepared with: it was changed or damaged. Restore it, or train anew."
        )
    return path


@contextmanager
def described(run: RunDirectory) -> Generator[None]:
    """Whatever goes wrong while a run's own description is followed is the description's fault.

    Raises:
        RunError: in place of any other error.
    """
    try:
        yield
    except RunError:
        raise
    except (IfogError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.path}: config.json and encoding.json describe no model that can be built ({error}). Restore them, "
            "or train anew."
        ) from error


def plain(encoding: Any) -> dict[str, Any]:
    """The fields of an encoding's dataclass as JSON values."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(encoding).items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def restored(kind: type[E], values: Mapping[str, Any]) -> E:
    """The encoding that `plain` described.

    Raises:
        RunError: the values are not its fields.
    """
    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}  # pyright: ignore[reportUnknownArgumentType]
    try:
        return kind(**given)
    except TypeError as error:
        raise RunError(f"encoding.json describes no {kind.__name__} ({error}); it is damaged: train anew.") from error


def _of_values(config: Mapping[str, Any]) -> int:
    values = {name: value for name, value in config.items() if name != _OWN_SUM}
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def _of_file(path: Path) -> int:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} can't be read ({error.strerror}): restore it, or train anew.") from error
