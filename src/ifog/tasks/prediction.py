"""Next-token prediction as a task for the trainer: its batches, its loss, its figures, its samples.

Owns what "good" means for a language model: nats per token, bits per character, perplexity, accuracy. Takes encoded
text and a model, gives losses and figures. Never writes a file, never steps an optimiser.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ifog.data import IGNORED, StreamBatch, Streams, one_pass
from ifog.errors import ConfigError, DataError
from ifog.evaluation.perplexity import exponential
from ifog.generation import Sampling, generate
from ifog.layers import detach_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from ifog.data import Tokenizer
    from ifog.models import LanguageModel, NextTokenModel
    from ifog.training import Batches

__all__ = ["MinCharRNN", "NextToken", "figures"]

STREAM = 100_000  # tokens up to which a text is judged as one stream, and the least length of each when it is longer
CHUNK = 1000  # time steps judged at once
STREAMS, EXCERPT = 32, 1024  # streams and the length of each that judge the model while it is trained
SAMPLE = 200  # tokens of a sample shown while training, as many as the lectures' program draws


def figures(model: nn.Module, ids: np.ndarray[Any, Any], tokenizer: Tokenizer) -> dict[str, float]:
    """How well the model predicts a whole text, the state carried from its start to its end.

    A text of up to 100,000 tokens is read as one stream, exactly. A longer one is cut into equal streams of at least
    that length, which are read side by side, each from the zero state.

    Args:
        model: a language model, in evaluation mode.
        ids: (N,) tokens.
        tokenizer: made the ids; tells how many characters they stand for.

    Returns:
        "loss" (nats per token), "bits_per_character", "perplexity" and "accuracy" (both per token).

    Raises:
        DataError: fewer than two tokens, so that there is nothing to predict.
    """
    return _figures(model, one_pass(ids, max(1, len(ids) // STREAM), CHUNK), _characters(ids, tokenizer))


def _characters(ids: np.ndarray[Any, Any], tokenizer: Tokenizer) -> float:
    """Characters per token."""
    return len(tokenizer.decode(ids)) / len(ids)


@torch.no_grad()
def _figures(model: nn.Module, batches: Iterable[StreamBatch], characters: float) -> dict[str, float]:
    device = next(model.parameters()).device
    nats, right, tokens, state = 0.0, 0, 0, None
    for batch in batches:
        targets = batch.targets.to(device)
        logits, state = model(batch.inputs.to(device), None if batch.reset else state)
        nats += float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        right += int((logits.argmax(-1) == targets).sum())
        tokens += int((targets != IGNORED).sum())
    loss = nats / tokens
    return {
        "loss": loss,
        "bits_per_character": loss / math.log(2) / characters,
        "perplexity": exponential(loss),
        "accuracy": right / tokens,
    }


@dataclasses.dataclass
class NextToken:
    """Predict each next token of a text that is read in parallel streams (implements `ifog.training.Task`).

    The loss is the mean over a chunk in nats per token. Gradients stop at the chunk's start, the state goes on.

    Attributes:
        train: (N,) ids that are learned from.
        validation: (M,) ids that the model is judged on.
        tokenizer: made the ids.
        batch_size: parallel streams, B.
        sequence: time steps per chunk, T.
        seed: of the samples.
    """

    train: np.ndarray[Any, Any]
    validation: np.ndarray[Any, Any]
    tokenizer: Tokenizer
    batch_size: int
    sequence: int
    seed: int = 0

    def __post_init__(self) -> None:
        self.characters = _characters(self.validation, self.tokenizer)

    @property
    def items(self) -> str:
        """What the speed is told in."""
        return "tokens"

    def batches(self, rank: int, world: int) -> Batches:
        """The endless chunks of this process's share of the streams."""
        return Streams(self.train, self.batch_size, self.sequence, rank=rank, world=world)

    def loss(self, model: nn.Module, batch: StreamBatch, carry: Any) -> tuple[Tensor, dict[str, Any], Any]:
        """Mean nats per token over one chunk, its figures, and the state to go on from."""
        loss, carry = cast("NextTokenModel", model).loss(batch.inputs, batch.targets, None if batch.reset else carry)
        bits = loss.detach() / (math.log(2) * self.characters)
        return loss, {"bits_per_character": bits, "items": float(batch.targets.numel())}, carry

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Figures on an excerpt, quickly: many streams spread evenly over the validation text.

        `figures` on the whole text is the result that counts; this one chooses the best checkpoint.
        """
        width = max(1, min(STREAMS, len(self.validation) // EXCERPT))
        length = min(EXCERPT, len(self.validation) // width)
        starts = np.linspace(0, len(self.validation) - length, width).astype(np.int64)
        text = torch.from_numpy(np.stack([self.validation[i : i + length] for i in starts], axis=1).astype(np.int64))
        inputs, targets = text[:-1], text[1:]
        chunks = [slice(i, i + self.sequence) for i in range(0, length - 1, self.sequence)]
        batches = [StreamBatch(inputs[chunk], targets[chunk], reset=chunk.start == 0) for chunk in chunks]
        return _figures(model, batches, self.characters)

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Nats per token."""
        return (metrics["loss"],)

    def sample(self, model: nn.Module) -> str | None:
        """A short text that goes on from the first token of the validation text."""
        return self._sampled(model, torch.tensor([[int(self.validation[0])]]))

    def _sampled(self, model: nn.Module, prime: Tensor, state: Any = None) -> str:
        made = generate(cast("LanguageModel", model), prime, SAMPLE, sampling=Sampling(seed=self.seed), state=state)
        return self.tokenizer.decode([int(token) for token in made])


