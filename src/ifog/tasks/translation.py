"""Translation, and whatever else turns one text into another.

Owns the encoding (byte pairs of both texts, the end's token, the order of the source), the figures (nats, BLEU, chrF,
BLEU by length) and the pictures of attention. Takes tables with the columns "source" and "target". Never trains.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from ifog.data import BPETokenizer, id_dtype
from ifog.errors import ConfigError, DataError, IfogError, RunError
from ifog.evaluation.translations import bleu, bleu_by_length, chrf, draw_attention
from ifog.examples import Examples, Ragged, Table, in_batches
from ifog.examples.parallel import SOURCE, TARGET, read_parallel, write_parallel
from ifog.generation.translating import BeamOptions, translate
from ifog.models.translator import Translator, TranslatorConfig
from ifog.tasks.translation_options import TranslationOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ifog.compiler import Cell

__all__ = ["TRANSLATE", "Translation", "TranslationEncoding", "attention_map"]

PREDICTED = "translation"
_BATCH = 64  # sentences judged or translated at once


@dataclass(frozen=True)
class TranslationEncoding:
    """Texts as byte pairs, closed by the end's token, which is the last of each vocabulary.

    Each text is encoded with a space before it, so that its first word has the tokens that it has elsewhere.

    Attributes:
        source: makes the source's tokens.
        target: makes the target's; the same object where the vocabulary is joint.
        reversed_source: whether the source's tokens (but the end's) are in opposite order.
        beam: how to search, which belongs to a run as its weights do.
    """

    source: BPETokenizer
    target: BPETokenizer
    reversed_source: bool = False
    beam: BeamOptions = field(default_factory=BeamOptions)

    @property
    def joint(self) -> bool:
        """Whether both sides have one vocabulary."""
        return self.source is self.target

    def encode(self, table: Table, *, labelled: bool = True) -> Examples:
        """Columns "source" and, where labelled, "target".

        Raises:
            DataError: a missing column, or an empty text; names file and line.
        """
        columns = {SOURCE: self._encoded(_texts(table, SOURCE), self.source, self.reversed_source)}
        if labelled:
            columns[TARGET] = self._encoded(_texts(table, TARGET), self.target, False)
        return Examples(columns)

    def _encoded(self, texts: Iterable[str], tokenizer: BPETokenizer, backwards: bool) -> Ragged:
        end = tokenizer.vocabulary_size
        rows = [tokenizer.encode(f" {text}").tolist() for text in texts]
        return Ragged.of([[*(row[::-1] if backwards else row), end] for row in rows], id_dtype(end + 1))

    def text(self, ids: Sequence[int]) -> str:
        """What tokens of the target say, with or without the end's."""
        end = self.target.vocabulary_size
        return self.target.decode([token for token in ids if token != end]).strip()

    @property
    def notes(self) -> tuple[str, ...]:
        """How many tokens the texts have."""
        if self.joint:
            return (f"Source and target share {self.source.vocabulary_size:,} byte pairs.",)
        return (
            f"{self.source.vocabulary_size:,} byte pairs of the source, {self.target.vocabulary_size:,} of the target.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "source": self.source.to_dict(),
            "target": None if self.joint else self.target.to_dict(),
            "reversed_source": self.reversed_source,
            "beam": asdict(self.beam),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TranslationEncoding:
        """What `to_dict` described.

        Raises:
            RunError: values that describe none.
        """
        try:
            source = BPETokenizer(json.dumps(values["source"]))
            target = source if values["target"] is None else BPETokenizer(json.dumps(values["target"]))
            return cls(source, target, bool(values["reversed_source"]), BeamOptions(**values["beam"]))
        except (KeyError, TypeError, IfogError) as error:
            raise RunError(
                f"the run's encoding describes no translation ({error!r}); restore its files, or train anew."
            ) from error


def _texts(table: Table, name: str) -> list[str]:
    """A column's texts, without white space at their ends."""
    texts: list[str] = []
    for row, value in enumerate(table.column(name)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{table.where(row)}: the {name} is {value!r}; give a text that is not empty.")
        texts.append(value.strip())
    return texts


class Translation:
    """The kind of task whose input and output are texts (a `Kind`)."""

    name = "translate"
    input = SOURCE
    options = TranslationOptions

    def read(self, paths: Sequence[str], options: TranslationOptions, *, labelled: bool = True) -> Table:
        """The pairs of two texts, or of one table; see `read_parallel`."""
        return read_parallel(paths, labelled=labelled)

    def split(self, table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
        """Rows at random."""
        return table.split(fraction, seed)

    def encoding(self, table: Table, options: TranslationOptions) -> TranslationEncoding:
        """Byte pairs of the training texts, learned jointly or for each side."""
        texts = [[f" {text}\n" for text in _texts(table, name)] for name in (SOURCE, TARGET)]
        size = options.vocabulary_size
        if options.joint:
            source = target = BPETokenizer.from_chunks([*texts[0], *texts[1]], vocabulary_size=size)
        else:
            source, target = (BPETokenizer.from_chunks(side, vocabulary_size=size) for side in texts)
        beam = BeamOptions(options.beam, options.length_penalty, options.coverage_penalty)
        return TranslationEncoding(source, target, options.reversed_source, beam)

    def restore(self, values: Mapping[str, Any]) -> TranslationEncoding:
        """The encoding of a run."""
        return TranslationEncoding.from_dict(values)

    def build(self, encoding: TranslationEncoding, options: TranslationOptions, cell: Cell | None) -> Translator:
        """A `Translator` with fresh weights."""
        config = TranslatorConfig(
            encoding.target.vocabulary_size + 1,
            source_vocabulary=encoding.source.vocabulary_size + 1,
            embedding_size=options.embedding_size,
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            cell=options.cell,
            cell_options=options.cell_options,
            bidirectional=options.bidirectional,
            attention=cast("Any", options.attention),
            input_feeding=options.input_feeding,
            start=cast("Any", options.start),
            context=options.context,
            shared=encoding.joint,
            tied=options.tied,
            dropout=options.dropout,
            label_smoothing=options.label_smoothing,
            scheduled_sampling=options.scheduled_sampling,
            sampling_batches=options.sampling_batches,
        )
        return Translator(config, cell)

    def metric_of(self, encoding: TranslationEncoding) -> str:
        """BLEU."""
        return "bleu"

    def batched_by(self) -> str | None:
        """Sources of similar length go together."""
        return SOURCE

    def figures(
        self,
        models: Sequence[nn.Module],
        encoding: TranslationEncoding,
        examples: Examples,
        table: Table | None = None,
    ) -> dict[str, float]:
        """How good translations are.

        Args:
            models: in evaluation mode; several vote by the mean of their probabilities.
            encoding: of the run.
            examples: labelled.
            table: the rows of the examples. With it translations are searched with the run's beam, judged by the texts
                themselves, and also by length; without it, as while training, they are greedy and judged by what the
                targets' tokens say, which is the same text.

        Returns:
            "loss" (nats per token, no label smoothing), "perplexity", "bleu", "chrf", and with a table "bleu 1-10" etc.
        """
        translators = cast("Sequence[Translator]", models)
        loss = _nats(translators, examples)
        beam = BeamOptions(1) if table is None else encoding.beam
        made = _translated(translators, encoding, examples, beam)
        if table is None:
            column = cast("Ragged", examples.columns[TARGET])
            wanted: Sequence[str] = [encoding.text(column[row].tolist()) for row in range(len(examples))]
        else:
            wanted = table.column(TARGET)
        found = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}  # beyond, a float has no room
        found |= {"bleu": bleu(made, wanted), "chrf": chrf(made, wanted)}
        if table is not None:
            by_length = bleu_by_length(table.column(SOURCE), made, wanted)
            found |= {f"bleu {words}": score for words, score in by_length.items()}
        return found

    def predict(
        self, models: Sequence[nn.Module], encoding: TranslationEncoding, table: Table, *, probabilities: bool = False
    ) -> Table:
        """The rows with a column "translation", searched with the run's beam."""
        if probabilities:
            raise ConfigError("a translation is one of endlessly many; leave out probabilities.")
        examples = encoding.encode(table, labelled=False)
        made = _translated(cast("Sequence[Translator]", models), encoding, examples, encoding.beam)
        return table.with_columns({PREDICTED: made})

    def write(self, table: Table, path: Path) -> None:
        """All columns into .tsv or .jsonl, otherwise the translations alone, one a line."""
        write_parallel(table, path, PREDICTED)

    def show(self, table: Table) -> str:
        """The rows: what was read, what was written, what was wanted."""
        blocks: list[str] = []
        names = [name for name in (SOURCE, PREDICTED, TARGET) if name in table.columns]
        for row in range(len(table)):
            blocks.append("\n".join(f"{name:>11}  {table.columns[name][row]}" for name in names))
        return "\n\n".join(blocks)

    def draw(self, models: Sequence[nn.Module], encoding: TranslationEncoding, table: Table) -> Figure:
        """Where the first model looks while it writes the translation of the first row, or its target if there is one.

        Raises:
            ConfigError: a model without attention.
        """
        target = table.column(TARGET)[0] if TARGET in table.columns else None
        return attention_map(cast("Translator", models[0]), encoding, table.column(SOURCE)[0], target)


TRANSLATE = Translation()


def attention_map(model: Translator, encoding: TranslationEncoding, source: str, target: str | None = None) -> Figure:
    """Where a translator looks while it writes.

    Args:
        model: in evaluation mode, with attention.
        encoding: of the run.
        source: a text.
        target: what it is to write; None: what it would write.

    Returns:
        A picture; the source is in the order that people read.

    Raises:
        ConfigError: a model without attention, or an empty text.
    """
    if not source.strip() or (target is not None and not target.strip()):
        raise ConfigError("attention map: the text is empty; give a sentence.")
    row = Table({SOURCE: [source.strip()]}, [("text", 1)])
    if target is None:
        target = TRANSLATE.predict([model], encoding, row).column(PREDICTED)[0]
    batch = _moved(encoding.encode(row.with_columns({TARGET: [target]})), [0], model)
    weights = model.alignment(batch[SOURCE], batch[f"{SOURCE}_lengths"], batch[TARGET])[:, 0]
    read, written = _pieces(encoding.source, batch[SOURCE]), _pieces(encoding.target, batch[TARGET])
    if encoding.reversed_source:
        read = [*read[-2::-1], read[-1]]
        weights = torch.cat([weights[:, :-1].flip(1), weights[:, -1:]], 1)
    return draw_attention(weights, read, written)


def _pieces(tokenizer: BPETokenizer, ids: Tensor) -> list[str]:
    """What each token of one sequence (T, 1) says; part of a character or a mere space is shown as a dot."""
    said = (tokenizer.decode([int(token)]).strip().replace("\N{REPLACEMENT CHARACTER}", "") for token in ids[:-1, 0])
    return [*(text or "\N{MIDDLE DOT}" for text in said), "END"]


@torch.no_grad()
def _nats(models: Sequence[Translator], examples: Examples) -> float:
    """Mean nats per token of the models' mean probability."""
    nats, tokens = 0.0, 0
    for rows, _ in in_batches(examples, _BATCH, by=TARGET):
        each: list[Tensor] = []
        for model in models:
            batch = _moved(examples, rows, model)
            start = model.begin(batch[SOURCE], batch[f"{SOURCE}_lengths"])
            each.append(model.decoder.log_prob(start, batch[TARGET], batch[f"{TARGET}_lengths"]).cpu().double())
        counted = int(examples.lengths(TARGET)[rows].sum())
        together = torch.stack(each).logsumexp(0) - math.log(len(each))
        # past the ends every model says 0, and so does their mean
        nats, tokens = nats - float(together.sum()), tokens + counted
    return nats / tokens


def _translated(
    models: Sequence[Translator], encoding: TranslationEncoding, examples: Examples, beam: BeamOptions
) -> list[str]:
    """The best translation of each example."""
    made = [""] * len(examples)
    for rows, _ in in_batches(examples, _BATCH, by=SOURCE):
        batch = _moved(examples, rows, models[0])
        found = translate(models, batch[SOURCE], batch[f"{SOURCE}_lengths"], beam)
        for row, hypotheses in zip(rows.tolist(), found, strict=True):
            made[row] = encoding.text(hypotheses[0].ids)
    return made


def _moved(examples: Examples, rows: Any, model: Translator) -> dict[str, Tensor]:
    """A batch on the model's device."""
    import numpy as np

    device = next(model.parameters()).device
    return {name: tensor.to(device) for name, tensor in examples.batch(np.asarray(rows)).items()}
