"""What the common work asks of a kind of task: how files become examples, which model learns them, how it is judged.

Owns the protocols `Kind` and `Encoding`. A new kind of task is one file that implements them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from ifog.cells import Cell
    from ifog.examples import Examples, Table
    from ifog.tasks.options import TaskOptions

__all__ = ["Encoding", "Kind"]


class Encoding(Protocol):
    """How rows become numbers: vocabularies, labels, scales; learned from the training rows alone."""

    def encode(self, table: Table, *, labelled: bool = True) -> Examples:
        """The rows as numbers.

        Args:
            table: rows as `Kind.read` gives them.
            labelled: whether they carry what is to be learned.

        Raises:
            DataError: a row that can't be encoded, such as an unknown label; names file and line.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files left open and was decided, in sentences for whoever started training."""
        ...


class Kind(Protocol):
    """A kind of task that learns from examples.

    Attributes:
        name: as in `--task`.
        input: the column that a prediction needs.
        options: the dataclass of its options.
    """

    name: str
    input: str

    @property
    def options(self) -> type[TaskOptions]:
        """The dataclass of its options."""
        ...

    def read(self, paths: Sequence[str], options: Any, *, labelled: bool = True) -> Table:
        """The rows of files.

        Raises:
            DataError: a file that can't be read or lacks a column; names file and line.
        """
        ...

    def split(self, table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
        """What is learned from, and a share that is held back to judge the model: rows at random, steps by time.

        Raises:
            DataError: too little to hold some back.
        """
        ...

    def encoding(self, table: Table, options: Any) -> Encoding:
        """What the training rows teach about encoding."""
        ...

    def restore(self, values: Mapping[str, Any]) -> Encoding:
        """The encoding that `Encoding.to_dict` described.

        Raises:
            RunError: values that describe none.
        """
        ...

    def build(self, encoding: Any, options: Any, cell: Cell | None) -> nn.Module:
        """A model with fresh weights whose `loss(batch)` gives the loss and figures."""
        ...

    def metric_of(self, encoding: Any) -> str:
        """The figure that counts, by its name in `figures`: it chooses the best checkpoint."""
        ...

    def batched_by(self) -> str | None:
        """The ragged column whose lengths are kept together in a batch."""
        ...

    def figures(
        self, models: Sequence[nn.Module], encoding: Any, examples: Examples, table: Table | None = None
    ) -> dict[str, float]:
        """How good the models are together, in evaluation mode: "loss" and what `metric_of` names among others."""
        ...

    def predict(
        self, models: Sequence[nn.Module], encoding: Any, table: Table, *, probabilities: bool = False
    ) -> Table:
        """The rows with what the models, in evaluation mode, say of them together in new columns.

        Raises:
            ConfigError: `probabilities` of a kind that chooses between no classes.
        """
        ...

    def write(self, table: Table, path: Path) -> None:
        """Write predicted rows in the format of the file's name."""
        ...

    def show(self, table: Table) -> str:
        """A few predicted rows as text."""
        ...

    def draw(self, models: Sequence[nn.Module], encoding: Any, table: Table) -> Figure:
        """What the models make of the table's first row, as a picture.

        Raises:
            ConfigError: this kind has no picture.
        """
        ...
