"""What writes a sequence: a recurrence over what was written so far, attention after it, a softmax.

Owns the order embedding, recurrence, attention, readout, softmax; the loss with label smoothing; scheduled sampling;
and single steps for many hypotheses side by side. Takes a `Start` (state, memory, context) and tokens, time first.
Never knows what the start was made of: a sentence, a picture or any vector.

Attention stands after the recurrence (Luong et al. 2015), so no step of the recurrence waits for it: where the targets
are known the whole decoder is one call of `Recurrent`, and attention one batched product for all steps. With attention
before it (Bahdanau et al. 2015) or fed back (`input_feeding`) every step waits for the one before, in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog import cells
from ifog.compiler import Cell
from ifog.errors import ConfigError
from ifog.layers import Recurrent
from ifog.layers.attention import Memory, attention
from ifog.layers.cross_entropy import mean_nats
from ifog.layers.dropout import dropout
from ifog.layers.softmax import FullSoftmax
from ifog.models.interface import ModelConfig

__all__ = ["Decoder", "DecoderConfig", "DecoderSteps", "ScaledEmbedding", "Start", "StartState"]


@dataclass(frozen=True)
class DecoderConfig(ModelConfig):
    """Shapes and rates of a decoder. The last token of the vocabulary ends a sequence, and stands before its first.

    Attributes:
        embedding_size: numbers per token, and of the readout before the softmax.
        hidden_size: units of each layer.
        num_layers: layers on top of each other.
        cell: the recurrence's name in the catalogue.
        cell_options: the cell's own options.
        attention: "general", "dot" or "additive"; "none": the start is all that is known of the source.
        input_feeding: whether each step also reads the readout of the step before (Luong et al. 2015); slow.
        tied: whether the embedding is the output matrix.
        dropout: share dropped of embeddings, between layers, and of the readout.
        label_smoothing: share of the target's probability that is spread over all tokens, in training.
        scheduled_sampling: share of the inputs that are the model's own predictions at the end of the ramp.
        sampling_batches: training batches over which that share rises from 0.

    Raises:
        ConfigError: a value out of its range.
    """

    embedding_size: int = 256
    hidden_size: int = 512
    num_layers: int = 1
    cell: str = "lstm"
    cell_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attention: Literal["general", "dot", "additive", "none"] = "general"
    input_feeding: bool = False
    tied: bool = True
    dropout: float = 0.0
    label_smoothing: float = 0.0
    scheduled_sampling: float = 0.0
    sampling_batches: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(vocabulary_size=2, embedding_size=1, hidden_size=1, num_layers=1, sampling_batches=1)
        self.shares("dropout", "label_smoothing", "scheduled_sampling")
        if self.attention not in ("general", "dot", "additive", "none"):
            raise ConfigError(
                f"{type(self).__name__}: attention is {self.attention!r}; give general, dot, additive or none."
            )

    @property
    def end(self) -> int:
        """The token that ends a sequence and stands before its first."""
        return self.vocabulary_size - 1


class Start(NamedTuple):
    """What a decoder is given of a source.

    Attributes:
        state: of the recurrence; None: the cell's own first state.
        memory: what attention looks at; None: nothing.
        context: (B, C), what enters every step; None: nothing.
        batch: sequences (B).
    """

    state: Any
    memory: Memory | None
    context: Tensor | None
    batch: int


class ScaledEmbedding(nn.Embedding):
    """An embedding whose vectors go out times the square root of their size, as in Vaswani et al. (2017).

    Numbers of the matrix start with a variance of 1 / size: right for an output matrix, which it may also be, but so
    small as an input that a recurrence learns the frequencies of tokens before anything else, and may stay there.

    Examples:
        >>> vectors = ScaledEmbedding(1000, 16)(torch.arange(1000))
        >>> bool((vectors.std() - 1).abs() < 0.1)
        True
    """

    def reset_parameters(self) -> None:
        """Draws the matrix anew."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, input: Tensor) -> Tensor:
        """Vectors (..., size) of tokens (...)."""
        return super().forward(input) * self.embedding_dim**0.5


class StartState(nn.Module):
    """A tanh layer that makes a recurrence's first state of a vector (Bahdanau et al. 2015).

    Args:
        size: columns of the vector.
        recurrence: whose states are made; reads in one direction.
    """

    def __init__(self, size: int, recurrence: Recurrent) -> None:
        super().__init__()
        self._sizes = [plan.graph.state_sizes for plan in recurrence.plans]
        self.linear = nn.Linear(size, sum(map(sum, self._sizes)))

    def forward(self, vector: Tensor, recurrence: Recurrent) -> Any:
        """The states of all layers from vectors (B, size)."""
        parts = iter(self.linear(vector).tanh().split([n for sizes in self._sizes for n in sizes], -1))
        return recurrence.pack([tuple(next(parts) for _ in sizes) for sizes in self._sizes], batched=True)


