"""The maximum-entropy model: its equations written out plainly, its hash, and the dropout of its features."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ifog.errors import ConfigError
from ifog.layers.adaptive import AdaptiveSoftmax
from ifog.models import MaxentConfig, MaxentModel
from ifog.models.maxent import context_offsets

V = 11


def learned(**options: Any) -> MaxentModel:
    """A model whose table isn't zero."""
    model = MaxentModel(MaxentConfig(V, **options))
    nn.init.normal_(cast("nn.Parameter", model.table))
    return model


@pytest.mark.parametrize("cutoffs", [(), (4,), (2, 3, 9)])
def test_scores_are_those_of_the_network_and_of_each_context(cutoffs: tuple[int, ...]) -> None:
    model = learned(order=4, table_bits=7, hidden_size=5, cutoffs=cutoffs)
    table, places = cast("Tensor", model.table), 2**7 - V - len(cutoffs) + 1
    ids = torch.tensor([[3, 1], [4, 1], [3, 9], [4, 1]])
    padded = torch.cat([torch.full((2, 2), V), ids])
    log_probs, _ = model(ids)
    vectors, _ = model.hidden(ids)
    softmax, bands = cast("AdaptiveSoftmax", model.softmax), len(cutoffs)
    tokens = softmax.tokens
    for t in range(4):
        for b in range(2):
            h = vectors[t, b]
            scores = softmax.b_y.clone()  # of the words, then of the bands
            scores[V:] += softmax.W_band @ h
            for k, (low, high) in enumerate(zip(tokens.edges, tokens.edges[1:], strict=False)):
                scores[low:high] += tokens.tables[k] @ (tokens.projections[k - 1].T @ h if k else h)
            for n in range(3):
                context = padded[t + 2 - n : t + 3, b : b + 1]
                begin = int(context_offsets(context, n + 1, places)[0, 0, n])
                first = begin + tokens.edges[1]  # the features of the bands stand behind the frequent words'
                scores[V:] += table[first : first + bands]
                scores[: tokens.edges[1]] += table[begin:first]
                scores[tokens.edges[1] : V] += table[first + bands : begin + V + bands]
            frequent = torch.cat([scores[: tokens.edges[1]], scores[V:]]).log_softmax(0)
            expected = [frequent[: tokens.edges[1]]]
            for k in range(1, bands + 1):
                band = scores[tokens.edges[k] : tokens.edges[k + 1]]
                expected.append(frequent[tokens.edges[1] + k - 1] + band.log_softmax(0))
            torch.testing.assert_close(log_probs[t, b], torch.cat(expected))


def test_offsets_depend_on_the_words_of_the_context_and_their_order() -> None:
    words = torch.tensor([[1, 2, 3], [2, 1, 3], [4, 2, 3], [1, 2, 3], [3, 2, 1]]).T
    found = context_offsets(words, 3, 2**40)[0]
    assert found.shape == (5, 3)
    assert int(found.min()) >= 0
    assert torch.equal(found[0], found[3])
    assert found[0, 0] == found[1, 0] == found[2, 0] != found[4, 0]  # the last word
    assert found[0, 1] == found[2, 1] != found[1, 1]  # the last two
    assert len(set(cast("list[int]", found[:, 2].tolist()))) == 4
    assert len(set(cast("list[int]", found.flatten().tolist()))) == 2 + 3 + 4  # orders don't meet


def test_offsets_spread_evenly() -> None:
    history = torch.cartesian_prod(torch.arange(150), torch.arange(150)).T
    counts = context_offsets(history, 2, 64)[0, :, 1].bincount(minlength=64)
    expected = 150 * 150 / 64
    assert float((counts - expected).abs().max()) < 6 * math.sqrt(expected)


def test_features_alone_learn_a_text_that_needs_two_words_of_context() -> None:
    model = MaxentModel(MaxentConfig(4, order=3, table_bits=10, hidden_size=1))
    ids = torch.tensor([0, 1, 0, 2, 1, 3] * 8).unsqueeze(1)
    optimizer = torch.optim.SGD([cast("nn.Parameter", model.table)], lr=20.0)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss(ids[:-1], ids[1:])[0].backward()
        optimizer.step()
    assert model.log_prob(ids[:-1], ids[1:])[0][2:].exp().min() > 0.9


def test_dropped_contexts_take_no_part_and_the_others_make_up_for_them() -> None:
    model = learned(order=2, table_bits=7, hidden_size=5, feature_dropout=0.75, cutoffs=())
    ids = torch.randint(V, (50, 8))
    own = model.softmax.scores(model.hidden(ids)[0].flatten(0, 1))
    added = model.eval()(ids)[0].flatten(0, 1) - own  # scores but for a constant
    found = model.train()(ids)[0].flatten(0, 1) - own
    flat = own.log_softmax(-1) - own
    kept = (own + 4 * (added - added.mean(1, keepdim=True))).log_softmax(-1) - own
    dropped = (found - flat).abs().amax(1) < 1e-5
    torch.testing.assert_close(found[~dropped], kept[~dropped], atol=1e-4, rtol=1e-4)
    assert 0.65 < float(dropped.float().mean()) < 0.85


def test_dropped_contexts_do_not_learn() -> None:
    model = learned(order=2, table_bits=7, hidden_size=5, feature_dropout=0.999, cutoffs=())
    torch.manual_seed(0)
    ids = torch.randint(V, (4, 2))
    model.loss(ids, ids)[0].backward()
    assert model.table is not None
    assert model.table.grad is not None
    assert not model.table.grad.any()


def test_features_are_dropped_in_training_only() -> None:
    model = learned(order=3, table_bits=7, hidden_size=5, feature_dropout=0.5)
    ids = torch.randint(V, (6, 2))
    assert not torch.equal(model(ids)[0], model(ids)[0])
    model.eval()
    assert torch.equal(model(ids)[0], model(ids)[0])


def test_features_learn_at_a_rate_of_their_own() -> None:
    ids = torch.randint(V, (6, 2))
    moved: list[Tensor] = []
    for rate in (1.0, 9.0):
        torch.manual_seed(0)
        model = MaxentModel(MaxentConfig(V, order=3, table_bits=7, hidden_size=5, feature_rate=rate, cutoffs=()))
        before = model(ids)[0]
        optimizer = torch.optim.SGD([cast("nn.Parameter", model.table)], lr=1.0)
        model.loss(ids, ids)[0].backward()
        optimizer.step()
        moved.append(model(ids)[0] - before)
    slow, fast = (scores - scores.mean(-1, keepdim=True) for scores in moved)
    torch.testing.assert_close(fast, 9 * slow, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="give a number above 0"):
        MaxentConfig(V, feature_rate=rate)


def test_a_table_shorter_than_the_scores_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 bands; give table_bits=5"):
        MaxentConfig(14, table_bits=4, cutoffs=(2, 5, 9))
