"""Draw text from a language model, token by token, each fed back as the next input.

Owns how a token is chosen from its scores (temperature, top-k, top-p, greedy) and the loop that feeds it back. Takes
a model and a prime, gives ids or text as they are made. Never trains.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import torch

from ifog.errors import ConfigError, DataError
from ifog.generation import compiled
from ifog.generation.stopping import check_stops, until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from torch import Tensor

    from ifog.models import LanguageModel
    from ifog.models.language import Tokenizer

__all__ = ["Continuation", "Sampling", "generate", "primed", "probabilities", "sample", "stream"]


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen from the model's scores.

    Attributes:
        temperature: divides the scores before the softmax: below 1 safer and more repetitive, above 1 wilder.
        top_k: keep only the k likeliest tokens.
        top_p: keep the fewest likeliest tokens that together reach this probability (Holtzman et al. 2020).
        greedy: always take the likeliest token (argmax), without chance.
        seed: the same seed gives the same text; None draws a new one each time.

    Raises:
        ConfigError: a value out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    greedy: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ConfigError(f"sampling: seed is {self.seed}, but it must be a whole number from 0 to 2**63 - 1.")
        if not (0.0 < self.temperature < math.inf):
            raise ConfigError(
                f"sampling: the temperature is {self.temperature}, but the scores are divided by it: give a number "
                "above 0 (0.5 is safe, 1 is what the model believes, 1.5 is wild), or choose greedy sampling."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(
                f"sampling: top-k is {self.top_k}, but it is how many tokens stay in the draw: give 1 or more, "
                "or leave it out to keep all."
            )
        if not (0.0 < self.top_p <= 1.0):
            raise ConfigError(
                f"sampling: top-p is {self.top_p}, but it is a probability that the kept tokens reach together: "
                "give a number above 0 and up to 1 (0.9 is common; 1 keeps all)."
            )


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """The distribution that the next token is drawn from.

    Args:
        logits: (..., V) scores.
        sampling: temperature, top-k, top-p, greedy.

    Returns:
        (..., V), non-negative, each row summing to 1; tokens ruled out have exactly 0.
    """
    if sampling.greedy:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.size(-1)).to(logits.dtype)
    above = logits - logits.amax(-1, keepdim=True)  # at most 0, so that a tiny temperature can't overflow
    ranked, order = (above / sampling.temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    if sampling.top_k is not None:
        ranked[..., sampling.top_k :] = 0
        ranked = ranked / ranked.sum(-1, keepdim=True)
    if sampling.top_p < 1:
        likelier = ranked.cumsum(-1) - ranked  # probability of all tokens before this one; of the first exactly 0
        ranked = ranked * (likelier < sampling.top_p)
    return torch.zeros_like(ranked).scatter_(-1, order, ranked / ranked.sum(-1, keepdim=True))


def generate(
    model: LanguageModel,
    prime: Tensor,
    length: int,
    *,
    sampling: Sampling,
    stop: Collection[int] = (),
    state: Any = None,
) -> Iterator[Tensor]:
    """Yield the next token of each sequence, `length` times or until all have stopped.

    Args:
        model: scores (1, B, V) for ids (1, B) and a state.
        prime: (T, B) ids that are read first and not yielded; T may be 0: then the first token is drawn evenly
            from the vocabulary (greedy: it is token 0).
        length: how many tokens to make.
        sampling: how to choose.
        stop: tokens that end a sequence; a sequence that ended goes on yielding the token that ended it.
        state: the model's state before the prime; None starts afresh.

    Yields:
        (B,) int64, on the model's device.

    Raises:
        ConfigError: a negative length.
    """
    if length < 0:
        raise ConfigError(f"sampling: the length is {length}; give how many tokens to make, 0 or more.")
    device = next(model.parameters()).device
    generator = torch.Generator(device)
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    ended = torch.zeros(prime.size(1), dtype=torch.bool, device=device)
    ids, chosen = prime.to(device), prime.new_zeros(prime.size(1), device=device)
    engine = prime.size(1) > 0 and not compiled.obstacle(model)
    endings = torch.tensor(list(stop), dtype=torch.int64, device=device)
    for made in range(length):
        if engine and len(ids):
            if len(ids) > 1:
                _, state = _scores(model, ids[:-1], state)
            yield from compiled.tokens(
                model, ids[-1], ended, state, length - made, sampling=sampling, generator=generator, endings=list(stop)
            )
            return
        scores, state = _scores(model, ids, state)
        drawn = torch.multinomial(probabilities(scores, sampling), 1, generator=generator).squeeze(-1)
        chosen = torch.where(ended, chosen, drawn)
        yield chosen
        ended |= torch.isin(chosen, endings)
        if bool(ended.all()):
            return
        ids = chosen.unsqueeze(0)


def stream(
    model: LanguageModel,
    prime: str = "",
    length: int = 500,
    *,
    sampling: Sampling | None = None,
    stop: Collection[str] = (),
) -> Iterator[str]:
    """Yield new text piece by piece as it is made, usually a character at a time.

    Args:
        model: a model with a `.tokenizer`, as `ifog.load` gives.
        prime: text that is read first, so that the new text goes on from it; it isn't yielded. Without one, the
            text starts at the beginning of a line, or where the vocabulary has no line break, at a random token.
        length: tokens to make.
        sampling: how to choose; the plain softmax by default.
        stop: texts that end the stream where the new text comes to hold one, within a token or across several; they
            are not yielded.

    Yields:
        Text; the pieces joined are the sample.

    Raises:
        ConfigError: the model has no tokenizer, an empty stop text, or a negative length.
        DataError: the prime or a stop text holds a character the model has never seen.
    """
    ids, text = primed(model, prime, stop)
    made = generate(model, torch.tensor(ids, dtype=torch.int64).unsqueeze(1), length, sampling=sampling or Sampling())
    return until(text.pieces(int(token) for token in made), stop)


def sample(
    model: LanguageModel,
    prime: str = "",
    length: int = 500,
    *,
    sampling: Sampling | None = None,
    stop: Collection[str] = (),
) -> str:
    """The whole of what `stream` yields, as one string; the prime isn't part of it."""
    return "".join(stream(model, prime, length, sampling=sampling, stop=stop))