class WholePasses:
    """The lectures' data pointer: one stream of chunks, from the text's start again when less than a chunk is left.

    Args:
        ids: (N,) tokens.
        sequence: time steps per chunk, T.

    Raises:
        DataError: the text is no longer than one chunk.
    """

    def __init__(self, ids: np.ndarray[Any, Any], sequence: int) -> None:
        if len(ids) <= sequence:
            raise DataError(
                f"min-char-rnn: the text holds {len(ids)} tokens, but a chunk of {sequence} steps and the token to be "
                f"predicted last take {sequence + 1}; give a longer text, or --sequence {max(1, len(ids) - 1)}."
            )
        self.ids, self.sequence, self.position = ids, sequence, 0

    def __iter__(self) -> WholePasses:
        return self

    def __next__(self) -> StreamBatch:
        if self.position + self.sequence + 1 >= len(self.ids):
            self.position = 0
        start, end = self.position, self.position + self.sequence
        tokens = torch.from_numpy(np.asarray(self.ids[start : end + 1], dtype=np.int64)).unsqueeze(1)
        self.position = end
        return StreamBatch(tokens[:-1], tokens[1:], reset=start == 0)

    def state_dict(self) -> dict[str, int]:
        """Where the next chunk begins."""
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.position = int(state["position"])


class MinCharRNN(NextToken):
    """The lectures' program: the loss is the sum over one stream's chunk, and samples go on from where it reads."""

    going_on: tuple[Tensor, Any] | None = None  # the next input and the state before it

    def batches(self, rank: int, world: int) -> Batches:
        """The one stream.

        Raises:
            ConfigError: more than one process.
        """
        if world > 1:
            raise ConfigError("min-char-rnn: it reads one stream, in one process; start it without torchrun.")
        return WholePasses(self.train, self.sequence)

    def loss(self, model: nn.Module, batch: StreamBatch, carry: Any) -> tuple[Tensor, dict[str, Any], Any]:
        """Summed nats of one chunk, its figures, and the state to go on from."""
        mean, metrics, carry = super().loss(model, batch, carry)
        self.going_on = batch.targets[-1:], detach_state(carry)
        return mean * batch.targets.numel(), metrics, carry

    def sample(self, model: nn.Module) -> str | None:
        """200 characters that go on from where the training text is being read."""
        return self._sampled(model, *self.going_on) if self.going_on else super().sample(model)
