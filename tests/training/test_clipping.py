"""Gradients that are too large."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn.utils import get_total_norm

from ifog.training import TrainingConfig
from ifog.training.clipping import Clipper


def clipper(way: str, clip: float) -> Clipper:
    return Clipper(TrainingConfig.from_dict({"steps": 1, "clipping": way, "clip": clip}))


def gradients(*values: list[float]) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(len(value))) for value in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor(value)
    return parameters


def clip(by: Clipper, parameters: list[nn.Parameter]) -> list[list[float]]:
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    by.clip(parameters, norm)
    by.observe(float(norm))
    return [p.grad.tolist() for p in parameters if p.grad is not None]


def test_by_value_each_number_is_limited() -> None:
    assert clip(clipper("value", 5.0), gradients([7.0, -9.0, 2.0], [-1.0])) == [[5, -5, 2], [-1]]


def test_by_norm_all_gradients_are_scaled_together() -> None:
    (a, b), (c,) = clip(clipper("norm", 6.5), gradients([3.0, 4.0], [12.0]))
    assert [a, b, c] == pytest.approx([1.5, 2.0, 6.0])
    assert clip(clipper("norm", 14.0), gradients([3.0, 4.0], [12.0])) == [[3.0, 4.0], [12.0]]


def test_none_changes_nothing() -> None:
    assert clip(clipper("none", 0.1), gradients([1e9])) == [[1e9]]


def test_by_mean_norm_the_threshold_follows_the_norms_before() -> None:
    by = clipper("mean_norm", 2.0)
    assert by.threshold is None
    assert clip(by, gradients([1.0])) == [[1.0]]  # nothing is known yet
    assert by.threshold == 2.0
    assert clip(by, gradients([3.0]))[0] == pytest.approx([2.0])
    assert by.threshold == 4.0  # twice the mean of 1 and 3, which are norms before clipping
    assert clip(by, gradients([3.5])) == [[3.5]]


def test_one_exploding_gradient_hardly_moves_the_mean() -> None:
    by = clipper("mean_norm", 1.0)
    for _ in range(500):
        by.observe(1.0)
    by.observe(1e30)
    assert by.threshold == pytest.approx(1.09)


def test_the_mean_forgets() -> None:
    by = clipper("mean_norm", 1.0)
    for _ in range(200):
        by.observe(8.0)
    for _ in range(1000):
        by.observe(1.0)
    assert by.threshold == pytest.approx(1.0, rel=1e-3)


def test_the_mean_comes_back_from_json() -> None:
    one, two = clipper("mean_norm", 1.0), clipper("mean_norm", 1.0)
    for value in (0.1, 0.7, 1 / 3):
        one.observe(value)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for by in (one, two):
        by.observe(0.3)
    assert one.threshold == two.threshold
