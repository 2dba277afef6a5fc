"""Networks with nothing to find: the same weights in other places.

Owns the shuffling. Takes a model, gives copies whose weights have the same values, and so the same size and spread,
but no design. Never changes the model it is given.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from ifog.errors import ConfigError
from ifog.tracking import tracked

if TYPE_CHECKING:
    from ifog.inspection.activations import Trace
    from ifog.inspection.findings import Findings

__all__ = ["detect", "shuffled"]

M = TypeVar("M", bound=nn.Module)


def shuffled(model: M, seed: int = 0) -> M:
    """A copy of a model in which the entries of every parameter have changed places among themselves.

    Each matrix and each bias is shuffled for itself, so a forget gate keeps the bias that opens it. A network with
    independent random weights is, shuffled, another one of its kind: that makes such copies exact controls.

    Args:
        model: Any module.
        seed: Another seed, another copy.

    Examples:
        >>> layer = nn.Linear(3, 2)
        >>> copied = shuffled(layer)
        >>> bool((copied.weight.sort().values.sum() - layer.weight.sum()).abs() < 1e-6)
        True
    """
    generator = torch.Generator().manual_seed(seed)
    made = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in made.parameters():
            flat = parameter.detach().flatten()
            order = torch.randperm(flat.numel(), generator=generator).to(flat.device)
            parameter.copy_(flat[order].view_as(parameter))
    return made


def detect(
    model: Any,
    text: str,
    language: str | None = None,
    *,
    controls: int = 19,
    values: Sequence[str] | None = None,
    unknown: str | None = None,
    **options: Any,
) -> Findings:
    """Search a model's units for what they stand for, beside copies of it with shuffled weights.

    Args:
        model: A model with a `.tokenizer`, as `ifog.load` gives.
        text: What it reads; 20,000 characters give good intervals.
        language: Of the text; None guesses.
        controls: How many shuffled copies; 19 make a find by luck as rare as 1 in 20 for each detector.
        values: Names of states and gates, as `ifog.inspect` takes them; None: all.
        unknown: What to do with characters that the model doesn't know, as `ifog.inspect` takes it.
        options: Of `ifog.inspection.search.search`.

    Raises:
        ConfigError: A negative number of controls.
        DataError: As `ifog.inspect` and `search` raise it.
    """
    from ifog.inspection.activations import inspect
    from ifog.inspection.search import search

    if controls < 0:
        raise ConfigError(f"controls is {controls}; give how many shuffled copies to compare with, such as 19.")

    def read(one: Any) -> Trace:
        return inspect(one, text, values=values, candidates=0, unknown=unknown)

    copies = tracked(range(controls + 1), "searching")
    traces = (read(shuffled(model, k - 1) if k else model) for k in copies)
    return search(next(traces), language, controls=traces, **options)