class Decoder(nn.Module):
    """Writes one token after the other, from a `Start`.

    Args:
        config: shapes and rates.
        memory_size: columns of the memory (M); 0 without attention.
        context_size: columns of the vector that enters every step (C); 0: none does.
        cell: in place of the catalogue's.

    Source:
        Luong, Pham and Manning (2015), Effective approaches to attention-based neural machine translation,
        arXiv:1508.04025; without attention Sutskever, Vinyals and Le (2014), arXiv:1409.3215, and with a context at
        every step Cho et al. (2014), arXiv:1406.1078.

    Examples:
        >>> decoder = Decoder(DecoderConfig(9, embedding_size=4, hidden_size=5, attention="none"))
        >>> vectors, _ = decoder(Start(None, None, None, 2), torch.tensor([[8, 8], [3, 1]]))
        >>> vectors.shape
        torch.Size([2, 2, 4])
    """

    batches: Tensor

    def __init__(
        self, config: DecoderConfig, *, memory_size: int = 0, context_size: int = 0, cell: Cell | None = None
    ) -> None:
        super().__init__()
        self.config = config
        size = config.embedding_size
        self.embedding = ScaledEmbedding(config.vocabulary_size, size)
        self.recurrence = Recurrent(
            cells.get(config.cell) if cell is None else cell,
            size + context_size + (size if config.input_feeding else 0),
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout,
            **config.cell_options,
        )
        width = self.recurrence.output_size
        self.attention = None if config.attention == "none" else attention(config.attention, width, memory_size)
        width += 0 if self.attention is None else memory_size
        self.readout = nn.Linear(width, size)
        self.softmax = FullSoftmax(size, config.vocabulary_size, tied=self.embedding if config.tied else None)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))  # learned from so far

    # all steps at once

    def forward(self, start: Start, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Readouts (T, B, E) after each of the inputs, and attention's weights (T, B, S) where there is attention.

        Args:
            start: what is known of the sources.
            inputs: (T, B) tokens: the end's token, then what was written.
        """
        if self.config.input_feeding:
            return self._fed(start, inputs, 0.0)
        y, _ = self.recurrence(self.entering(inputs, start.context), start.state)
        return self.read_out(y, start.memory)

    def loss(self, start: Start, targets: Tensor, lengths: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What training minimises, a mean over the tokens, and figures.

        Args:
            start: what is known of the sources.
            targets: (T, B) tokens, each sequence closed by the end's token.
            lengths: (B,) of them, the end's token included; what lies past them doesn't count.

        Returns:
            The loss, in training with label smoothing; and "nats" per token without it.
        """
        inputs = self.shifted(targets)
        share = self._share()
        if self.config.input_feeding:
            vectors, _ = self._fed(start, inputs, share)
        else:
            vectors, _ = self(start, self._mixed(start, inputs, share) if share else inputs)
        counts = _counts(targets, lengths)
        loss, nats = self._smoothed(vectors[counts], targets[counts])
        return loss, {"nats": nats.detach()}

    def log_prob(self, start: Start, targets: Tensor, lengths: Tensor) -> Tensor:
        """The log-probability (T, B) of each token of targets (T, B), 0 past their lengths (B,)."""
        vectors, _ = self(start, self.shifted(targets))
        wanted = targets.masked_fill(~_counts(targets, lengths), -1)  # which costs nothing
        return self.softmax.log_prob_of(vectors.flatten(0, 1), wanted.flatten()).view(targets.shape)

    def shifted(self, targets: Tensor) -> Tensor:
        """What is read before each of the targets (T, B): the end's token, then all but the last."""
        return torch.cat([torch.full_like(targets[:1], self.config.end), targets[:-1]])

    def _smoothed(self, vectors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and mean nats of readouts (N, E)."""
        each = self.softmax.loss(vectors, targets)
        nats = mean_nats(each, targets)
        if not self.training or not self.config.label_smoothing:
            return nats, nats
        # The mean over all tokens v of -log p(v) is -log p(y) + s(y) - mean s(v), and the mean of the scores is the
        # score of the matrix's mean row: no scores of all tokens are needed beside those that `loss` made in pieces.
        # See test_label_smoothing_is_that_of_torch.
        matrix, bias = self.softmax.matrix, self.softmax.b_y
        directions = functional.embedding(targets, matrix) - matrix.mean(0)  # whose gradient is faster than indexing's
        spread = (vectors * directions).sum(-1) + bias[targets] - bias.mean()
        return nats + self.config.label_smoothing * mean_nats(spread, targets), nats

    def entering(self, inputs: Tensor, context: Tensor | None, fed: Tensor | None = None) -> Tensor:
        """What the recurrence reads (..., D) of tokens (...): embeddings, context (B, C), the last readout."""
        x = dropout(self.embedding(inputs), self.config.dropout, self.training)
        parts = [x]
        if context is not None:
            parts.append(context.expand(*inputs.shape, -1))
        if fed is not None:
            parts.append(fed)
        return torch.cat(parts, -1) if len(parts) > 1 else x

    def read_out(self, y: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor | None]:
        """Readouts (T, B, E) of the recurrence's outputs (T, B, P), and attention's weights."""
        weights = None
        if self.attention is not None:
            if memory is None:
                raise ConfigError(f"decoder: {self.config.attention} attention has nothing to look at; give a memory.")
            contexts, weights = self.attention(y, memory)
            y = torch.cat([contexts, y], -1)
        return dropout(self.readout(y).tanh(), self.config.dropout, self.training), weights

    # step after step

    def _fed(self, start: Start, inputs: Tensor, share: float) -> tuple[Tensor, Tensor | None]:
        """`forward` with input feeding, some inputs being what the model itself would have written."""
        vectors, weights = list[Tensor](), list[Tensor]()
        state, last = start.state, self.embedding.weight.new_zeros(inputs.shape[1], self.config.embedding_size)
        for t, tokens in enumerate(inputs):
            if share and t:
                tokens = torch.where(torch.rand(tokens.shape, device=tokens.device) < share, self._drawn(last), tokens)
            y, state = self.recurrence.step(self.entering(tokens, start.context, last), state)
            made, looked = self.read_out(y.unsqueeze(0), start.memory)
            last = made[0]
            vectors.append(last)
            weights += [] if looked is None else [looked[0]]
        return torch.stack(vectors), torch.stack(weights) if weights else None

    # scheduled sampling

    def _share(self) -> float:
        """The share of inputs that are predictions now; counts the training batches."""
        if not self.training or not self.config.scheduled_sampling:
            return 0.0
        self.batches += 1
        return self.config.scheduled_sampling * min(1.0, int(self.batches) / self.config.sampling_batches)

    @torch.no_grad()
    def _mixed(self, start: Start, inputs: Tensor, share: float) -> Tensor:
        """Inputs some of which are the model's own.

        Predictions are drawn at all steps after the true beginnings, and the loss is then that of a second pass
        (parallel scheduled sampling: Duckworth et al. 2019, arXiv:1906.04331), so that both passes are compiled ones.
        The original (Bengio et al. 2015, arXiv:1506.03099) goes step by step, as `_fed` does.
        """
        vectors, _ = self(start, inputs)
        drawn = self._drawn(vectors[:-1].flatten(0, 1)).view_as(inputs[1:])
        chosen = torch.rand(drawn.shape, device=drawn.device) < share
        return torch.cat([inputs[:1], torch.where(chosen, drawn, inputs[1:])])

    @torch.no_grad()
    def _drawn(self, vectors: Tensor) -> Tensor:
        """(N,) tokens drawn from the distributions after readouts (N, E)."""
        scores = self.softmax.scores(vectors)
        return (scores - torch.empty_like(scores).exponential_().log()).argmax(-1)  # Gumbel's way to draw


def _counts(targets: Tensor, lengths: Tensor) -> Tensor:
    """(T, B): which targets count."""
    return torch.arange(len(targets), device=targets.device).unsqueeze(1) < lengths.to(targets.device)


class DecoderSteps:
    """A decoder opened for single steps of W hypotheses for each of B sources, all in one call of the recurrence.

    Args:
        decoder: in evaluation mode.
        start: of the B sources.
        width: W.
    """

    def __init__(self, decoder: Decoder, start: Start, width: int) -> None:
        self._decoder, self._start, self._shape = decoder, start, (width, start.batch)
        count = width * start.batch
        self._stream = decoder.recurrence.streaming(count)
        state: tuple[Tensor, ...] | None = start.state
        self._state: tuple[Tensor, ...] | None = None
        if state is not None:
            self._state = tuple(part.repeat(1, width, 1) for part in state)
        size = decoder.config.embedding_size
        fed = decoder.config.input_feeding
        self._last = decoder.embedding.weight.new_zeros(width, start.batch, size) if fed else None

    @torch.no_grad()
    def step(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities (W, B, V) after tokens (W, B), and attention's weights (W, B, S) if there is attention."""
        decoder, start = self._decoder, self._start
        tokens = tokens.to(decoder.embedding.weight.device)
        x = decoder.entering(tokens, start.context, self._last)
        y, state = self._stream.step(x.flatten(0, 1), self._state)
        self._state = tuple(state)
        # hypotheses of one source look at the same memory: to attention they are W steps, and no memory is copied
        made, weights = decoder.read_out(y.view(*self._shape, -1), start.memory)
        if self._last is not None:
            self._last = made
        return decoder.softmax.log_prob(made.flatten(0, 1)).view(*self._shape, -1), weights

    def follow(self, parents: Tensor) -> None:
        """Goes on, in each place, from the hypothesis of the same source that `parents` (W, B), on the CPU, names."""
        width, batch = self._shape
        rows = (parents * batch + torch.arange(batch)).flatten().to(self._decoder.embedding.weight.device)
        if self._state is not None:
            self._state = tuple(part.index_select(1, rows) for part in self._state)
        if self._last is not None:
            self._last = self._last.flatten(0, 1)[rows].view(width, batch, -1)
