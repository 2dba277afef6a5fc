"""Beam search for decoders: the best hypotheses of many sources side by side.

Owns the search: all hypotheses of all sources of a batch go through one step of the recurrence together. Takes
decoders that were opened for steps, gives hypotheses in order of their scores. Several models vote as an ensemble.
Never draws, never knows text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ifog.errors import ConfigError
from ifog.models.decoder import DecoderSteps, Start
from ifog.models.translator import Translator, VectorDecoder

__all__ = ["BeamOptions", "Hypothesis", "search_beams", "translate", "write_vectors"]


@dataclass(frozen=True)
class BeamOptions:
    """How to search.

    Attributes:
        width: hypotheses kept of each source; 1 is greedy.
        length_penalty: α of Wu et al. (2016): log-probabilities are divided by ((5 + length) / 6) ** α, so that 0
            favours short hypotheses. The end's token counts.
        coverage_penalty: β of Wu et al. (2016): β times the sum over the source of log min(attention so far, 1) is
            added, so that what was never looked at costs. Needs attention.
        ratio: no hypothesis gets longer than this many times its source,
        extra: plus this many tokens.

    Raises:
        ConfigError: a value out of its range.
    """

    width: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    ratio: float = 2.0
    extra: int = 10

    def __post_init__(self) -> None:
        if self.width < 1 or self.extra < 1:
            raise ConfigError(f"beam search: width is {self.width} and extra {self.extra}; give 1 or more of both.")
        for name in ("length_penalty", "coverage_penalty", "ratio"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"beam search: {name} is {getattr(self, name)!r}; give 0 or more.")


class Hypothesis(NamedTuple):
    """What was written for a source.

    Attributes:
        ids: its tokens, without the end's.
        log_prob: of all tokens, the end's included.
        score: what hypotheses are ranked by.
        ended: whether it came to its end; if not, it was cut at the longest length.
    """

    ids: list[int]
    log_prob: float
    score: float
    ended: bool


class _Finished(NamedTuple):
    """A hypothesis that is over: the steps before its last token, whom it went on from there, and that token."""

    score: float
    log_prob: float
    step: int
    parent: int
    token: int


def translate(
    models: Sequence[Translator], source: Tensor, lengths: Tensor, options: BeamOptions | None = None
) -> list[list[Hypothesis]]:
    """The best hypotheses of each source, the best one first.

    Args:
        models: in evaluation mode; several of them write together, by the mean of their probabilities.
        source: (S, B) tokens.
        lengths: (B,) of them.
        options: how to search.

    Raises:
        ConfigError: no model, models of different vocabularies, or a penalty on coverage without attention.

    Examples:
        >>> from ifog.models.translator import TranslatorConfig
        >>> model = Translator(TranslatorConfig(9, source_vocabulary=7, embedding_size=4, hidden_size=6)).eval()
        >>> found = translate([model], torch.tensor([[1, 2], [6, 6]]), torch.tensor([2, 2]), BeamOptions(width=3))
        >>> [len(hypotheses) for hypotheses in found]
        [3, 3]
    """
    options = options or BeamOptions()
    with torch.no_grad():
        starts = [model.begin(source, lengths) for model in models]
    limits = (lengths.double() * options.ratio).long() + options.extra
    return _opened(models, starts, limits, options)


def write_vectors(
    models: Sequence[VectorDecoder], vectors: Tensor, length: int, options: BeamOptions | None = None
) -> list[list[Hypothesis]]:
    """The best sequences for vectors (B, D), each of at most `length` tokens; see `translate`."""
    with torch.no_grad():
        starts = [model.begin(vectors) for model in models]
    limits = torch.full((len(vectors),), length)
    return _opened(models, starts, limits, options or BeamOptions())


def _opened(
    models: Sequence[Translator] | Sequence[VectorDecoder],
    starts: Sequence[Start],
    limits: Tensor,
    options: BeamOptions,
) -> list[list[Hypothesis]]:
    if not models or len({model.config.vocabulary_size for model in models}) > 1:
        raise ConfigError(
            "beam search: models that write together need one vocabulary; give at least one model, and only models "
            "that were trained with the same encoding."
        )
    if not len(limits):
        return []
    steps = [DecoderSteps(model.decoder, start, options.width) for model, start in zip(models, starts, strict=True)]
    return search_beams(steps, limits, models[0].config.end, options)


@torch.no_grad()
def search_beams(
    steps: Sequence[DecoderSteps], limits: Tensor, end: int, options: BeamOptions
) -> list[list[Hypothesis]]:
    """The search itself.

    At each step every kept hypothesis is followed by every token. Of the best W continuations those that end are
    finished; the best W that go on are kept. A source is done when W of its hypotheses are finished or at its limit,
    where what is kept is finished as it is. With a width of all sequences up to the limit the best of all is found.

    Args:
        steps: opened for `options.width` hypotheses of each source, one for each model.
        limits: (B,) tokens at most, the end's included.
        end: the token that ends a hypothesis.
        options: how to search.

    Returns:
        For each source at most W hypotheses.

    Raises:
        ConfigError: a penalty on coverage without attention.

    Source:
        Wu et al. (2016), Google's neural machine translation system, arXiv:1609.08144, section 7.
    """
    width, batch = options.width, len(limits)
    limits = limits.cpu()
    tokens = torch.full((width, batch), end)
    total = torch.full((width, batch), -math.inf)
    total[0] = 0.0  # all hypotheses are the same at first: one of them stands for all
    covered: Tensor | None = None
    trail: list[tuple[Tensor, Tensor]] = []  # of what was kept at each step: whom it goes on from, and its token
    found: list[list[_Finished]] = [[] for _ in range(batch)]
    going = limits > 0
    while bool(going.any()):
        log_probs, weights = _vote(steps, tokens)
        if options.coverage_penalty:
            covered = _covered(covered, weights)
        total, parents, tokens = _followed(total, log_probs, 2 * width)
        length = len(trail) + 1
        ends, last = tokens == end, limits == length
        finished = (ends | last) & going & (total > -math.inf)
        finished[width:] = False
        scores = total / ((5 + length) / 6) ** options.length_penalty
        if covered is not None:
            scores = scores + options.coverage_penalty * _unseen(covered).gather(0, parents)
        over = cast("list[list[int]]", finished.nonzero().tolist())
        for rank, b in over:
            numbers = float(scores[rank, b]), float(total[rank, b])
            origin = len(trail), int(parents[rank, b]), int(tokens[rank, b])
            found[b].append(_Finished(*numbers, *origin))
        going &= ~last & torch.tensor([len(one) < width for one in found], dtype=torch.bool)
        # each hypothesis can end in one way, so of 2 W continuations at least W go on
        total, kept = torch.where(ends, -math.inf, total).topk(width, 0)
        parents, tokens = parents.gather(0, kept), tokens.gather(0, kept)
        trail.append((parents, tokens))
        for one in steps:
            one.follow(parents)
        if covered is not None:
            covered = covered.gather(0, parents.unsqueeze(-1).expand_as(covered))
    return [_best(one, b, trail, end, width) for b, one in enumerate(found)]


def _vote(steps: Sequence[DecoderSteps], tokens: Tensor) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities (W, B, V) of the models' mean, and their mean attention (W, B, S) if all have one."""
    read = [one.step(tokens) for one in steps]
    log_probs = read[0][0]
    if len(read) > 1:
        log_probs = torch.stack([p for p, _ in read]).logsumexp(0) - math.log(len(read))
    weights = [w for _, w in read if w is not None]
    return log_probs, sum(weights[1:], weights[0]) / len(weights) if len(weights) == len(read) else None


