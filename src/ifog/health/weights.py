"""What trained weights say: gates that are stuck, units that are dead, gradients that vanish or explode.

Owns the thresholds. Takes a trained model and text, gives diagnoses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ifog.errors import ConfigError
from ifog.flow.gradients import gradient_norms, half_life
from ifog.health.diagnosis import Diagnosis
from ifog.inspection.gates import unit_statistics

__all__ = ["check_flow", "check_units"]

_STUCK = 0.9  # of the steps open, or shut


def check_units(model: Any, text: str) -> list[Diagnosis]:
    """Whether gates move, where the cell has any, and whether units do.

    Args:
        model: With a tokenizer, trained.
        text: What it reads.
    """
    try:
        found = unit_statistics(model, text)
    except ConfigError:  # a model without recurrent layers
        return []
    made: list[Diagnosis] = []
    units = sum(len(gate.open) for gate in found.gates)
    stuck = sum(int(((gate.open > _STUCK) | (gate.shut > _STUCK)).sum()) for gate in found.gates)
    if units:
        seen = f"{stuck} of {units} gates are open, or shut, for more than {_STUCK:.0%} of {found.steps:,} steps"
        remedy = "a gate that never moves learns nothing: smaller initial weights, a lower learning rate, layer norm"
        made.append(_told("gates", stuck > 0.5 * units, seen, remedy))
    states = sum(len(dead) for dead in found.dead.values())
    dead = sum(int(dead.sum()) for dead in found.dead.values())
    seen = f"{dead} of {states} units hardly change"
    remedy = "fewer units would do as well; or a lower learning rate, if they died in training"
    made.append(_told("dead units", dead > 0.1 * states, seen, remedy))
    return made


def check_flow(model: Any, inputs: Tensor) -> Diagnosis | None:
    """How far back gradients reach.

    Args:
        model: Trained.
        inputs: Ids (T, B).
    """
    try:
        norms = gradient_norms(model, len(inputs), sequences=inputs.shape[1], inputs=inputs)
    except ConfigError:  # a model that keeps more than recurrent states
        return None
    slope = norms.slope
    if slope is None:
        return None
    reach = half_life(slope)
    grown = float(np.median(norms.whole[-1] / np.maximum(norms.whole[0], 1e-300)))
    if slope > 0.02:
        return Diagnosis(
            "gradient flow", "bad", f"gradients grow {np.exp(slope):.2f} times a step going back: they explode",
            "clip (--clipping norm), start recurrent matrices orthogonal, or take a gated cell",
        )  # fmt: skip
    seen = f"gradients keep {grown:.2g} of their length over {len(inputs) - 2} steps"
    if reach is not None:
        seen += f", half of it over {reach:.3g}"
    if reach is not None and reach < 2:
        return Diagnosis(
            "gradient flow", "look", f"{seen}: they vanish",
            "what lies further back is not learned: take lstm or gru, a forget bias of 1, or an orthogonal start",
        )  # fmt: skip
    return Diagnosis("gradient flow", "good", seen)


def _told(check: str, look: bool, seen: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, "look", seen, remedy) if look else Diagnosis(check, "good", seen)
