"""Record figures: as JSON lines in the run directory and as curves for TensorBoard.

Owns the protocol of a logger and these two. Never computes a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torch.utils.tensorboard.writer import SummaryWriter

from ifog.errors import RunError
from ifog.runs import RunDirectory

__all__ = ["JsonLinesLogger", "Logger", "TensorBoardLogger"]


class Logger(Protocol):
    """A place for figures; the loop calls it in the first process alone."""

    def resume(self, step: int) -> None:
        """Called once before anything is logged: what was recorded after `step` will be recorded again."""
        ...

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Record the figures of one step; `kind` is "train" or "evaluation"."""
        ...

    def text(self, kind: str, step: int, value: str) -> None:
        """Record a text of one step, such as a sample."""
        ...

    def flush(self) -> None:
        """Called before each checkpoint: what was logged must survive a kill from here on."""
        ...

    def close(self) -> None:
        """Called once, at the end."""
        ...


class JsonLinesLogger:
    """Writes metrics.jsonl: {"step": ..., "kind": "train" or "evaluation" or "sample", figures}."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def resume(self, step: int) -> None:
        """Cut the file back to the records up to `step`."""
        self._run.cut_metrics(step)

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Add one line."""
        self._run.append_metrics({"step": step, "kind": kind, **values})

    def text(self, kind: str, step: int, value: str) -> None:
        """Add one line with a text."""
        self._run.append_metrics({"step": step, "kind": kind, "text": value})

    def flush(self) -> None:
        """Nothing to do: each line is handed to the system as it is written."""

    def close(self) -> None:
        """Nothing to do."""


class TensorBoardLogger:
    """Writes event files with one curve per figure, named "train/loss" and so on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def resume(self, step: int) -> None:
        """Start an event file; TensorBoard then leaves out what older ones hold after `step`."""
        try:
            self._writer = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None)
        except OSError as error:
            raise RunError(f"{self._folder} can't be written: {error.strerror or error}. Free some space.") from error

    def log(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._open.add_scalar(f"{kind}/{name}", value, step)

    def text(self, kind: str, step: int, value: str) -> None:
        """Add a text, shown as it is."""
        self._open.add_text(kind, f"```\n{value}\n```", step)

    def flush(self) -> None:
        """Hand everything to the system."""
        self._open.flush()

    def close(self) -> None:
        """Finish the event file."""
        self._open.close()

    @property
    def _open(self) -> SummaryWriter:
        assert self._writer is not None, "resume is called first"
        return self._writer
