"""What must hold before training says anything: the lectures' sanity checks on a model with fresh weights.

Owns the checks on a model: its loss at the start, equal outcomes, units that differ, one batch learned by heart, and
the gradients of its cell. Takes a model and a batch, gives diagnoses. Never touches the weights it is given.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from ifog.compiler import Cell
from ifog.health.diagnosis import Diagnosis
from ifog.layers import Recurrent
from ifog.tracking import tracked

__all__ = ["check_cell_gradients", "check_one_batch", "check_outcomes", "check_start", "check_symmetry"]

_UPDATES = 150
_STEPS, _BATCH = 24, 4  # of the batch that is learned by heart


@torch.no_grad()
def check_start(model: Any, ids: Tensor, targets: Tensor) -> Diagnosis:
    """An untrained model knows nothing: its loss is ln V.

    Args:
        model: A `NextTokenModel` with fresh weights, in evaluation mode.
        ids: (T, B).
        targets: (T, B), the ids that came next.
    """
    loss = -float(model.log_prob(ids, targets)[0].mean())
    wanted = math.log(model.config.vocabulary_size)
    seen = f"the loss before training is {loss:.3f}, that of guessing is ln V = {wanted:.3f}"
    if not math.isfinite(loss) or abs(loss - wanted) > 0.15 * wanted:
        return Diagnosis(
            "loss at start", "bad", seen, "the output layer starts too large: start it near zero, its biases at zero"
        )
    return Diagnosis("loss at start", "good", seen)


@torch.no_grad()
def check_outcomes(model: Any, ids: Tensor) -> Diagnosis:
    """An untrained model prefers no token: the entropy of its mean prediction is near ln V."""
    scores, _ = model(ids)
    mean = scores.flatten(0, -2).double().softmax(-1).mean(0)
    entropy = -float((mean * mean.clamp_min(1e-300).log()).sum())
    wanted = math.log(len(mean))
    ratio = float(mean.max()) * len(mean)
    seen = f"entropy of the first predictions {entropy:.3f} of {wanted:.3f}, largest share {ratio:.1f} times the mean"
    if entropy < 0.9 * wanted:
        return Diagnosis(
            "equal outcomes", "bad", seen, "some tokens are favoured from the start: look at the output biases"
        )
    return Diagnosis("equal outcomes", "good", seen)


@torch.no_grad()
def check_symmetry(model: nn.Module) -> Diagnosis:
    """No two units may start alike: they would get the same gradients and stay alike."""
    for name, parameter in model.named_parameters():
        rows = parameter.flatten(1) if parameter.dim() >= 2 else None
        # a matrix that is all one value, or the identity, is a choice (IRNN) that the other matrices make up for
        if rows is None or len(rows) < 2 or bool((rows == rows.flatten()[0]).all()):
            continue
        different = len({row.numpy().tobytes() for row in rows.cpu()})
        if different < len(rows):
            return Diagnosis(
                "symmetry", "bad",
                f"{name} has {len(rows)} rows, of which only {different} differ",
                "draw initial weights at random: units with the same weights learn the same",
            )  # fmt: skip
    return Diagnosis("symmetry", "good", "all units start with weights of their own")


def check_one_batch(model: Any, ids: Tensor, targets: Tensor) -> Diagnosis:
    """A model that can learn learns a handful of sequences by heart.

    A copy is trained with AdamW on the first 24 steps of 4 sequences; dropout is off.
    """
    learner, ids, targets = copy.deepcopy(model).eval(), ids[:_STEPS, :_BATCH], targets[:_STEPS, :_BATCH]
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-2)
    first, last, update = math.nan, math.nan, 0
    with torch.enable_grad():
        for update in tracked(range(1, _UPDATES + 1), "learning a few sequences by heart"):
            loss, _ = learner.loss(ids, targets)
            last = loss.item()
            first = last if update == 1 else first
            if not math.isfinite(last) or last < 0.02 * first:
                break
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
    seen = f"{ids.numel()} tokens: loss {first:.3f} to {last:.3f} in {update} updates"
    if not last < 0.2 * first:
        return Diagnosis(
            "one batch by heart", "bad", seen,
            "the model can't even learn one batch: look at its gradients, its loss, and whether inputs reach the cell",
        )  # fmt: skip
    return Diagnosis("one batch by heart", "good", seen)


def check_cell_gradients(cell: Cell, **options: Any) -> Diagnosis:
    """The derivative that the compiler made of a cell against finite differences, in float64, 4 units."""
    layer = Recurrent(cell, 4, 4, backend="symbolic", **options).double().eval()  # some cells want D = H
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    parameters = dict(layer.named_parameters())

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))[0]

    leaves = [p.detach().clone().requires_grad_() for p in parameters.values()]
    try:
        torch.autograd.gradcheck(run, (x, *leaves), fast_mode=True)
    except (RuntimeError, AssertionError) as error:
        return Diagnosis(
            "gradients", "bad", f"{cell.name}: {str(error).splitlines()[0]}",
            "the cell may have a kink exactly where it starts (relu at 0), or an operation with a wrong derivative",
        )  # fmt: skip
    return Diagnosis("gradients", "good", f"{cell.name}: the derivative matches finite differences in float64")
