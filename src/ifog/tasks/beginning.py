"""Begin a run: find its directory, prepare it in one process, and leave nothing behind where it can't begin.

Owns the type `Run` and the order of preparing and training among processes. Takes functions that prepare and train.
Never knows what is learned.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ifog.errors import BackendError, CellError, ConfigError, DataError
from ifog.runs import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Files", "Run", "begin", "listed", "opened", "paths_of", "rank"]

Files = str | os.PathLike[str]
MISTAKES = (BackendError, CellError, ConfigError, DataError)  # of whoever starts a run: nothing of it is kept


@dataclasses.dataclass(frozen=True)
class Run:
    """What training left behind.

    Attributes:
        path: the run directory.
        step: updates made.
        interrupted: training was stopped early; `resume` goes on.
        metrics: figures of the best weights on the whole validation data; empty after an interruption. Of a language
            model "loss", "bits_per_character", "perplexity", "accuracy".
    """

    path: Path
    step: int
    interrupted: bool
    metrics: Mapping[str, float]


def begin(
    out: Files | None, name: str, prepare: Callable[[RunDirectory], None], train: Callable[[RunDirectory], Run]
) -> Run:
    """Prepare a new run directory in the first process, then train in all.

    Args:
        out: the run directory, which must be new; none: `runs/NAME`, or with a number where that exists.
        name: NAME.
        prepare: writes all that training needs, config.json last.
        train: trains what was prepared.

    Raises:
        ConfigError: several processes without `out`.
        RunError: a directory that exists, or can't be written.
    """
    path = _new_path(out, name)
    before = {path, *path.glob("*")} if path.exists() else set[Path]()
    run = RunDirectory.create(path) if rank() == 0 else RunDirectory(path)
    try:
        if rank() == 0:
            prepare(run)
        return train(_wait_for(run))
    except BaseException as error:
        prepared = (run.path / "config.json").exists() and not isinstance(error, MISTAKES)
        if rank() == 0 and not prepared and not run.has_checkpoint():
            _clear(run, before)
        raise


def opened(run: Run | Files) -> RunDirectory:
    """The run directory of what training returned, or of a path.

    Raises:
        RunError: there is no run.
    """
    return RunDirectory.open(run.path if isinstance(run, Run) else run)


def listed(runs: Run | Files | Sequence[Run | Files]) -> list[Run | Files]:
    """One run or several, as a list.

    Raises:
        ConfigError: none at all.
    """
    several = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    if not several:
        raise ConfigError("no run was given; give the directory that `ifog train` wrote.")
    return several


def paths_of(files: Files | Sequence[Files] | None) -> list[str]:
    """One path, several or none, as strings."""
    if files is None:
        return []
    return [os.fspath(f) for f in ([files] if isinstance(files, str | os.PathLike) else files)]


def rank() -> int:
    """Which of several processes (torchrun) this is."""
    return int(os.environ.get("RANK", "0"))


def _clear(run: RunDirectory, before: set[Path]) -> None:
    """Remove what a run that can't begin has written, and its directory if that wasn't there before."""
    for made in {run.path, *run.path.glob("*")} - before:
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink(missing_ok=True)


def _new_path(out: Files | None, name: str) -> Path:
    if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("several processes train one run, so they need its name; give --out.")
    if out is not None:
        return Path(out)
    return next(path for path in _numbered(Path("runs") / name) if not path.exists())


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _wait_for(run: RunDirectory) -> RunDirectory:
    while not (run.path / "config.json").exists():
        time.sleep(0.1)
    return RunDirectory.open(run.path)
