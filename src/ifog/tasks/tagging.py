"""A tag for each word of a sentence: the kind of task "tag".

Owns what is said of predictions. Takes tables, gives figures and tables. The network is
`ifog.models.tagger`'s; how words become numbers is `tagging_encoding`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ifog.errors import ConfigError, DataError
from ifog.examples import Examples, Ragged, Table, Vocabulary
from ifog.examples.chunks import in_chunks
from ifog.examples.spans import span_scheme, to_iob1, to_iob2
from ifog.examples.tagged import PREDICTED, PROBABILITY, read_tagged, write_tagged
from ifog.examples.vectors import read_vectors
from ifog.examples.vocabulary import split_words
from ifog.models.tagger import StreamingTagger, Tagger, TaggerConfig, labels_of, probabilities_of
from ifog.tasks.prepared import restored
from ifog.tasks.tagging_encoding import TaggingEncoding, normalised, strings_of
from ifog.tasks.tagging_options import CHUNK_AND_CRF, TaggingOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from ifog.cells import Cell

__all__ = ["TAG", "TagStream", "Tagging", "TaggingOptions"]

WIDTH = 128  # sentences judged side by side
STEPS = 512  # of each that are judged at once, where the model can go on from a state: memory has a bound


class Tagging:
    """The kind of task "tag" (implements `ifog.tasks.kind.Kind`)."""

    name = "tag"
    input = "words"
    options = TaggingOptions

    def read(self, paths: Sequence[str], options: TaggingOptions, *, labelled: bool = True) -> Table:
        """Sentences of CoNLL columns, CoNLL-U or JSON lines; see `ifog.examples.tagged`."""
        return read_tagged(paths, words=options.words, tags=options.tags, labelled=labelled)

    def split(self, table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
        """Sentences at random; the end of a sequence that is alone."""
        return table.cut(fraction, ("words", "tags")) if len(table) == 1 else table.split(fraction, seed)

    def encoding(self, table: Table, options: TaggingOptions) -> TaggingEncoding:
        """Words, characters and tags of the training rows.

        Raises:
            DataError: one tag alone, or pretrained vectors that can't be read.
            ConfigError: pretrained vectors of another size than `embedding_size`.
        """
        sentences = [strings_of(table, row, "words") for row in range(len(table))]
        tags = [strings_of(table, row, "tags") for row in range(len(table))]
        scheme = span_scheme(tags)
        learned = [to_iob2(row) for row in tags] if scheme in ("IOB1", "IOB2") else tags
        known = Vocabulary.counted(learned).tokens
        if len(known) < 2:
            raise DataError(
                f"{table.source}: {f'{known[0]!r} is the only tag' if known else 'there is no tag'}; a tagger needs at "
                "least two to choose from. Is it the right column? Give another with --tags."
            )
        normal = [[normalised(word, options.lower, options.zero_digits) for word in row] for row in sentences]
        words = Vocabulary.counted(normal, options.minimum_count).tokens
        frequent = len(Vocabulary.counted(normal, max(2, options.minimum_count)).tokens)
        characters = Vocabulary.counted(word for row in sentences for word in row).tokens
        return TaggingEncoding(
            words=words + self._pretrained(options, set(words)),
            seen=len(words),
            frequent=frequent,
            characters=characters if options.character_hidden_size else (),
            tags=tuple(sorted(known)),
            scheme=scheme,
            lower=options.lower,
            zero_digits=options.zero_digits,
            longest_word=options.longest_word,
        )

    def _pretrained(self, options: TaggingOptions, seen: set[str]) -> tuple[str, ...]:
        """The words that have a pretrained vector and don't occur in training."""
        if options.vectors is None:
            return ()
        vectors = read_vectors(options.vectors, limit=options.vectors_limit)
        if vectors.values.shape[1] != options.embedding_size:
            raise ConfigError(
                f"{options.vectors} has vectors of {vectors.values.shape[1]} numbers, but embedding_size is "
                f"{options.embedding_size}; give --embedding-size {vectors.values.shape[1]}."
            )
        words = dict.fromkeys(normalised(word, options.lower, options.zero_digits) for word in vectors.words)
        return tuple(word for word in words if word not in seen)

    def restore(self, values: Mapping[str, Any]) -> TaggingEncoding:
        """The encoding that `to_dict` described."""
        return restored(TaggingEncoding, values)

    def build(self, encoding: TaggingEncoding, options: TaggingOptions, cell: Cell | None) -> nn.Module:
        """A `Tagger`; pretrained vectors are its first word vectors."""
        crf = options.output == "crf" or (options.output == "auto" and encoding.scheme is not None)
        if crf and options.chunk:
            raise ConfigError(CHUNK_AND_CRF)
        config = TaggerConfig(
            vocabulary_size=len(encoding.vocabulary),
            labels=encoding.tags,
            rare=(encoding.frequent + 1, encoding.seen + 1),
            word_dropout=options.word_dropout,
            characters=len(encoding.characters) + 2 if encoding.characters else 0,
            embedding_size=options.embedding_size,
            character_embedding_size=options.character_embedding_size,
            character_hidden_size=max(1, options.character_hidden_size),
            cell=options.cell,
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            bidirectional=options.bidirectional,
            crf=crf,
            dropout=options.dropout,
            label_smoothing=options.label_smoothing,
            options=options.cell_options,
        )
        model = Tagger(config, cell)
        if options.vectors is not None:
            _fill(model, encoding, options)
        return model

    def metric_of(self, encoding: TaggingEncoding) -> str:
        """The F1 of spans where tags mark some, else the accuracy."""
        return "accuracy" if encoding.scheme is None else "f1"

    def batched_by(self) -> str | None:
        """The words."""
        return "words"

    def figures(
        self, models: Sequence[nn.Module], encoding: TaggingEncoding, examples: Examples, table: Table | None = None
    ) -> dict[str, float]:
        """How right the tags are.

        Returns:
            "loss" (nats per word, the models' mean), "accuracy", "accuracy_unknown" (of words that training didn't
            have, where there are some); where tags mark spans "f1", "precision" and "recall" of whole spans, as
            conlleval counts them, else "macro_f1".
        """
        made, loss = _answers(models, examples)
        words, truth = cast("Ragged", examples.columns["words"]), cast("Ragged", examples.columns["tags"])
        said = np.concatenate(made)
        right = said == truth.values
        unknown = (words.values == 0) | (words.values > encoding.seen)
        figures = {"loss": loss, "accuracy": float(right.mean())}
        if unknown.any():
            figures["accuracy_unknown"] = float(right[unknown].mean())
        if encoding.scheme is None:
            from torchmetrics.functional.classification import multiclass_f1_score

            macro = multiclass_f1_score(
                torch.from_numpy(said), torch.from_numpy(truth.values), len(encoding.tags), average="macro"
            )
            return figures | {"macro_f1": float(macro)}
        return figures | _span_figures(
            [[encoding.tags[int(number)] for number in truth[row]] for row in range(len(truth))],
            [[encoding.tags[int(number)] for number in row] for row in made],
        )

    def predict(
        self, models: Sequence[nn.Module], encoding: TaggingEncoding, table: Table, *, probabilities: bool = False
    ) -> Table:
        """The rows with "predicted", a list of tags each; a sentence that is a text is split into words and marks.

        With `probabilities` also "probability", of each of these tags whatever its neighbours are.
        """
        said: Sequence[Any] = table.column("words")
        table = table.with_columns({"words": [split_words(one) if isinstance(one, str) else one for one in said]})
        examples = encoding.encode(table, labelled=False)
        made, _ = _answers(models, examples)
        if probabilities:
            table = table.with_columns({PROBABILITY: _probabilities(models, examples, made)})
        found = [[encoding.tags[int(number)] for number in row] for row in made]
        return table.with_columns({PREDICTED: [to_iob1(tags) if encoding.scheme == "IOB1" else tags for tags in found]})

    def write(self, table: Table, path: Path) -> None:
        """See `ifog.examples.tagged.write_tagged`."""
        write_tagged(table, path)

    def show(self, table: Table) -> str:
        """One sentence a line, each word with its tag, its probability if known, the true one if that is another."""
        lines: list[str] = []
        for row in range(len(table)):
            words, said = table.columns["words"][row], table.columns[PREDICTED][row]
            truth = table.columns["tags"][row] if "tags" in table.columns else said
            known = PROBABILITY in table.columns
            sure = [f" {p:.2f}" for p in table.columns[PROBABILITY][row]] if known else [""] * len(words)
            wrong = [f" (not {true})" if tag != true else "" for tag, true in zip(said, truth, strict=True)]
            lines.append(" ".join(f"{w}/{tag}{p}{n}" for w, tag, p, n in zip(words, said, sure, wrong, strict=True)))
        return "\n".join(lines)

    def draw(self, models: Sequence[nn.Module], encoding: TaggingEncoding, table: Table) -> Figure:
        """There is none of a single sentence; `ifog eval --report` draws the confusion matrix."""
        raise ConfigError(
            "tags have no picture; `ifog eval RUN FILE --report confusion.png` draws how they are confused."
        )


