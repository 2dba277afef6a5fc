"""Generators of random numbers."""

from __future__ import annotations

import random

import numpy as np
import torch

from ifog.training.randomness import capture, preserved, restore, seed_all


def draw() -> list[float]:
    normal = [np.random.standard_normal(), random.gauss(0, 1)]  # noqa: NPY002 - each keeps a second one for later
    return [torch.rand(()).item(), random.random(), np.random.rand(), *normal]  # noqa: NPY002


def test_a_captured_state_leads_to_the_same_numbers() -> None:
    for warm_up in range(3):  # with and without a normal number kept for later
        for _ in range(warm_up):
            draw()
        state = {name: tensor.clone() for name, tensor in capture().items()}
        expected = [draw() for _ in range(3)]
        restore(state)
        assert [draw() for _ in range(3)] == expected


def test_seeding_starts_all_generators_anew() -> None:
    seed_all(3)
    first = draw()
    seed_all(3)
    assert draw() == first
    seed_all(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_what_is_drawn_inside_is_not_missed_outside() -> None:
    seed_all(1)
    expected = [draw(), draw()]
    seed_all(1)
    numbers = [draw()]
    with preserved():
        draw()
    assert [*numbers, draw()] == expected
