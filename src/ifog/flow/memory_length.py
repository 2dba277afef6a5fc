"""How many steps back a trained model's predictions reach, measured by taking the past away.

Owns the loss of tokens that are predicted from the last k tokens alone, and the length that follows. Takes a model and
the ids of a text it wasn't trained on, gives a curve. Never looks at a state: any `NextTokenModel` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ifog.errors import ConfigError, DataError
from ifog.evaluation.scoring import evaluating
from ifog.inspection.watching import check_weights
from ifog.models import NextTokenModel
from ifog.tracking import tracked

__all__ = ["LENGTHS", "MemoryCurve", "measure_memory"]

Array = NDArray[np.float64]

LENGTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Numbers of steps that are kept unless others are asked for."""

_STREAMS = 32  # pieces of the text that are read side by side for the loss with the whole past
_AT_ONCE = 50_000  # tokens read at once


@dataclass(frozen=True)
class MemoryCurve:
    """The loss of the same tokens for shorter and shorter pasts.

    Attributes:
        lengths: k, ascending: how many tokens before the judged one were read.
        losses: Mean nats per token for each k.
        excess: How much that is more than with the whole past, and
        errors: the standard error of that difference, token by token.
        whole: Mean nats per token with the whole past.
        history: Tokens that the whole past had at least.
        tokens: How many tokens were judged.
        length: The memory's length: the smallest k whose loss, and that of each larger one of `lengths`, is within the
            tolerance of the whole past's. None where none is.
        tolerance: In nats: the smaller of 0.01 and 1 % of `whole` unless asked otherwise.
    """

    lengths: tuple[int, ...]
    losses: Array
    excess: Array
    errors: Array
    whole: float
    history: int
    tokens: int
    length: int | None
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        arrays = {name: [float(v) for v in getattr(self, name)] for name in ("losses", "excess", "errors")}
        rest = ("whole", "history", "tokens", "length", "tolerance")
        return {"lengths": list(self.lengths), **arrays, **{name: getattr(self, name) for name in rest}}


def measure_memory(
    model: nn.Module,
    ids: NDArray[Any],
    lengths: Sequence[int] | None = None,
    *,
    tokens: int = 1000,
    share: float = 0.01,
    nats: float = 0.01,
    past: Literal["zero", "other"] = "zero",
) -> MemoryCurve:
    """Judges tokens of a text with the state reset k steps before each, for each k, and with the whole past.

    The tokens lie evenly in the later halves of up to 32 pieces of the text. For k steps, each is predicted from
    the k tokens before it alone, all side by side; the whole past goes back to its piece's start, at least twice as far
    as the largest k where the text is long enough. Between the last k that is too short and the first that is long
    enough, the smallest is searched by halving.

    Source:
        After Khandelwal, He, Qi and Jurafsky (2018), Sharp nearby, fuzzy far away: how neural language models use
        context, arXiv:1805.04623, who cut the past off in the same way.

    Args:
        model: A language model; on texts of its own kind.
        ids: (N,) tokens.
        lengths: k, each at least 1; None: 1, 2, 5, 10 ... 500, as far as the text has room.
        tokens: About how many are judged, as many in each piece: ten times as many make the standard error three times
            smaller.
        share: What counts as "no worse": this share of the loss with the whole past at most, and
        nats: this much at most.
        past: What stands in for what was cut off: "zero", the state that a text begins with, or "other", the state
            after another piece of the text. A model that was trained on one endless stream has hardly met the zero
            state, and may predict worse for that alone; then "other" tells how long what it has read matters.

    Raises:
        ConfigError: A length or number out of its range, or a model of something else.
        RunError: A weight is not finite.
        DataError: A text too short for the lengths, or ids that the model doesn't know.

    Examples:
        A network that has learned nothing yet hardly looks back:

        >>> from ifog.models import LanguageModel
        >>> text = np.random.default_rng(0).integers(0, 5, 3000)
        >>> measure_memory(LanguageModel(5, cell="elman", hidden_size=4), text, (1, 2, 5, 10), tokens=320).tokens
        320
    """
    wanted = _checked(lengths, tokens, share, nats)
    reader = _Reader(model, ids, wanted[-1], past)
    if lengths is None:
        wanted = tuple(k for k in wanted if k <= reader.history)
    if not wanted or wanted[-1] > reader.history:
        longest = wanted[-1] if wanted else 1
        raise DataError(
            f"memory length: a text of {len(ids)} tokens leaves {reader.history} before each judged one; to keep "
            f"{longest} steps, it needs {2 * longest + 2} tokens. Give a longer text or smaller lengths."
        )
    places = reader.places(tokens)
    whole = reader.whole(places)
    tolerance = min(nats, share * float(whole.mean()))
    differences: dict[int, Array] = {}

    def enough(k: int) -> bool:
        if k not in differences:
            differences[k] = reader.shortened(places, k) - whole
        return float(differences[k].mean()) <= tolerance

    fitting = [k for k in wanted if all(enough(longer) for longer in wanted if longer >= k)]
    length = min(fitting, default=None)
    if length is not None:
        below = max((k for k in wanted if k < length), default=0)
        while length - below > 1:
            middle = (below + length) // 2
            below, length = (below, middle) if enough(middle) else (middle, length)
    judged = np.stack([differences[k] for k in wanted])
    excess, errors = judged.mean(1), judged.std(1) / np.sqrt(max(1, len(whole) - 1))
    return MemoryCurve(
        wanted,
        excess + whole.mean(),
        excess,
        errors,
        float(whole.mean()),
        reader.history,
        len(whole),
        length,
        tolerance,
    )


