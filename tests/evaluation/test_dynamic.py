"""Dynamic evaluation."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from ifog.errors import ConfigError, DataError, TrainingError
from ifog.evaluation import DynamicScorer, RecurrentScorer, gradient_mean_squares
from ifog.layers import detach_state
from ifog.models import LanguageModel

IDS = np.random.default_rng(0).integers(11, size=24)


def model() -> LanguageModel:
    torch.manual_seed(1)
    return LanguageModel(11, hidden_size=7, embedding_size=3, dropout=0.5)


def by_hand(
    net: LanguageModel, ids: np.ndarray, chunk: int, rate: float, decay: float = 0.0, squares: dict | None = None
) -> list[float]:
    """With a copy of the model, `backward` and one plain step after another."""
    net = copy.deepcopy(net).eval()
    first = copy.deepcopy(dict(net.named_parameters()))
    text = torch.from_numpy(ids).unsqueeze(1)
    made, state = [-math.log(11)], None
    for begin in range(0, len(ids) - 1, chunk):
        targets = text[begin + 1 : begin + 1 + chunk]
        logits, state = net(text[begin : begin + len(targets)], detach_state(state))
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        made += (-loss).tolist()
        net.zero_grad()
        loss.mean().backward()
        roots = None if squares is None else {name: value**0.5 for name, value in squares.items()}
        mean = None if roots is None else torch.cat([root.flatten() for root in roots.values()]).mean()
        for name, weight in net.named_parameters():
            scale = 1.0 if roots is None else 1 / (roots[name] + 1e-3)
            pull = decay if roots is None else (decay * roots[name] / mean).clamp(max=1.0)
            weight.data = weight.data - rate * scale * weight.grad + pull * (first[name].data - weight.data)
    return made


@pytest.mark.parametrize(("chunk", "decay"), [(1, 0.0), (5, 0.0), (7, 0.1), (100, 0.0)])
def test_each_chunk_is_judged_by_what_the_ones_before_taught(chunk: int, decay: float) -> None:
    net = model()
    made = DynamicScorer(net, learning_rate=0.5, chunk=chunk, decay=decay).log_prob(IDS)
    np.testing.assert_allclose(made, by_hand(net, IDS, chunk, 0.5, decay), rtol=2e-4, atol=1e-5)


def test_the_rule_of_mean_squares_is_the_papers() -> None:
    net = model()
    squares = gradient_mean_squares(net, IDS, chunk=4)
    made = DynamicScorer(net, learning_rate=0.02, chunk=4, decay=0.05, mean_squares=squares).log_prob(IDS)
    np.testing.assert_allclose(made, by_hand(net, IDS, 4, 0.02, 0.05, squares), rtol=5e-4, atol=1e-5)
    assert not np.allclose(made, RecurrentScorer(net).log_prob(IDS), rtol=1e-3)


def test_mean_squares_are_those_of_the_chunks_gradients() -> None:
    net = model().eval()
    text = torch.from_numpy(IDS).unsqueeze(1)
    sums = {name: torch.zeros_like(weight) for name, weight in net.named_parameters()}
    state = None
    for begin in (0, 10, 20):
        targets = text[begin + 1 : begin + 11]
        logits, state = net(text[begin : begin + len(targets)], detach_state(state))
        net.zero_grad()
        functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        for name, weight in net.named_parameters():
            sums[name] += weight.grad**2 / 3  # type: ignore[operator]
    made = gradient_mean_squares(net, IDS, chunk=10)
    assert made.keys() == sums.keys()
    for name, value in made.items():
        torch.testing.assert_close(value, sums[name], rtol=1e-3, atol=1e-8)


def test_without_steps_it_is_plain_evaluation() -> None:
    net = model()
    np.testing.assert_allclose(
        DynamicScorer(net, learning_rate=0.0, start=3).log_prob(IDS), RecurrentScorer(net, start=3).log_prob(IDS),
        rtol=1e-5,
    )  # fmt: skip


def test_learning_helps_on_a_text_that_repeats_itself() -> None:
    net = model()
    ids = np.tile(np.array([1, 5, 2, 8]), 60)
    plain = RecurrentScorer(net).log_prob(ids).mean()
    assert DynamicScorer(net, learning_rate=0.3).log_prob(ids).mean() > plain + 0.5


@pytest.mark.parametrize("ids", [IDS, np.array([1, 2, 3, 4, 5, 6, 7, 99]), np.array([4])])
def test_weights_gradients_and_modes_are_left_as_they_were(ids: np.ndarray) -> None:
    net = model().train()
    net.b_y.grad = torch.ones(11)
    before = copy.deepcopy(net.state_dict())
    scorer = DynamicScorer(net, learning_rate=0.5, chunk=3)
    if ids.max() > 10:
        with pytest.raises(DataError, match="id 99"):
            scorer.log_prob(ids)
    else:
        first = scorer.log_prob(ids)
        np.testing.assert_array_equal(first, scorer.log_prob(ids))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert net.training
    assert torch.equal(net.b_y.grad, torch.ones(11))
    assert net.W_hy is not None
    assert net.W_hy.grad is None


def test_frozen_weights_are_not_learned() -> None:
    net = model()
    net.embedding.weight.requires_grad_(False)  # type: ignore[union-attr]
    assert "embedding.weight" not in gradient_mean_squares(net, IDS)
    DynamicScorer(net, learning_rate=0.1).log_prob(IDS)


def test_steps_that_explode_are_an_error_with_a_remedy() -> None:
    net = model()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(TrainingError, match="smaller learning_rate"):
        DynamicScorer(net, learning_rate=3e38, chunk=2).log_prob(IDS)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_options_out_of_their_range_are_refused() -> None:
    net = model()
    for options in ({"learning_rate": -1.0}, {"learning_rate": 1.0, "decay": 2.0}, {"learning_rate": math.nan}):
        with pytest.raises(ConfigError, match="learning_rate is"):
            DynamicScorer(net, **options)
    with pytest.raises(ConfigError, match="chunk is 0"):
        DynamicScorer(net, learning_rate=0.1, chunk=0)
    with pytest.raises(ConfigError, match=r"lacks W_hy"):
        DynamicScorer(net, learning_rate=0.1, mean_squares={})
    with pytest.raises(DataError, match="1 tokens"):
        gradient_mean_squares(net, IDS[:1])
