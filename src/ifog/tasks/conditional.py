"""Let a model write what a title asks for: it reads the title and a separator, and writes until the end of the record.

Owns how a title becomes a prompt, what ends the text, and what a model makes of titles. Takes a model that was trained
on records (see `ifog.data.documented`) and titles, gives prompts and stop texts for whatever writes. Never chooses a
token.

Training knows nothing of records: the loss counts title and text alike, as in any text. That needs no mask, teaches
the model titles too, and costs little where titles are short beside their texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from ifog.data.documented import END, SEPARATOR, Pair, opening, record
from ifog.errors import ConfigError, DataError
from ifog.generation.sampling import Sampling, primed, sample

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ifog.models import LanguageModel
    from ifog.models.language import Tokenizer

__all__ = ["Prompt", "complete", "prompt_of", "use_of_titles"]


class Prompt(NamedTuple):
    """What to read before writing, and where to stop.

    Attributes:
        text: The prime. Without a beginning it ends with the separator: the line break after it is the model's to
            write, since a byte pair may join it with the indentation that follows.
        shown: What a reader sees of it: the title, and how the text begins.
        stops: Texts that end what is written.
    """

    text: str
    shown: str
    stops: tuple[str, ...]


def prompt_of(model: LanguageModel, title: str, begin: str = "") -> Prompt:
    """The prompt that makes a model write the text of a title.

    Args:
        model: Trained on records, with its tokenizer.
        title: Signature and docstring, name of a recipe: what "prompt" was in training.
        begin: How the text shall begin.

    Raises:
        ConfigError: The model has no tokenizer, or one that doesn't know the marks: it was trained on other text.
        DataError: The title is empty, or either text holds a mark.
    """
    if model.tokenizer is None:
        raise ConfigError("title: this model has no tokenizer; load it with ifog.load(RUN).")
    text, shown = opening(title), title.strip("\r\n")
    if any(mark in begin for mark in (SEPARATOR, END)):
        raise DataError("the beginning of the text holds a mark of records, U+0002 or U+0003; leave that out.")
    if not all(_knows(model.tokenizer, mark) for mark in (SEPARATOR, END)):
        raise ConfigError(
            "title: this run never saw a title: its tokenizer lacks the separator (U+0002) and the end (U+0003) of "
            "records. Make a text of pairs with `ifog make-pairs pairs.txt`, and train on that."
        )
    rest = f"\n{begin}" if begin else ""
    return Prompt(text + rest, shown + rest, ("\n" + END, END))


def complete(
    model: LanguageModel,
    title: str,
    length: int = 500,
    *,
    begin: str = "",
    sampling: Sampling | None = None,
    stop: Collection[str] = (),
) -> str:
    """The text that a model writes for a title, up to the end of its record.

    Args:
        model: Trained on records, with its tokenizer.
        title: What is asked for.
        length: Tokens to write at most.
        begin: How the text shall begin; part of what is returned.
        sampling: How tokens are chosen.
        stop: Texts that end it too.

    Raises:
        ConfigError: As `prompt_of` and `ifog.generation.sample`.
        DataError: As `prompt_of`, or a character the model has never seen.
    """
    prompt = prompt_of(model, title, begin)
    text = sample(model, prompt.text, length, sampling=sampling, stop=[*prompt.stops, *stop])
    return begin + text if begin else text.removeprefix("\n")


@torch.no_grad()
def use_of_titles(model: LanguageModel, pairs: Sequence[Pair]) -> tuple[float, float]:
    """Mean nats per token of texts after their own title, and after that of the next pair.

    The difference is what the model makes of titles: without one it has learned how texts look, and no more.

    Args:
        model: Trained on records, with its tokenizer, in evaluation mode.
        pairs: Two or more, best ones that training didn't see.

    Raises:
        DataError: Fewer than two pairs, or a part that can't be read.
        ConfigError: As `prompt_of`.
    """
    if len(pairs) < 2:
        raise DataError(f"the use of titles: {len(pairs)} pairs were given; another's title takes two or more.")
    sums: list[float] = []
    for shift in (0, 1):
        nats, tokens = 0.0, 0
        for index, pair in enumerate(pairs):
            title = pairs[(index + shift) % len(pairs)].prompt
            ids, _ = primed(model, prompt_of(model, title).text)
            whole, _ = primed(model, f"{END}\n{record(Pair(title, pair.completion))}")
            read = torch.tensor(whole, device=next(model.parameters()).device).unsqueeze(1)
            log_prob, _ = model.log_prob(read[:-1], read[1:])
            nats -= float(log_prob[len(ids) - 1 :].sum())
            tokens += len(whole) - len(ids)
        sums.append(nats / tokens)
    return sums[0], sums[1]


def _knows(tokenizer: Tokenizer, mark: str) -> bool:
    try:
        ids = tokenizer.encode(mark)
    except DataError:
        return False
    return len(ids) == 1 and tokenizer.decode(ids) == mark
