"""The same prompt gone on with by chance, by the likeliest token and by search: what each way of choosing writes.

Owns their texts and how likely the model takes each for. Takes a model and a prompt, gives texts. Never draws itself.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import torch

from ifog.errors import ConfigError
from ifog.generation.beam import beam_search
from ifog.generation.sampling import Sampling, generate, primed
from ifog.generation.stopping import before

if TYPE_CHECKING:
    from collections.abc import Collection

    from ifog.models import LanguageModel

__all__ = ["Choice", "compare_choices", "search"]

WIDTH = 5


class Choice(NamedTuple):
    """What one way of choosing wrote.

    Attributes:
        text: Without the prompt and without the stop text.
        log_prob: Of all its tokens after the prompt, in nats, those of the stop text among them.
        tokens: How many those are.
    """

    text: str
    log_prob: float
    tokens: int


def search(
    model: LanguageModel,
    prime: str = "",
    length: int = 500,
    *,
    width: int = WIDTH,
    stop: Collection[str] = (),
    length_penalty: float = 0.0,
) -> Choice:
    """The likeliest text that a beam search finds.

    Args:
        model: with a `.tokenizer`, in evaluation mode.
        prime: text that is read first; an empty one is a line break, where the vocabulary has it.
        length: tokens to write at most.
        width: continuations kept at each step.
        stop: texts that end a continuation, within a token or across several.
        length_penalty: see `beam_search`.

    Raises:
        ConfigError: no tokenizer, an empty stop text, a width or length below 1, or a prime of no token.
        DataError: the prime or a stop text holds a character the model has never seen.
    """
    ids, text = primed(model, prime, stop)
    if not ids:
        raise ConfigError("beam search: the prompt has no token to begin from; give one of at least a word.")
    device = next(model.parameters()).device
    best = beam_search(
        model,
        torch.tensor(ids, device=device).unsqueeze(1),
        length,
        width=width,
        stop=(lambda made: before(text.of(made), stop) is not None) if stop else (),
        length_penalty=length_penalty,
    )[0]
    written = text.of(best.ids)
    ended = before(written, stop)
    return Choice(written if ended is None else ended, best.log_prob, len(best.ids))


def compare_choices(
    model: LanguageModel,
    prime: str = "",
    length: int = 500,
    *,
    sampling: Sampling | None = None,
    width: int = WIDTH,
    stop: Collection[str] = (),
) -> dict[str, Choice]:
    """What softmax, argmax and beam write after the same prompt.

    How likely a text is, the plain softmax always judges, whatever temperature it was drawn at. The beam's is the
    highest of the three where the search is wide enough, and rarely the one that reads best (Holtzman et al. 2020,
    arXiv:1904.09751).

    Args:
        model: with a `.tokenizer`, in evaluation mode.
        prime: text that is read first.
        length: tokens to write at most.
        sampling: of the softmax.
        width: of the beam.
        stop: texts that end a text.

    Returns:
        "softmax", "argmax" and "beam".

    Raises:
        ConfigError: as `search` and `stream`.
        DataError: the prime or a stop text holds a character the model has never seen.
    """
    chosen = dataclasses.replace(sampling or Sampling(), greedy=False)
    return {
        "softmax": _drawn(model, prime, length, chosen, stop),
        "argmax": _drawn(model, prime, length, Sampling(greedy=True), stop),
        "beam": search(model, prime, length, width=width, stop=stop),
    }


@torch.no_grad()
def _drawn(model: LanguageModel, prime: str, length: int, sampling: Sampling, stop: Collection[str]) -> Choice:
    """A text made token by token, and how likely it is."""
    ids, text = primed(model, prime, stop)
    if not ids:
        raise ConfigError("sampling: the prompt has no token to begin from; give one of at least a word.")
    column = torch.tensor(ids, device=next(model.parameters()).device).unsqueeze(1)
    made: list[int] = []
    ended: str | None = None
    for token in generate(model, column, length, sampling=sampling):
        made.append(int(token))
        if stop and (ended := before(text.of(made), stop)) is not None:
            break
    if not made:
        return Choice("", 0.0, 0)
    read = torch.cat([column, column.new_tensor(made).unsqueeze(1)])
    log_prob, _ = model.log_prob(read[:-1], read[1:])
    return Choice(text.of(made) if ended is None else ended, float(log_prob[-len(made) :].sum()), len(made))
