"""Sequences to sequences: a recurrent encoder of the source, and the decoder that writes the target.

Owns the encoder, and what the decoder is given of it: its outputs to look at, its last outputs or states to start
from. Also the model of one-to-many, where a vector takes the place of the source. Takes batches of tokens, time
first, gives losses and starts. Never searches: `ifog.generation.translating` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ifog import cells
from ifog.compiler import Cell
from ifog.errors import ConfigError, ShapeError
from ifog.layers import Recurrent
from ifog.layers.dropout import dropout
from ifog.models.decoder import Decoder, DecoderConfig, ScaledEmbedding, Start, StartState

__all__ = ["Translator", "TranslatorConfig", "VectorDecoder", "VectorDecoderConfig"]


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(DecoderConfig):
    """Shapes and rates of an encoder and its decoder.

    Attributes:
        source_vocabulary: tokens of the source.
        bidirectional: whether the encoder reads both ways; each direction then has half of `hidden_size`.
        start: how the decoder's first state is made: "tanh", a layer that reads the encoder's last outputs; "copy",
            the encoder's last states themselves (Sutskever et al. 2014), those of both directions side by side; or
            "zero".
        context: whether the encoder's last outputs enter every step of the decoder (Cho et al. 2014).
        shared: whether source and target have one embedding.

    Raises:
        ConfigError: a value out of its range, or a decoder that would know nothing of the source.
    """

    source_vocabulary: int
    bidirectional: bool = True
    start: Literal["tanh", "copy", "zero"] = "tanh"
    context: bool = False
    shared: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(source_vocabulary=1)
        if self.start not in ("tanh", "copy", "zero"):
            raise ConfigError(f"TranslatorConfig: start is {self.start!r}; give tanh, copy or zero.")
        if self.bidirectional and self.hidden_size % 2:
            raise ConfigError(
                f"TranslatorConfig: hidden_size is {self.hidden_size}, but each direction of the encoder has half of "
                "it: give an even number, or bidirectional=False."
            )
        if self.shared and self.source_vocabulary != self.vocabulary_size:
            raise ConfigError(
                f"TranslatorConfig: one embedding is shared by {self.source_vocabulary} tokens of the source and "
                f"{self.vocabulary_size} of the target; give both one vocabulary, or shared=False."
            )
        if self.attention == "none" and self.start == "zero" and not self.context:
            raise ConfigError(
                "TranslatorConfig: without attention, from a start of zero and without context the decoder knows "
                "nothing of the source; give one of the three."
            )


class Translator(nn.Module):
    """Reads a source, then writes a target.

    Source:
        Sutskever, Vinyals and Le (2014), Sequence to sequence learning with neural networks, arXiv:1409.3215; Cho et
        al. (2014), arXiv:1406.1078; with attention Bahdanau, Cho and Bengio (2015), arXiv:1409.0473, and Luong, Pham
        and Manning (2015), arXiv:1508.04025.

    Examples:
        >>> model = Translator(TranslatorConfig(9, source_vocabulary=7, embedding_size=4, hidden_size=6))
        >>> batch = {
        ...     "source": torch.tensor([[1, 2], [6, 3], [0, 6]]),
        ...     "source_lengths": torch.tensor([2, 3]),
        ...     "target": torch.tensor([[5, 3], [8, 8]]),
        ...     "target_lengths": torch.tensor([2, 2]),
        ... }
        >>> loss, figures = model.loss(batch)
        >>> loss.shape, sorted(figures)
        (torch.Size([]), ['nats'])
    """

    def __init__(self, config: TranslatorConfig, cell: Cell | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = Recurrent(
            cells.get(config.cell) if cell is None else cell,
            config.embedding_size,
            config.hidden_size // (2 if config.bidirectional else 1),
            config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            **config.cell_options,
        )
        size = self.encoder.output_size
        self.decoder = Decoder(config, memory_size=size, context_size=size if config.context else 0, cell=cell)
        self.embedding = None if config.shared else ScaledEmbedding(config.source_vocabulary, config.embedding_size)
        self.start_state = StartState(size, self.decoder.recurrence) if config.start == "tanh" else None
        if config.start == "copy":
            self._check_copy()

    def _check_copy(self) -> None:
        """The states of an encoder's layer, side by side, must be as wide as those of the decoder's."""
        plans = zip(self.encoder.plans, self.decoder.recurrence.plans, strict=True)
        for read, write in plans:
            joined = tuple(n * self.encoder.directions for n in read.graph.state_sizes)
            if joined != write.graph.state_sizes:
                raise ConfigError(
                    f"Translator: the encoder's last states have {joined} columns, the decoder's states "
                    f"{write.graph.state_sizes}, so they can't be copied; give start='tanh'."
                )

    def begin(self, source: Tensor, lengths: Tensor) -> Start:
        """What the decoder is given of sources.

        Args:
            source: (S, B) tokens.
            lengths: (B,) of them, each at least 1.

        Raises:
            ShapeError: an empty source.
        """
        if lengths.numel() and int(lengths.min()) < 1:
            raise ShapeError(
                "Translator: a source has no tokens; give each at least the end's token, as the task's encoding does"
            )
        config, decoder = self.config, self.decoder
        table = decoder.embedding if self.embedding is None else self.embedding
        x = dropout(table(source), config.dropout, self.training)
        outputs, state = self.encoder(x, lengths=lengths)
        last = self._last(outputs, lengths) if config.context or self.start_state is not None else None
        first = None
        if self.start_state is not None:
            first = self.start_state(last, decoder.recurrence)
        elif config.start == "copy":
            first = self._copied(state)
        memory = None
        if decoder.attention is not None:
            outputs = dropout(outputs, config.dropout, self.training)
            memory = decoder.attention.read(outputs, lengths)
        return Start(first, memory, last if config.context else None, source.shape[1])

    def _last(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """(B, M): what each direction said after it had read everything."""
        rows = torch.arange(outputs.shape[1], device=outputs.device)
        ends = outputs[lengths.to(outputs.device) - 1, rows]
        if not self.config.bidirectional:
            return ends
        half = outputs.shape[2] // 2
        return torch.cat([ends[:, :half], outputs[0, :, half:]], -1)

    def _copied(self, state: Any) -> Any:
        """The encoder's last states as the decoder's: directions side by side."""
        directions = self.encoder.directions
        layers = [
            tuple(torch.cat([part[k * directions + d] for d in range(directions)], -1) for part in state)
            for k in range(self.config.num_layers)
        ]
        return self.decoder.recurrence.pack(layers, batched=True)

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean nats per token of the targets, in training with label smoothing, and figures.

        Args:
            batch: "source" (S, B), "source_lengths" (B,), "target" (T, B) and "target_lengths" (B,); targets are closed
                by the end's token.
        """
        start = self.begin(batch["source"], batch["source_lengths"])
        return self.decoder.loss(start, batch["target"], batch["target_lengths"])

    @torch.no_grad()
    def alignment(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Where the decoder looks (T, B, S) before it writes each token of given targets (T, B).

        Raises:
            ConfigError: a model without attention.
        """
        _, weights = self.decoder(self.begin(source, lengths), self.decoder.shifted(target))
        if weights is None:
            raise ConfigError("alignment: this model was trained without attention, so it looks nowhere.")
        return weights


@dataclass(frozen=True, kw_only=True)
class VectorDecoderConfig(DecoderConfig):
    """Shapes and rates of a decoder of vectors.

    Attributes:
        vector_size: numbers of a vector (D).
        enters: "start", where a tanh layer makes the first state of the vector; or "steps", where every step reads it.

    Raises:
        ConfigError: a value out of its range, or attention, which would have nothing to look at.
    """

    vector_size: int
    enters: Literal["start", "steps"] = "start"
    attention: Literal["general", "dot", "additive", "none"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole(vector_size=1)
        if self.enters not in ("start", "steps"):
            raise ConfigError(f"VectorDecoderConfig: enters is {self.enters!r}; give start or steps.")
        if self.attention != "none":
            raise ConfigError(
                f"VectorDecoderConfig: {self.attention} attention needs a sequence to look at, and there is a single "
                "vector; give attention='none'."
            )


class VectorDecoder(nn.Module):
    """One to many: a vector in, a sequence out.

    Source:
        Vinyals, Toshev, Bengio and Erhan (2015), Show and tell, arXiv:1411.4555, where a picture's vector starts the
        state; Mao et al. (2015), arXiv:1412.6632, where every step reads it.

    Examples:
        >>> model = VectorDecoder(VectorDecoderConfig(9, vector_size=3, embedding_size=4, hidden_size=6))
        >>> batch = {
        ...     "vector": torch.zeros(2, 3),
        ...     "target": torch.tensor([[5, 8], [8, 0]]),
        ...     "target_lengths": torch.tensor([2, 1]),
        ... }
        >>> model.loss(batch)[0].shape
        torch.Size([])
    """

    def __init__(self, config: VectorDecoderConfig, cell: Cell | None = None) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config, context_size=config.vector_size if config.enters == "steps" else 0, cell=cell)
        starts = config.enters == "start"
        self.start_state = StartState(config.vector_size, self.decoder.recurrence) if starts else None

    def begin(self, vectors: Tensor) -> Start:
        """What the decoder is given of vectors (B, D)."""
        if self.start_state is None:
            return Start(None, None, vectors, len(vectors))
        return Start(self.start_state(vectors, self.decoder.recurrence), None, None, len(vectors))

    def loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean nats per token of the targets, and figures.

        Args:
            batch: "vector" (B, D), "target" (T, B) closed by the end's token, and "target_lengths" (B,).
        """
        return self.decoder.loss(self.begin(batch["vector"]), batch["target"], batch["target_lengths"])
