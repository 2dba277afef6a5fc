"""A label, or a number, for a whole sequence: the kinds of task "classify" and "regress".

Owns how texts and series become ids and scaled vectors, and what is said of predictions. Takes tables, gives examples,
figures and tables. The network is `ifog.models.classifier`'s.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ifog.errors import ConfigError, DataError
from ifog.examples import Examples, Ragged, Table, Vocabulary, in_batches
from ifog.examples.labelled import read_labelled, write_rows
from ifog.examples.vocabulary import split_words
from ifog.models.classifier import Classifier, ClassifierConfig
from ifog.tasks.classification_options import ClassificationOptions
from ifog.tasks.prepared import plain, restored

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from ifog.cells import Cell

__all__ = ["CLASSIFY", "REGRESS", "ClassificationOptions", "SequenceEncoding"]

WIDTH = 256  # examples judged side by side
SPLITTERS: dict[str, Callable[[str], Sequence[str]]] = {"word": split_words, "char": list}
TEXTS, LABELS = ("text", "sentence", "sequence", "review", "question"), ("label", "class", "target", "category", "y")


@dataclasses.dataclass(frozen=True)
class SequenceEncoding:
    """How a column of texts or series, and one of labels or numbers, become numbers.

    Attributes:
        input: the column that is read.
        label: the column that is predicted.
        tokenizer: "word" or "char"; "" where series are read.
        lower: whether capitals are read as small letters.
        tokens: the vocabulary, without the unknown token.
        labels: names of the classes, in the order of their scores; empty where a number is predicted.
        frequencies: how often each class occurs in training.
        mean: of the training series' columns (D,).
        scale: their standard deviations.
        center: the mean of the numbers to predict.
        spread: their standard deviation.
    """

    input: str
    label: str
    tokenizer: str
    lower: bool
    tokens: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    frequencies: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    center: float = 0.0
    spread: float = 1.0

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens by id."""
        return Vocabulary(self.tokens)

    def split(self, text: Any, where: str) -> Sequence[str]:
        """A text's tokens.

        Raises:
            DataError: it has none.
        """
        tokens = SPLITTERS[self.tokenizer](str(text).lower() if self.lower else str(text))
        if not tokens:
            raise DataError(f"{where}: the column {self.input!r} is empty; give a text with something in it.")
        return tokens

    def encode(self, table: Table, *, labelled: bool = True) -> Examples:
        """See `ifog.tasks.kind.Encoding`."""
        values = table.column(self.input)
        if self.tokenizer:
            vocabulary = self.vocabulary
            rows = [vocabulary.encode(self.split(text, table.where(i))) for i, text in enumerate(values)]
            columns: dict[str, Any] = {"inputs": Ragged.of(rows, np.int32)}
        else:
            checked = [_series(value, len(self.mean), table.where(i)) for i, value in enumerate(values)]
            columns = {"inputs": Ragged.of(checked, checked[0].dtype, (len(self.mean),))}
        if labelled:
            columns["label"] = self._labels(table)
        return Examples(columns)

    def _labels(self, table: Table) -> NDArray[Any]:
        values = table.column(self.label)
        if not self.labels:
            numbers = [_number(value, self.label, table.where(i)) for i, value in enumerate(values)]
            return np.array([(number - self.center) / self.spread for number in numbers], np.float32)
        ids = {label: i for i, label in enumerate(self.labels)}
        for i, value in enumerate(values):
            if str(value) not in ids:
                known = ", ".join(self.labels[:20]) + (", ..." if len(self.labels) > 20 else "")
                raise DataError(
                    f"{table.where(i)}: the label {str(value)!r} never occurs in training; known are {known}. "
                    "Leave the row out, or train with examples of it."
                )
        return np.array([ids[str(value)] for value in values], np.int64)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which columns were taken for what."""
        reads = f"The column {self.input!r} is read"
        if not self.labels:
            return (f"{reads}, the number in {self.label!r} is learned.",)
        shown = ", ".join(self.labels[:8]) + (", ..." if len(self.labels) > 8 else "")
        return (f"{reads}, {self.label!r} is learned: {len(self.labels)} classes, {shown}.",)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return plain(self)


class Classification:
    """The kind of task "classify", or with `numeric` "regress" (implements `ifog.tasks.kind.Kind`)."""

    input = "text"
    options = ClassificationOptions

    def __init__(self, *, numeric: bool = False) -> None:
        self.numeric = numeric
        self.name = "regress" if numeric else "classify"

    def read(self, paths: Sequence[str], options: ClassificationOptions, *, labelled: bool = True) -> Table:
        """Examples of tables, lists or folders; see `ifog.examples.labelled`."""
        return read_labelled(paths, charset=options.charset)

    def split(self, table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
        """Rows at random."""
        return table.split(fraction, seed)

    def encoding(self, table: Table, options: ClassificationOptions) -> SequenceEncoding:
        """The vocabulary or the scale, and the labels, of the training rows.

        Raises:
            DataError: no such column, or one class alone.
        """
        reads = options.input or _guess(table, TEXTS, "series")
        says = options.label or _guess_label(table, reads)
        values, answers = table.column(reads), table.column(says)
        if reads == says:
            raise ConfigError(f"options: input and label are both {reads!r}; give two columns.")
        series = len(values) > 0 and not isinstance(values[0], str)
        start = SequenceEncoding(reads, says, "" if series else options.tokenizer, options.lower)
        if self.numeric:
            numbers = [_number(value, says, table.where(i)) for i, value in enumerate(answers)]
            found: dict[str, Any] = {"center": float(np.mean(numbers)), "spread": float(np.std(numbers)) or 1.0}
        else:
            counts = Counter(str(value) for value in answers)
            if len(counts) < 2:
                raise DataError(
                    f"{table.source}: the column {says!r} has one label alone, {next(iter(counts))!r}; a classifier "
                    "needs examples of at least two. Is it the right column? Give another with --label."
                )
            labels = tuple(sorted(counts))
            found = {"labels": labels, "frequencies": tuple(counts[label] for label in labels)}
        if series:
            mean, scale = _statistics([_series(value, 0, table.where(i)) for i, value in enumerate(values)])
            found |= {"mean": mean, "scale": scale}
        else:
            split = [start.split(text, table.where(i)) for i, text in enumerate(values)]
            found["tokens"] = Vocabulary.counted(split, options.minimum_count).tokens
        return dataclasses.replace(start, **found)

    def restore(self, values: Mapping[str, Any]) -> SequenceEncoding:
        """The encoding that `to_dict` described."""
        return restored(SequenceEncoding, values)

    def build(self, encoding: SequenceEncoding, options: ClassificationOptions, cell: Cell | None) -> nn.Module:
        """A `Classifier`."""
        weights = None
        if options.class_weights == "balanced" and encoding.labels:
            counts = torch.tensor(encoding.frequencies, dtype=torch.float32)
            weights = counts.sum() / (len(counts) * counts)
        config = ClassifierConfig(
            vocabulary_size=len(encoding.vocabulary),
            features=0 if encoding.tokenizer else len(encoding.mean),
            classes=len(encoding.labels),
            cell=options.cell,
            embedding_size=options.embedding_size,
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            bidirectional=options.bidirectional,
            pooling=cast("Any", options.pooling),
            dropout=options.dropout,
            word_dropout=options.word_dropout,
            label_smoothing=options.label_smoothing,
            options=options.cell_options,
        )
        scale = None if encoding.tokenizer else (torch.tensor(encoding.mean), torch.tensor(encoding.scale))
        return Classifier(config, cell, class_weights=weights, scale=scale)

    def metric_of(self, encoding: SequenceEncoding) -> str:
        """Of classes the accuracy, of numbers the root mean square error."""
        return "accuracy" if encoding.labels else "rmse"

    def batched_by(self) -> str | None:
        """The texts or series."""
        return "inputs"

    def figures(
        self, models: Sequence[nn.Module], encoding: SequenceEncoding, examples: Examples, table: Table | None = None
    ) -> dict[str, float]:
        """Of classes "loss" (nats), "accuracy" and "macro_f1"; of numbers "loss", "rmse" and "mae"."""
        said = _answers(models, encoding, examples)
        truth = torch.from_numpy(np.asarray(examples.columns["label"]))
        if self.numeric:
            errors = (said - truth) * encoding.spread
            rmse, mae = float(errors.square().mean().sqrt()), float(errors.abs().mean())
            return {"loss": float((said - truth).square().mean()), "rmse": rmse, "mae": mae}
        from torchmetrics.functional.classification import multiclass_f1_score

        classes = len(encoding.labels)
        return {
            "loss": float(functional.nll_loss(said.log(), truth)),
            "accuracy": float((said.argmax(-1) == truth).double().mean()),
            "macro_f1": float(multiclass_f1_score(said, truth, classes, average="macro")),
        }

    def predict(
        self, models: Sequence[nn.Module], encoding: SequenceEncoding, table: Table, *, probabilities: bool = False
    ) -> Table:
        """The rows with "predicted", of classes also its "probability", and if asked for "probability NAME" of each."""
        if probabilities and self.numeric:
            raise ConfigError("a number is predicted, which has no probability; leave out probabilities.")
        said = _answers(models, encoding, encoding.encode(table, labelled=False))
        if self.numeric:
            return table.with_columns({"predicted": [float(x) * encoding.spread + encoding.center for x in said]})
        best = said.argmax(-1)
        each = {f"probability {label}": said[:, k] for k, label in enumerate(encoding.labels)} if probabilities else {}
        chosen = {"probability": said.gather(1, best.unsqueeze(1)).squeeze(1), **each}
        return table.with_columns({
            "predicted": [encoding.labels[int(i)] for i in best],
            **{name: [round(float(p), 6) for p in column] for name, column in chosen.items()},
        })  # fmt: skip

    def write(self, table: Table, path: Path) -> None:
        """As CSV, TSV or JSON lines."""
        write_rows(table, path)

    def show(self, table: Table) -> str:
        """One row a line: what was predicted, how probable each answer is where that is known, and of what."""
        prefix, lines = "probability ", list[str]()
        classes = [name for name in table.columns if name.startswith(prefix)]
        reads = next(name for name in table.columns if name not in ("predicted", "probability", *classes))
        for row, said in enumerate(table.column("predicted")):
            if classes:
                said = ", ".join(f"{name.removeprefix(prefix)} {table.columns[name][row]:.2f}" for name in classes)
            elif not self.numeric:
                said = f"{said} ({table.column('probability')[row]:.2f})"
            lines.append(f"{said}: {str(table.columns[reads][row])[:100]}")
        return "\n".join(lines)

    def draw(self, models: Sequence[nn.Module], encoding: SequenceEncoding, table: Table) -> Figure:
        """There is none of a single row; `ifog eval --report` draws the confusion matrix."""
        raise ConfigError(
            "a label has no picture; `ifog eval RUN FILE --report confusion.png` draws how they are confused."
        )


CLASSIFY, REGRESS = Classification(), Classification(numeric=True)


@torch.no_grad()
def _answers(models: Sequence[nn.Module], encoding: SequenceEncoding, examples: Examples) -> Tensor:
    """The mean of what models say: probabilities (N, C), or numbers (N,), in the examples' order."""
    device = next(models[0].parameters()).device
    answers = torch.empty(len(examples), len(encoding.labels)) if encoding.labels else torch.empty(len(examples))
    for rows, batch in in_batches(examples, WIDTH, by="inputs"):
        on_device = {name: tensor.to(device) for name, tensor in batch.items()}
        said = torch.stack([model(on_device) for model in models])
        mean = (said.softmax(-1) if encoding.labels else said).mean(0)
        answers[torch.from_numpy(rows)] = mean.cpu()
    return answers


