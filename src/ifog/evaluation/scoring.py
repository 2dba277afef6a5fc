"""What judges a text: anything that gives each token's log-probability after those before it.

Owns the protocol that neural models, n-gram models and mixtures share, and the reading of a text by a recurrent model,
its state carried from start to end. Takes ids, gives natural logarithms. Never sums them up: see `perplexity`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ifog.errors import ConfigError, DataError
from ifog.tracking import tracked

__all__ = ["Chunk", "RecurrentScorer", "Scorer", "chunks", "evaluating", "score", "vocabulary_size"]


class Scorer(Protocol):
    """A language model as its judge sees it."""

    def log_prob(self, ids: NDArray[Any], /) -> NDArray[np.float64]:
        """Natural log-probability of each token given all before it, shape (N,); the first is given nothing."""
        ...


class RecurrentScorer:
    """Judge a text with a recurrent model that reads it as one stream; memory doesn't grow with the text.

    A recurrent model says nothing before it has read a token. With `start` it reads that one first (`<eos>`, where a
    text begins as if after a line's end); without it, the first token has the probability 1 / V.

    Args:
        model: One of `ifog.models`: `log_prob(ids, targets, state)` gives log-probabilities (T, B) and the next state.
        chunk: Time steps read at once.
        start: The id read before the text.

    Raises:
        ConfigError: `chunk` is not positive, or `start` is no id of the model.

    Examples:
        >>> from ifog.models import LanguageModel
        >>> scorer = RecurrentScorer(LanguageModel(65, hidden_size=8))
        >>> scorer.log_prob(np.array([3, 1, 4])).shape
        (3,)
    """

    def __init__(self, model: nn.Module, *, chunk: int = 256, start: int | None = None) -> None:
        if chunk < 1:
            raise ConfigError(f"chunk is {chunk}; the text is read in chunks of at least 1 step.")
        if start is not None and not 0 <= start < vocabulary_size(model):
            raise ConfigError(f"start is {start}, but the model's ids are 0 ... {vocabulary_size(model) - 1}.")
        self.model = model
        self.chunk = chunk
        self.start = start

    @torch.no_grad()
    def log_prob(self, ids: NDArray[Any]) -> NDArray[np.float64]:
        """Natural log-probability of each token given all before it, shape (N,).

        Raises:
            DataError: An id is not one of the model's.
        """
        made = np.full(len(ids), -math.log(vocabulary_size(self.model)))
        state: Any = None
        with evaluating(self.model):
            for part in chunks(self.model, ids, self.chunk, self.start):
                log_prob, state = score(self.model, part, state)
                made[part.begin : part.begin + len(part.targets)] = log_prob.double().cpu().numpy()
        return made

    @torch.no_grad()
    def hidden(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        """The vectors (N, H) that each token is predicted from, for a continuous cache.

        This reads the text once more. Without `start`, the first vector is zero.

        Raises:
            ConfigError: The model has no method `hidden(ids, state)`.
            DataError: An id is not one of the model's, or the text is too short for a vector.
        """
        hidden: Any = getattr(self.model, "hidden", None)
        if hidden is None:
            raise ConfigError(
                f"{type(self.model).__name__} has no method hidden(ids, state) that gives vectors and the next state; "
                f"a continuous cache needs one."
            )
        made: list[NDArray[np.float32]] = []
        state: Any = None
        with evaluating(self.model):
            for part in chunks(self.model, ids, self.chunk, self.start):
                vectors, state = hidden(part.inputs, state)
                made.append(vectors[:, 0].float().cpu().numpy())
        if not made:
            raise DataError(f"a text of {len(ids)} tokens gives no hidden vector; give at least two tokens.")
        if self.start is None:
            made.insert(0, np.zeros_like(made[0][:1]))
        return np.concatenate(made)


class Chunk:
    """Some steps of a text.

    Attributes:
        begin: Position of the first target in the text.
        inputs: Ids read (T, 1), on the model's device.
        targets: Ids to predict (T, 1).
    """

    def __init__(self, begin: int, inputs: Tensor, targets: Tensor) -> None:
        self.begin, self.inputs, self.targets = begin, inputs, targets


def chunks(model: nn.Module, ids: NDArray[Any], size: int, start: int | None) -> Iterator[Chunk]:
    """A text in chunks of at most `size` steps, so that a memory-mapped one is never held.

    Raises:
        DataError: An id is not one of the model's.
    """
    device = next(model.parameters()).device
    vocabulary = vocabulary_size(model)
    if start is not None:
        first, before = 0, start
    elif len(ids):
        _check(ids[:1], 0, vocabulary)
        first, before = 1, int(ids[0])
    else:
        return
    for begin in tracked(range(first, len(ids), size), "judging"):
        targets = np.asarray(ids[begin : begin + size], dtype=np.int64)
        _check(targets, begin, vocabulary)
        inputs = np.empty_like(targets)
        inputs[0] = before
        before = targets[-1]
        inputs[1:] = targets[:-1]
        yield Chunk(begin, *(torch.from_numpy(row).unsqueeze(1).to(device) for row in (inputs, targets)))


def score(model: nn.Module, part: Chunk, state: Any) -> tuple[Tensor, Any]:
    """Log-probabilities of a chunk's targets (T,), and the state after it."""
    read: Any = model.log_prob
    log_prob, state = read(part.inputs, part.targets, state)
    return log_prob[:, 0], state


def vocabulary_size(model: nn.Module) -> int:
    """V, from the model's configuration."""
    config: Any = model.config
    return int(config.vocabulary_size)


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Evaluation mode for a while; every layer gets back the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check(ids: NDArray[Any], begin: int, vocabulary: int) -> None:
    wrong = np.flatnonzero((ids < 0) | (ids >= vocabulary))
    if wrong.size:
        raise DataError(
            f"token {begin + wrong[0]} of the text is the id {ids[wrong[0]]}, but the model's ids are "
            f"0 ... {vocabulary - 1}: text and model come from different tokenizers. Encode the text with the model's."
        )
