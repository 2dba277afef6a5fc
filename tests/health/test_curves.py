"""Records of made-up runs, healthy and ill."""

from __future__ import annotations

from typing import Any

import numpy as np

from ifog.health.curves import (
    check_clipping,
    check_data_order,
    check_learning_rate,
    check_overfitting,
    check_stability,
)
from ifog.health.diagnosis import Diagnosis


def run(losses: Any, norms: Any = None, judged: Any = ()) -> list[dict[str, Any]]:
    losses = np.asarray(losses, float)
    norms = np.full(len(losses), 0.5) if norms is None else np.asarray(norms, float)
    trained = [{"kind": "train", "loss": loss, "gradient_norm": norm} for loss, norm in zip(losses, norms, strict=True)]
    return [*trained, *({"kind": "evaluation", "loss": loss} for loss in judged)]


def verdict(diagnosis: Diagnosis | None) -> str | None:
    return diagnosis.verdict if diagnosis else None


TIME = np.linspace(0, 1, 50)
HEALTHY = 1 + 2 * np.exp(-10 * TIME)


def test_a_healthy_curve_passes_every_check() -> None:
    records = run(HEALTHY, judged=[1.4, 1.2, 1.1, 1.08])
    checks = [check_learning_rate, check_stability, check_overfitting]
    assert [verdict(check(records)) for check in checks] == ["good"] * 3
    assert verdict(check_clipping(records, "norm", 1.0)) == "good"


def test_a_curve_that_falls_late_wants_a_higher_rate() -> None:
    diagnosis = check_learning_rate(run(3 - 2 * TIME))
    assert diagnosis
    assert diagnosis.verdict == "look"
    assert "learning rate" in diagnosis.remedy


def test_a_curve_that_does_not_fall_is_bad() -> None:
    assert verdict(check_learning_rate(run(3 + 0.01 * np.sin(40 * TIME)))) == "bad"


def test_a_curve_that_still_falls_wants_more_time() -> None:
    diagnosis = check_learning_rate(run(np.where(TIME < 0.1, 3 - 12 * TIME, 1.8 - 1.7 * TIME)))
    assert diagnosis
    assert "train longer" in diagnosis.remedy


def test_jumps_and_exploding_gradients_are_told_apart() -> None:
    jumping = HEALTHY.copy()
    jumping[10::4] *= 1.6
    assert verdict(check_stability(run(jumping))) == "bad"
    norms = np.full(50, 0.5)
    norms[20] = 40.0
    assert verdict(check_stability(run(HEALTHY, norms))) == "look"


def test_clipping_that_is_always_or_never_on_is_noticed() -> None:
    assert verdict(check_clipping(run(HEALTHY), "norm", 0.1)) == "look"
    assert verdict(check_clipping(run(HEALTHY), "none", 1.0)) == "look"
    assert verdict(check_clipping(run(HEALTHY), "value", 5.0)) == "good"


def test_a_held_out_loss_that_turns_is_over_fitting_and_a_wide_gap_is_noticed() -> None:
    assert verdict(check_overfitting(run(HEALTHY, judged=[1.5, 1.2, 1.3, 1.5]))) == "bad"
    assert verdict(check_overfitting(run(HEALTHY, judged=[1.9, 1.7, 1.6]))) == "look"


def test_a_text_that_changes_on_its_way_is_noticed() -> None:
    chance = np.random.default_rng(0)
    mixed = chance.integers(0, 20, 20_000)
    assert verdict(check_data_order(mixed, mixed[:2000], 40)) == "good"
    other = chance.integers(15, 40, 2000)
    assert verdict(check_data_order(mixed, other, 40)) == "bad"
    assert verdict(check_data_order(np.concatenate([mixed, other]), mixed[:2000], 40)) == "look"


def test_too_few_records_say_nothing() -> None:
    short = run([3, 2, 1])
    assert check_learning_rate(short) is check_stability(short) is check_overfitting(short) is None
    assert check_data_order(np.zeros(10, int), np.zeros(10, int), 3) is None
