"""What a published result is, and how its reproduction is judged.

Owns the description of a recipe, where its corpus lies, and its verdict. Takes figures, gives records that survive
JSON. Never trains anything.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifog.errors import DataError, RunError
from ifog.tasks.kinds import HIGHER
from ifog.writing import write_atomically

if TYPE_CHECKING:
    from ifog.training import Progress

__all__ = ["DATA", "Corpora", "Outcome", "Recipe", "Work"]

DATA = "IFOG_DATA"  # the environment variable that names the folder of corpora

UNITS = {
    "perplexity": "perplexity", "bits_per_token": "bits per character", "loss": "nats per character",
    "accuracy": "accuracy", "f1": "entity F1", "bleu": "BLEU", "nll": "nats per step",
    "rmse": "root mean square error",
    "relative_error": "of the seasonal naive forecast's error",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Corpora:
    """The files or folders of a recipe: names below the folder that IFOG_DATA names.

    Attributes:
        train: Learned from; none: the recipe makes its data.
        validation: Chooses the weights; none: the end of `train`.
        test: Judged once, at the end; none: the validation text is what the published figure is of.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None

    def paths(self, folder: Path | None = None) -> dict[str, Path]:
        """Each text's path, by its use.

        Args:
            folder: In place of IFOG_DATA.

        Raises:
            DataError: The folder is not known, or lacks a file.
        """
        if self.train is None:
            return {}
        root = folder or (Path(os.environ[DATA]) if os.environ.get(DATA) else None)
        if root is None:
            raise DataError(
                f"the corpus of this recipe can't be given away with ifog; put {self.train} into a folder and name "
                f"that folder with --data or in the environment variable {DATA}."
            )
        found = {use: root / name for use, name in dataclasses.asdict(self).items() if name}
        for path in found.values():
            if not path.exists():
                raise DataError(f"{path} doesn't exist, though this recipe reads it; look what {DATA} or --data names.")
        return found


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out.

    Attributes:
        figure: In the recipe's metric.
        seconds: Of the work, all resumes together.
        parameters: Numbers that were learned or counted.
        details: Further figures by name.
    """

    figure: float
    seconds: float
    parameters: int
    details: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])


Work = Callable[[Mapping[str, Path], Path, "Progress | None"], "Outcome | None"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A published result, and the work that reproduces it.

    Attributes:
        name: On the command line.
        title: In a table.
        source: The paper.
        published: Its figure; None: none is known for just this system.
        metric: What the figure is of, one of `UNITS`.
        expected: Between which figures the reproduction succeeds.
        minutes: About how long it takes on two cores.
        corpora: The texts.
        work: Takes their paths, a run directory and a progress display; does the work, or goes on with it. Gives None
            if it was stopped.
    """

    name: str
    title: str
    source: str
    published: float | None
    metric: str
    expected: tuple[float, float]
    minutes: float
    corpora: Corpora
    work: Work

    @property
    def unit(self) -> str:
        """The metric in words."""
        return UNITS[self.metric]

    def verdict(self, figure: float) -> str:
        """One sentence on a figure: reproduced, better, or short of what was expected."""
        low, high = self.expected
        if low <= figure <= high:
            return "reproduced"
        if (figure > high) == (self.metric in HIGHER):
            return f"better than expected ({low:g} to {high:g})"
        return f"not reproduced: at {f'least {low:g}' if self.metric in HIGHER else f'most {high:g}'} was expected"

    def save(self, outcome: Outcome, folder: Path) -> None:
        """Write reproduction.json."""
        values = {
            "recipe": self.name,
            "metric": self.metric,
            "published": self.published,
            **dataclasses.asdict(outcome),
        }
        write_atomically(folder / "reproduction.json", json.dumps(values, indent=2).encode())

    def saved(self, folder: Path) -> Outcome | None:
        """What `save` wrote, if it was.

        Raises:
            RunError: The file is damaged.
        """
        path = folder / "reproduction.json"
        if not path.exists():
            return None
        try:
            values: dict[str, Any] = json.loads(path.read_bytes())
            if values["recipe"] != self.name:
                raise RunError(f"{path} is of the recipe {values['recipe']}, not of {self.name}; give another --out.")
            return Outcome(**{f.name: values[f.name] for f in dataclasses.fields(Outcome)})
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged ({error!r}); remove it and run the recipe again.") from error