TAG = Tagging()


class TagStream:
    """A trained tagger opened for words as they come: one word in, the probability of each tag out, state in and out.

    Args:
        model: as `ifog.load` gives it.

    Raises:
        ConfigError: its tags depend on words that come later.

    Examples:
        >>> from ifog.examples.made_tags import made_tags
        >>> encoding = TAG.encoding(made_tags(9), TaggingOptions(steps=1))
        >>> options = TaggingOptions(steps=1, bidirectional=False, output="softmax", hidden_size=8)
        >>> model = TAG.build(encoding, options, None).eval()
        >>> model.encoding = encoding
        >>> stream, state = TagStream(model), None
        >>> for word in ("The", "old", "house"):
        ...     probabilities, state = stream.step(word, state)
        >>> sorted(probabilities) == sorted(encoding.tags)
        True
    """

    def __init__(self, model: Any) -> None:
        self.encoding: TaggingEncoding = model.encoding
        self._stream: StreamingTagger = model.streaming()

    def step(self, word: str, state: Any = None) -> tuple[dict[str, float], Any]:
        """The probability of each tag for the next word, and the next state.

        Args:
            word: as it stands in a text.
            state: as it was returned, None at the start of a sequence.
        """
        one = self.encoding.encode(Table({"words": [[word]]}, [("stream", 1)]), labelled=False).batch(np.zeros(1, int))
        found, state = self._stream.step(one["words"][0], state, one["spellings"][0] if "spellings" in one else None)
        probabilities = cast("list[float]", found[0].tolist())
        return dict(zip(self.encoding.tags, probabilities, strict=True)), state


