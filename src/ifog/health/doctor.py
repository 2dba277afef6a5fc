"""Read a run and say what is wrong with it, and what to try.

Owns the list of checks and the loading of what they look at. Takes a run directory, gives diagnoses. Never writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ifog.data import one_pass
from ifog.evaluation import decoded
from ifog.health.curves import (
    check_clipping,
    check_data_order,
    check_learning_rate,
    check_overfitting,
    check_stability,
)
from ifog.health.diagnosis import Diagnosis
from ifog.health.sanity import (
    check_cell_gradients,
    check_one_batch,
    check_outcomes,
    check_start,
    check_symmetry,
)
from ifog.health.weights import check_flow, check_units
from ifog.layers import Recurrent
from ifog.runs import RunDirectory
from ifog.tasks.building import model_of, options_of, text_of
from ifog.tasks.language import load

__all__ = ["diagnose"]

_STREAMS, _STEPS = 16, 64  # of the chunk that models are tried on
_READ = 20_000  # tokens of the held-out text on which gates are watched


def diagnose(run: str | os.PathLike[str], *, cell: Any = None) -> Iterator[Diagnosis]:
    """Every diagnosis about a run, the plainest causes first.

    Looked at are, in this order: a model with the run's architecture and fresh weights (loss at the start, equal
    outcomes, symmetry, one batch by heart, the cell's gradients), the run's text (data order), its records (learning
    rate, stability, clipping, over-fitting), and its trained weights (numbers, gates, gradient flow).

    Args:
        run: The run directory.
        cell: The cell itself, where it isn't in the catalogue.

    Raises:
        RunError: No run, or a damaged one.
    """
    directory = RunDirectory.open(run)
    options, text = options_of(directory), text_of(directory)
    ids, targets = _chunk(text.train)
    fresh = model_of(directory, cell).eval()
    yield check_start(fresh, ids, targets)
    yield check_outcomes(fresh, ids)
    yield check_symmetry(fresh)
    yield check_one_batch(fresh, ids, targets)
    for layer in _different_layers(fresh):
        yield check_cell_gradients(layer.cell, **layer.options)
    records = directory.read_metrics()
    yield from filter(None, (
        check_data_order(text.train, text.validation, text.tokenizer.vocabulary_size),
        check_learning_rate(records),
        check_stability(records),
        check_clipping(records, options.clipping, options.clip),
        check_overfitting(records),
    ))  # fmt: skip
    if not directory.has_checkpoint():
        yield Diagnosis("weights", "look", "the run has no checkpoint yet", "let it train: ifog resume goes on")
        return
    trained = load(directory.path, cell=cell)
    broken = _broken(trained)
    if broken:
        yield Diagnosis(
            "weights", "bad", f"{broken} holds NaN or infinity", "train again with a lower learning rate and clipping"
        )
        return
    yield Diagnosis("weights", "good", f"{sum(p.numel() for p in trained.parameters()):,} numbers, all finite")
    yield from check_units(trained, "".join(decoded(text.tokenizer, text.validation[:_READ])))
    yield from filter(None, [check_flow(trained, ids[:, :4])])


def _chunk(ids: Any) -> tuple[Tensor, Tensor]:
    """The first steps of a few streams over a text: inputs and targets (T, B)."""
    used = ids[: _STREAMS * _STEPS + 1]
    batch = next(one_pass(used, min(_STREAMS, max(1, (len(used) - 1) // 2)), _STEPS))
    return batch.inputs, batch.targets


def _different_layers(model: nn.Module) -> list[Recurrent]:
    """One recurrent layer for each cell and its options."""
    found: dict[Any, Recurrent] = {}
    for module in model.modules():
        if isinstance(module, Recurrent):
            found.setdefault((module.cell.name, str(module.options)), module)
    return list(found.values())


def _broken(model: nn.Module) -> str | None:
    """The first parameter that isn't finite."""
    return next((name for name, p in model.named_parameters() if not bool(torch.isfinite(p).all())), None)