class Continuation:
    """The text of ids that go on from a prime: whether a word begins with a space depends on what was before.

    Args:
        tokenizer: Made the ids.
        prime: Ids read before.
    """

    def __init__(self, tokenizer: Tokenizer, prime: Sequence[int]) -> None:
        self._tokenizer, self._prime = tokenizer, prime

    def pieces(self, made: Iterable[int]) -> Iterator[str]:
        """The text each id completes, as far as it completes any, and what is left at the end."""
        decoder = self._tokenizer.decoder()
        for token in self._prime:
            decoder.feed(token)
        for token in made:
            if text := decoder.feed(token):  # empty while the bytes so far end within a character
                yield text
        if text := decoder.finish():
            yield text

    def of(self, made: Iterable[int]) -> str:
        """The text of all the ids."""
        return "".join(self.pieces(made))


def primed(model: LanguageModel, prime: str, stop: Collection[str] = ()) -> tuple[list[int], Continuation]:
    """The ids of a prime (of a line break where it is empty), and what turns ids that follow it into text.

    Raises:
        ConfigError: the model has no tokenizer, or an empty stop text.
        DataError: the prime or a stop text holds a character the model has never seen.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ConfigError(
            "sampling: this model has no tokenizer, so it can't read the prime or write text; load it with "
            "ifog.load(RUN), or set model.tokenizer yourself."
        )
    check_stops(stop)
    for text in stop:
        tokenizer.encode(text)  # what it can't say it never writes
    ids = [int(i) for i in tokenizer.encode(prime or _line_break(tokenizer))]
    return ids, Continuation(tokenizer, ids)


@torch.no_grad()
def _scores(model: LanguageModel, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Scores (B, V) of the next token after `ids` (T, B), and the new state; even scores where T is 0."""
    if len(ids) == 0:
        return torch.zeros(ids.size(1), model.config.vocabulary_size, device=ids.device), state
    training = model.training
    model.eval()
    try:
        logits, state = model(ids, state)
    finally:
        model.train(training)
    return logits[-1].float(), state


def _line_break(tokenizer: Tokenizer) -> str:
    try:
        tokenizer.encode("\n")
    except DataError:
        return ""
    return "\n"