@torch.no_grad()
def _answers(models: Sequence[nn.Module], examples: Examples) -> tuple[list[NDArray[np.int64]], float]:
    """The tags that models choose together, by example, and their mean loss in nats per word (0 without true tags)."""
    taggers = cast("Sequence[Tagger]", models)
    lengths = cast("Ragged", examples.columns["words"]).lengths
    made = [np.zeros(length, np.int64) for length in lengths]
    nats = 0.0
    for rows, start, batch, scores in _read(taggers, examples):
        labels = labels_of(taggers, scores, batch["words_lengths"]).cpu().numpy()
        here = batch["words_lengths"].cpu().numpy()
        for column, row in enumerate(rows):
            made[int(row)][start : start + here[column]] = labels[: here[column], column]
        if "tags" in batch and here.any():
            each = [model.nats(one, batch) for model, one in zip(taggers, scores, strict=True)]
            nats += int(here.sum()) * float(torch.stack(each).mean())
    return made, nats / max(1, int(lengths.sum()))


@torch.no_grad()
def _probabilities(
    models: Sequence[nn.Module], examples: Examples, made: Sequence[NDArray[np.int64]]
) -> list[list[float]]:
    """How probable models together hold each of the tags that they have chosen, by example."""
    taggers = cast("Sequence[Tagger]", models)
    found = [np.zeros(len(row)) for row in made]
    for rows, start, batch, scores in _read(taggers, examples):
        every = probabilities_of(taggers, scores, batch["words_lengths"]).cpu().numpy()
        here = batch["words_lengths"].cpu().numpy()
        for column, row in enumerate(rows):
            steps = slice(start, start + here[column])
            found[int(row)][steps] = every[np.arange(here[column]), column, made[int(row)][steps]]
    return [[round(float(p), 6) for p in row] for row in found]


def _read(
    models: Sequence[Tagger], examples: Examples
) -> Iterator[tuple[NDArray[np.int64], int, dict[str, Tensor], list[Tensor]]]:
    """Examples in batches, long ones in chunks where models can go on: rows, first step, batch, each model's scores."""
    device = next(models[0].parameters()).device
    steps = STEPS if all(model.reads_on for model in models) else None
    states: list[Any] = []
    for rows, start, batch in in_chunks(examples, WIDTH, steps, by="words"):
        states = states if start else [None] * len(models)
        on_device = {name: tensor.to(device) for name, tensor in batch.items()}
        read = [model.read(on_device, state) for model, state in zip(models, states, strict=True)]
        states = [state for _, state in read]
        yield rows, start, on_device, [one for one, _ in read]


def _span_figures(truth: list[list[str]], said: list[list[str]]) -> dict[str, float]:
    """Of whole spans, type and both ends, over all sentences."""
    from seqeval import metrics

    judges = {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}
    none = cast("Any", 0)  # of a division by no spans; its type allows "warn" alone
    return {name: float(cast("float", judge(truth, said, zero_division=none))) for name, judge in judges.items()}


def _fill(model: Tagger, encoding: TaggingEncoding, options: TaggingOptions) -> None:
    """Put pretrained vectors into a fresh model; a word as it stands counts more than one that becomes it."""
    vectors = read_vectors(str(options.vectors), limit=options.vectors_limit)
    chosen: dict[int, int] = {}
    for place, word in enumerate(vectors.words):
        normal = normalised(word, options.lower, options.zero_digits)
        number = encoding.vocabulary.ids.get(normal)
        if number is not None and (number not in chosen or word == normal):
            chosen[number] = place
    with torch.no_grad():
        model.embedding.weight[list(chosen)] = torch.from_numpy(vectors.values[list(chosen.values())])