class _Reader:
    """A model and pieces of a text, and how to judge some of their tokens.

    Attributes:
        history: Tokens that lie before the first one that may be judged in each piece.
    """

    def __init__(self, model: nn.Module, ids: NDArray[Any], longest: int, past: str) -> None:
        name = type(model).__name__
        if not isinstance(model, NextTokenModel):
            raise ConfigError(f"memory length: {name} predicts no next token; give a language model of ifog.models.")
        check_weights(model)
        streams = max(1, min(_STREAMS, len(ids) // (2 * longest + 2)))
        length = min(len(ids) // streams, 4 * longest + 2)
        self.history = max(0, length // 2 - 1)
        starts = np.linspace(0, len(ids) - length, streams).astype(np.int64)
        pieces = np.stack([np.asarray(ids[i : i + length], dtype=np.int64) for i in starts], 1)
        vocabulary = int(cast("Any", model.config).vocabulary_size)
        if pieces.size and not 0 <= pieces.min() <= pieces.max() < vocabulary:
            raise DataError(
                f"memory length: the text holds ids from {pieces.min()} to {pieces.max()}, but the model's are 0 ... "
                f"{vocabulary - 1}: text and model come from different tokenizers. Encode the text with the model's."
            )
        self.model, self.pieces = model, torch.from_numpy(pieces)
        # vectors are enough to get from state to state; scores of all steps would cost more than the recurrence
        self.read: Any = getattr(model, "hidden", model)
        self.device = next(model.parameters()).device
        if past not in ("zero", "other"):
            raise ConfigError(f'memory length: past is {past!r}; give "zero" or "other".')
        if past == "other" and streams < 2:
            raise DataError(
                f"memory length: a text of {len(ids)} tokens is one piece, and another past takes two; give at least "
                f"{4 * longest + 4} tokens."
            )
        self.others = self._others() if past == "other" else None

    @torch.no_grad()
    def _others(self) -> Any:
        """For each piece, the state after the first half of its neighbour."""
        with evaluating(self.model):
            return self.read(self.pieces[: self.history].roll(1, 1).to(self.device))[1]

    def places(self, tokens: int) -> Tensor:
        """Row and column (2, N) of the judged tokens: as many in each piece, evenly in its later half."""
        length, streams = self.pieces.shape
        each = np.linspace(self.history, length - 1, max(1, round(tokens / streams))).astype(np.int64)
        rows, columns = np.meshgrid(np.unique(each), np.arange(streams), indexing="ij")
        return torch.from_numpy(np.stack([rows.ravel(), columns.ravel()]))

    @torch.no_grad()
    def whole(self, places: Tensor) -> Array:
        """The nats (N,) of the tokens at `places`, given all of their piece before them."""
        length, streams = self.pieces.shape
        nats: list[Tensor] = []
        state: Any = None
        step = max(1, _AT_ONCE // streams)
        with evaluating(self.model):
            for begin in tracked(range(0, length - 1, step), "reading"):
                end = min(begin + step, length - 1)
                found, state = self._log_prob(self.pieces[begin:end], self.pieces[begin + 1 : end + 1], state)
                nats.append(-found.double().cpu())
        return torch.cat(nats)[places[0] - 1, places[1]].numpy()

    @torch.no_grad()
    def shortened(self, places: Tensor, k: int) -> Array:
        """The nats (N,) of the tokens at `places`, each given the k tokens before it alone."""
        found: list[Tensor] = []
        back = torch.arange(-k, 0)[:, None]
        with evaluating(self.model):
            parts = cast("tuple[Tensor, ...]", places.split(max(1, _AT_ONCE // k), 1))
            for some in tracked(parts, f"reading {k} tokens at a time"):
                rows, columns = some
                windows = self.pieces[rows + back, columns]
                state = None if self.others is None else _columns(self.others, columns, self.pieces.shape[1])
                if k > 1:
                    _, state = self.read(windows[:-1].to(self.device), state)
                log_prob, _ = self._log_prob(windows[-1:], self.pieces[rows, columns][None], state)
                found.append(-log_prob[0].double().cpu())
        return torch.cat(found).numpy()

    def _log_prob(self, ids: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, Any]:
        return cast("Any", self.model).log_prob(ids.to(self.device), targets.to(self.device), state)


def _columns(state: Any, columns: Tensor, streams: int) -> Any:
    """The states of some columns of a batch, in the nesting that they came in."""
    if isinstance(state, Tensor):
        if state.dim() < 2 or state.shape[1] != streams:
            raise ConfigError(
                f"memory length: a state of shape {tuple(state.shape)} has no batch of {streams} in its second axis, "
                'so it can\'t be handed to other pieces; use past="zero".'
            )
        return state.index_select(1, columns.to(state.device))
    parts = [_columns(part, columns, streams) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)


def _checked(lengths: Sequence[int] | None, tokens: int, share: float, nats: float) -> tuple[int, ...]:
    wanted = tuple(sorted(set(LENGTHS if lengths is None else lengths)))
    if not wanted or wanted[0] < 1:
        raise ConfigError(f"memory length: lengths {list(wanted)} must hold at least one, and count tokens from 1 up.")
    if tokens < 2 or share <= 0 or nats <= 0:
        raise ConfigError(
            f"memory length: tokens={tokens} (at least 2), share={share} and nats={nats} (above 0) are out of range."
        )
    return wanted