# Columns and their values


def _guess(table: Table, names: Sequence[str], other: str) -> str:
    """The column to read: of a known name, or that of the longest texts."""
    known = [name for name in table.columns if name.lower() in (*names, other)]
    if known:
        return known[0]
    return max(table.columns, key=lambda name: sum(len(str(value)) for value in table.columns[name][:1000]))


def _guess_label(table: Table, reads: str) -> str:
    """The column to predict: of a known name, or that of the fewest different values."""
    others = [name for name in table.columns if name != reads]
    if not others:
        raise DataError(f"{table.source}: there is no column but {reads!r}; a label is needed beside it.")
    known = [name for name in others if name.lower() in LABELS]
    return known[0] if known else min(others, key=lambda name: len({str(value) for value in table.columns[name]}))


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise DataError(f"{where}: the column {name!r} is {value!r}, but numbers are learned; give a finite number.")
    return number


def _series(value: Any, width: int, where: str) -> NDArray[Any]:
    """A series (T, D) without gaps; `width` 0 accepts any D."""
    try:
        array = np.asarray(value)
        array = array.reshape(-1, 1) if array.ndim == 1 else array
        fits = array.ndim == 2 and array.dtype.kind in "uif" and len(array) > 0
    except ValueError:
        fits = False
        array = np.zeros((0, 0))
    if not fits:
        raise DataError(f"{where}: this is no series of numbers; give rows (time) of equal length, at least one.")
    if width and array.shape[1] != width:
        raise DataError(
            f"{where}: this series has {array.shape[1]} columns, those of the training data have {width}; "
            "give the same columns."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        step = int(np.argwhere(~np.isfinite(array).all(1))[0, 0])
        raise DataError(f"{where}: step {step} of this series is not a finite number; fill the gap or leave it out.")
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _statistics(series: Sequence[NDArray[Any]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column over all steps; a constant column is divided by 1."""
    total = sum(len(one) for one in series)
    mean = sum(one.sum(0, dtype=np.float64) for one in series) / total
    square = sum(np.square(one - mean).sum(0) for one in series) / total
    scale = np.sqrt(square)
    return tuple(map(float, np.atleast_1d(mean))), tuple(float(x) or 1.0 for x in np.atleast_1d(scale))
