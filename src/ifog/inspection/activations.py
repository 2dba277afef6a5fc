"""What a model does on a text: every state, gate and named value, how well it guesses, and what it would have said.

Owns `Trace` and the reading of a text in pieces that run side by side. Takes a model with a tokenizer and a text, gives
arrays by name. Never draws, and never says what a unit means.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ifog.compiler.precision import Precision
from ifog.errors import ConfigError, DataError, RunError
from ifog.evaluation.scoring import evaluating, vocabulary_size
from ifog.inspection.arrays import Array, Arrays, Pieces
from ifog.inspection.texts import encode, parts, tokens_of
from ifog.inspection.watching import Value, check_weights, find, split_unit, values_of, watching
from ifog.kernels.backends import multiplying
from ifog.kernels.loading import fastest_products
from ifog.tracking import tracked

__all__ = ["Candidates", "Trace", "inspect", "stream"]

WARM_UP = 1024
_WIDEST = 64  # pieces side by side: more of them make the matrix products no faster
_MEMORY = 1 << 30  # bytes of values that are kept without being asked for
_AT_ONCE = 1 << 26  # bytes of values and scores that one call of the model makes
_STREAMED = 1 << 28  # bytes of values in one trace of a stream


class Candidates(NamedTuple):
    """The likeliest next tokens after each position, the likeliest first.

    Attributes:
        ids: (T, k).
        probabilities: (T, k).
    """

    ids: NDArray[np.int32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class Trace:
    """What a model did on a text, in arrays by name.

    `trace["layer0.h"]` is `(T, H)` float32, row t as it was after reading token t; `trace["layer0.h:37"]` is one unit,
    `(T,)`. Both are views: nothing is copied.

    Attributes:
        tokens: The text of each token; bytes within a character are empty, its last one is the character.
        ids: (T,).
        names: What was kept for all units: `layer0.h`, `layer0.c`, `layer0.i` ...
        units: What was kept for single units: `layer0.h:37` ...
        states: Those of the kept values that are states, which the layer carries on.
        gates: Those that are sigmoids: 0 is shut and 1 is open.
        log_prob: (T,) float64, natural log-probability of each token given those before it; NaN for the first.
        candidates: The likeliest next tokens after each position.
        begin: Position of the first token in the whole text.
        pieces: How many pieces of the text ran side by side; 1: every number is exact.
        warm_up: Tokens that each piece but the first read before what it is here for.
        discrepancy: For each value: where a piece begins to count and the one before it ends, both have read the same
            token, the first after its warm-up only. The mean over units of the difference's share of the unit's size;
            0 for one piece.
        precision: What the layers' matrix products multiplied.
    """

    tokens: Sequence[str] = field(repr=False)
    ids: NDArray[Any] = field(repr=False)
    names: tuple[str, ...]
    units: tuple[str, ...]
    states: tuple[str, ...]
    gates: tuple[str, ...]
    log_prob: NDArray[np.float64] = field(repr=False)
    candidates: Candidates = field(repr=False)
    begin: int
    pieces: int
    warm_up: int
    discrepancy: Mapping[str, float]
    precision: Precision
    arrays: Mapping[str, NDArray[np.float32]] = field(repr=False)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """A value (T, H), or one unit of it (T,).

        Raises:
            ConfigError: It wasn't kept.
        """
        if name in self.arrays:
            return self.arrays[name]
        value, unit = split_unit(name)
        if value not in self.arrays:
            raise ConfigError(
                f"{name!r} is not in this trace, which holds {', '.join(self.names + self.units) or 'no values'}; "
                f"inspect the text with values=[{name!r}]."
            )
        array = self.arrays[value]
        if unit is None or unit >= array.shape[1]:
            raise ConfigError(f"{name!r}: {value} has {array.shape[1]} units, counted from 0.")
        return array[:, unit]

    def __len__(self) -> int:
        """T, the number of tokens."""
        return len(self.ids)


def inspect(
    model: nn.Module | str | os.PathLike[str],
    text: str,
    *,
    values: Sequence[str] | None = None,
    candidates: int = 5,
    exact: bool = False,
    warm_up: int = WARM_UP,
    unknown: str | None = None,
) -> Trace:
    """Let a model read a text, and keep what happens inside.

    A long text is cut into up to 64 pieces that run side by side, many times faster than one token after another. Each
    piece but the first starts `warm_up` tokens early, so that its states have settled where it counts; what they still
    lack is measured at every cut and told as `Trace.discrepancy`. Their matrix products multiply what the CPU is
    fastest at (`Trace.precision`): 16-bit integers move activations by some 1e-4, bf16 by some 1e-3. With `exact=True`,
    and for texts shorter than nine warm-ups, there is one piece, read in floats.

    Args:
        model: A model with a `.tokenizer`, as `ifog.load` gives, or a run directory.
        text: What it reads.
        values: What to keep: `"layer0.h"`, or single units such as `"layer1.c:37"`; None keeps everything, () nothing.
        candidates: How many next tokens to keep for each position (k).
        exact: Whether to read the text in one piece.
        warm_up: Tokens read before each piece.
        unknown: What to do with characters that the model doesn't know: None refuses the text, "" leaves them out,
            and another character takes their place.

    Raises:
        ConfigError: A model without recurrent layers or tokenizer, no such value, or values that need too much memory.
        DataError: The text is empty, or holds a character that the model doesn't know.
        RunError: A run that can't be loaded, or NaN among the weights.

    Examples:
        >>> from ifog.data import CharTokenizer
        >>> from ifog.models import LanguageModel
        >>> model = LanguageModel(4, cell="gru", hidden_size=8)
        >>> model.tokenizer = CharTokenizer("ehlo")
        >>> trace = inspect(model, "hello")
        >>> trace.names
        ('layer0.h', 'layer0.r', 'layer0.z', 'layer0.n')
        >>> trace["layer0.z"].shape, trace["layer0.h:3"].shape, trace.candidates.ids.shape
        ((5, 8), (5,), (5, 4))
    """
    reader = _Reader(model, values, candidates, warm_up, exact)
    ids = encode(reader.tokenizer, text, unknown)
    if not len(ids):
        raise DataError("the text is empty: there is nothing to look at. Give a text of at least one character.")
    if values is None and reader.bytes_per_token * len(ids) > _MEMORY:
        raise ConfigError(
            f"all values of {len(ids):,} tokens take {reader.bytes_per_token * len(ids) / 2**30:.1f} GiB; name those "
            f"wanted, as in values=[{next(iter(reader.values))!r}] or single units values=["
            f"'{next(iter(reader.values))}:0'], or read the text in parts with ifog.inspection.stream."
        )
    return reader.read(ids)


def stream(
    model: nn.Module | str | os.PathLike[str],
    text: str | os.PathLike[str],
    *,
    values: Sequence[str] | None = None,
    candidates: int = 5,
    chunk: int | None = None,
    exact: bool = False,
    warm_up: int = WARM_UP,
    unknown: str | None = None,
) -> Iterator[Trace]:
    """Look inside a model on a text of any length, one part after another, in bounded memory.

    Args:
        model: As in `inspect`, like the other arguments.
        text: The text itself, or as a path (`pathlib.Path`) the file that holds it.
        values: What to keep.
        candidates: How many next tokens to keep for each position (k).
        chunk: Tokens in each trace; None: as many as fill 256 MiB with values.
        exact: Whether every state is carried from the first token to the last.
        warm_up: Tokens read before each piece.
        unknown: As in `inspect`.

    Yields:
        Traces that follow each other: `begin` of one is the end of the one before.

    Raises:
        ConfigError: As `inspect`.
        DataError: As `inspect`, and a file that is no UTF-8 text.
        RunError: As `inspect`.
    """
    reader = _Reader(model, values, candidates, warm_up, exact)
    size = chunk if chunk is not None else max(1 << 12, min(1 << 18, _STREAMED // max(reader.bytes_per_token, 1)))
    if size < 1:
        raise ConfigError(f"chunk is {chunk}; give the number of tokens in each trace, at least 1.")
    begin, before, decoder = 0, np.empty(0, np.int64), reader.tokenizer.decoder()
    for ids in parts(reader.tokenizer, text, size, unknown):
        yield reader.read(ids, begin, before, decoder)
        begin += len(ids)
        before = np.concatenate([before, ids])[-warm_up:] if not exact else before
    if not begin:
        raise DataError("the text is empty: there is nothing to look at. Give a text of at least one character.")


class _Reader:
    """A model made ready to be watched, and what is wanted of it."""

    def __init__(self, model: Any, values: Sequence[str] | None, candidates: int, warm_up: int, exact: bool) -> None:
        if isinstance(model, str | os.PathLike):
            from ifog.tasks.language import load

            model = load(os.fspath(model))
        if warm_up < 1 or candidates < 0:
            raise ConfigError(f"warm_up is {warm_up} and candidates {candidates}; give 1 or more, and 0 or more.")
        self.model: nn.Module = model
        self.values = values_of(model)
        check_weights(model)
        self.tokenizer = _tokenizer_of(model)
        self.warm_up, self.exact = warm_up, exact
        self.vocabulary = vocabulary_size(model)
        self.candidates = min(candidates, self.vocabulary)
        self.kept = _kept(self.values, values)
        # how the part before ended, where a stream is read exactly
        self._state: Any = None
        self._last: Tensor | None = None

    @property
    def bytes_per_token(self) -> int:
        """Of the kept values."""
        return 4 * sum(self.values[name].size if units is None else len(units) for name, units in self.kept.items())

    @torch.no_grad()
    def read(self, ids: NDArray[Any], begin: int = 0, before: NDArray[Any] | None = None, decoder: Any = None) -> Trace:
        """The trace of some ids; `before` are those of the text up to them that warm the model up."""
        early = 0 if before is None else len(before)
        whole = (ids if before is None else np.concatenate([before, ids])).astype(np.int64)
        pieces = Pieces.of(len(whole), self.warm_up, 1 if self.exact else _WIDEST)
        kept = Arrays(pieces, {name: (self.values[name].size, units) for name, units in self.kept.items()})
        told, best = Array(pieces, 1), Array(pieces, self.candidates)
        best_ids = Array(pieces, self.candidates, dtype=np.int32)
        rows = torch.from_numpy(pieces.batch(whole)).to(next(self.model.parameters()).device)
        state, last = self._state, self._last
        precision: Precision = fastest_products() if pieces.count > 1 else "fp32"
        with evaluating(self.model), multiplying(precision), watching(self.model, self.kept) as seen:
            for start, end in tracked([*pieces.chunks(self._steps(pieces.count))], "reading"):
                scores, state = self.model(rows[start:end], state)
                logs = scores.float().log_softmax(-1)
                # what each token was given by the one before it; the first of all was given nothing
                previous = logs[:-1] if last is None else torch.cat([last, logs[:-1]])
                given = previous.gather(-1, rows[end - len(previous) : end, :, None])
                if bool(given.isnan().any()):
                    raise RunError(
                        f"{type(self.model).__name__}: its scores are NaN on this text; are its weights sane?"
                    )
                told.put(start, F.pad(given, (0, 0, 0, 0, end - start - len(given), 0), value=math.nan))
                likeliest = logs.topk(self.candidates)
                best.put(start, likeliest.values.exp())
                best_ids.put(start, likeliest.indices)
                kept.put(start, seen)
                last = logs[-1:]
        if self.exact:
            self._state, self._last = state, last
        return Trace(
            tokens=tokens_of(self.tokenizer, ids, decoder),
            ids=ids,
            names=tuple(name for name, units in self.kept.items() if units is None),
            units=tuple(f"{name}:{unit}" for name, units in self.kept.items() for unit in units or ()),
            states=tuple(name for name in self.kept if self.values[name].state),
            gates=tuple(name for name in self.kept if self.values[name].gate),
            log_prob=told.take()[early:, 0].astype(np.float64),
            candidates=Candidates(best_ids.take()[early:], best.take()[early:]),
            begin=begin,
            pieces=pieces.count,
            warm_up=pieces.warm_up,
            discrepancy=kept.discrepancy,
            precision=precision,
            arrays=self._by_name(kept.take(early)),
        )

    def _steps(self, rows: int) -> int:
        """How many steps one call of the model may make without using much memory."""
        columns = sum(self.values[name].size for name in self.kept) + 3 * self.vocabulary
        return max(1, min(96, _AT_ONCE // (4 * rows * columns)))

    def _by_name(self, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Whole values under their names, single units under theirs."""
        found: dict[str, NDArray[np.float32]] = {}
        for name, units in self.kept.items():
            if units is None:
                found[name] = arrays[name]
            else:
                found |= {f"{name}:{unit}": arrays[name][:, k] for k, unit in enumerate(units)}
        return found


def _tokenizer_of(model: nn.Module) -> Any:
    tokenizer: Any = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise ConfigError(
            f"{type(model).__name__} has no tokenizer, so it can't read text; set model.tokenizer, or load the "
            "model with ifog.load."
        )
    if tokenizer.vocabulary_size > vocabulary_size(model):
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocabulary_size} tokens and the model {vocabulary_size(model)}; "
            "they don't belong together. Give the tokenizer of the model's run."
        )
    return tokenizer


def _kept(values: Mapping[str, Value], wanted: Sequence[str] | None) -> dict[str, list[int] | None]:
    """Which units of which values are kept; None: all of them."""
    if wanted is None:
        return dict.fromkeys(values)
    if isinstance(wanted, str):
        raise ConfigError(f"values is the text {wanted!r}; give a list of names, values=[{wanted!r}].")
    found: dict[str, list[int] | None] = {}
    for name in wanted:
        value, unit = find(values, name)
        if unit is None:
            found[value] = None
        elif (units := found.setdefault(value, [])) is not None and unit not in units:
            units.append(unit)
    return found
