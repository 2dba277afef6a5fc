"""Attention against a loop over every pair of places, its gradients, and what pads a source."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError, ShapeError
from ifog.layers.attention import ATTENTIONS, AdditiveAttention, Attention, DotAttention, GeneralAttention, attention

SIZES = [(1, 1, 1, 4), (3, 17, 2, 5), (17, 3, 5, 33)]  # T, S, B, H


def made(name: str, size: int) -> Attention:
    layer = attention(name, size, size).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def score(layer: Attention, query: Tensor, place: Tensor) -> Tensor:
    """One number for one query and one place, from the formula in the paper."""
    if isinstance(layer, AdditiveAttention):
        hidden = torch.tanh(layer.W_h @ query + layer.W_m @ place + layer.b)
        return (layer.v * hidden).sum()
    if isinstance(layer, GeneralAttention):
        return query @ (layer.W_m @ place)
    return (query * place).sum()


def looped(layer: Attention, queries: Tensor, memory: Tensor, lengths: list[int]) -> Tensor:
    contexts = []
    for t in range(len(queries)):
        row = []
        for b, length in enumerate(lengths):
            if not length:
                row.append(torch.zeros_like(memory[0, b] if len(memory) else queries[t, b]))
                continue
            weights = torch.stack([score(layer, queries[t, b], memory[s, b]).exp() for s in range(length)])
            weights = weights / weights.sum()
            row.append(sum(w * memory[s, b] for s, w in enumerate(weights)))
        contexts.append(torch.stack(row))
    return torch.stack(contexts)


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize(("steps", "places", "batch", "size"), SIZES)
def test_contexts_and_gradients_are_those_of_a_loop(name: str, steps: int, places: int, batch: int, size: int) -> None:
    layer = made(name, size)
    queries = torch.randn(steps, batch, size, dtype=torch.double, requires_grad=True)
    memory = torch.randn(places, batch, size, dtype=torch.double, requires_grad=True)
    lengths = [1 + (7 * b) % places for b in range(batch)]
    inputs = [queries, memory, *layer.parameters()]
    found, weights = layer(queries, layer.read(memory, torch.tensor(lengths)))
    wanted = looped(layer, queries, memory, lengths)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(weights.sum(-1), torch.ones(steps, batch, dtype=torch.double))
    cotangent = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad(y, inputs, cotangent) for y in (found, wanted))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_what_pads_a_source_changes_nothing_and_learns_nothing(name: str) -> None:
    layer = made(name, 4)
    queries, memory = torch.randn(2, 3, 4).double(), torch.randn(5, 3, 4).double().requires_grad_()
    lengths = torch.tensor([2, 5, 1])
    found, weights = layer(queries, layer.read(memory, lengths))
    found.sum().backward()
    assert memory.grad is not None
    for b, length in enumerate(lengths.tolist()):
        assert not weights[:, b, length:].any()
        assert not memory.grad[length:, b].any()
        alone, _ = layer(queries[:, b : b + 1], layer.read(memory[:length, b : b + 1]))
        torch.testing.assert_close(found[:, b : b + 1], alone)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_empty_source_gives_zeros_and_no_nan(name: str) -> None:
    layer = made(name, 4)
    memory = torch.randn(3, 2, 4).double().requires_grad_()
    contexts, weights = layer(torch.randn(2, 2, 4).double(), layer.read(memory, torch.tensor([0, 3])))
    contexts.sum().backward()
    assert not contexts[:, 0].any()
    assert not weights[:, 0].any()
    assert memory.grad is not None
    assert bool(memory.grad.isfinite().all())


@pytest.mark.parametrize("name", ATTENTIONS)
def test_no_queries_and_no_batch_are_allowed(name: str) -> None:
    layer = attention(name, 4, 4)
    memory = layer.read(torch.randn(3, 2, 4))
    assert layer(torch.randn(0, 2, 4), memory)[0].shape == (0, 2, 4)
    assert layer(torch.randn(2, 0, 4), layer.read(torch.randn(3, 0, 4)))[1].shape == (2, 0, 3)


def test_general_attention_reads_memories_of_another_size() -> None:
    layer = GeneralAttention(4, 6)
    contexts, _ = layer(torch.randn(2, 3, 4), layer.read(torch.randn(5, 3, 6)))
    assert contexts.shape == (2, 3, 6)


def test_large_scores_overflow_nothing() -> None:
    layer = DotAttention(2, 2)
    _, weights = layer(torch.full((1, 1, 2), 1e4), layer.read(torch.full((3, 1, 2), 1e4), torch.tensor([2])))
    torch.testing.assert_close(weights, torch.tensor([[[0.5, 0.5, 0.0]]]))
    assert math.isfinite(float(weights.sum()))


def test_errors_say_what_was_wanted() -> None:
    with pytest.raises(ConfigError, match="'soft'.*'additive', 'dot', 'general'"):
        attention("soft", 4, 4)
    with pytest.raises(ConfigError, match=r"4.*6.*take general"):
        attention("dot", 4, 6)
    with pytest.raises(ConfigError, match="memory_size is 0"):
        attention("general", 4, 0)
    layer = attention("general", 4, 6)
    with pytest.raises(ShapeError, match=r"\(S, B, 6\).*\(3, 2, 4\)"):
        layer.read(torch.zeros(3, 2, 4))
    with pytest.raises(ShapeError, match="2 sources have lengths"):
        layer.read(torch.zeros(3, 2, 6), torch.tensor([1]))
    with pytest.raises(ShapeError, match=r"\(T, 2, 4\).*\(1, 1, 4\)"):
        layer(torch.zeros(1, 1, 4), layer.read(torch.zeros(3, 2, 6)))