def _followed(total: Tensor, log_probs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of all hypotheses of a source, each (count, B): log-probability, parent and token."""
    _, batch, vocabulary = log_probs.shape
    # the best of each hypothesis first: a few numbers are left to compare, and to bring from another device
    each, tokens = (part.cpu() for part in log_probs.topk(min(count, vocabulary), -1))
    pairs = (total.unsqueeze(-1) + each).permute(0, 2, 1).reshape(-1, batch)
    best, places = pairs.topk(count, 0)
    return best, places // each.shape[-1], tokens.permute(0, 2, 1).reshape(-1, batch).gather(0, places)


def _covered(before: Tensor | None, weights: Tensor | None) -> Tensor:
    """How much each hypothesis has looked at each place of its source, (W, B, S)."""
    if weights is None:
        raise ConfigError("beam search: coverage_penalty needs attention, which a model here has not; give 0.")
    return weights.cpu() if before is None else before + weights.cpu()


def _unseen(covered: Tensor) -> Tensor:
    """The sum over the source of log min(attention so far, 1), (W, B).

    What pads a source has a weight of exactly 0, and doesn't count.
    """
    return torch.where(covered > 0, covered.clamp(max=1.0).log(), 0.0).sum(-1)


def _best(
    finished: list[_Finished], b: int, trail: list[tuple[Tensor, Tensor]], end: int, width: int
) -> list[Hypothesis]:
    """The finished hypotheses of source b, best first, with their tokens found backwards along the trail."""
    made: list[Hypothesis] = []
    for one in sorted(finished, key=lambda f: f.score, reverse=True)[:width]:
        ids, place = [one.token], one.parent
        for parents, tokens in reversed(trail[: one.step]):
            ids.append(int(tokens[place, b]))
            place = int(parents[place, b])
        ended = one.token == end
        ids = ids[:0:-1] if ended else ids[::-1]
        made.append(Hypothesis(ids, one.log_prob, one.score, ended))
    return made
