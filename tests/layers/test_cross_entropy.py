"""Scores beside those of the matrix: read from a table in stretches, added to a softmax, and what they learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ifog.layers import cross_entropy
from ifog.layers.adaptive import AdaptiveSoftmax
from ifog.layers.cross_entropy import Windows, token_nats

H, V, S = 6, 17, 40


def leaves(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def awkward_offsets(count: int, columns: int) -> Tensor:
    """Stretches of `columns` numbers in a table of S: both ends, some that repeat or overlap, some left out."""
    offsets = torch.randint(S - columns + 1, (count, 3))
    offsets[:, 0] = torch.tensor([0, S - columns, 3, 3, 4, -1, 0]).repeat(count // 7 + 1)[:count]
    offsets[:, 2] = offsets[:, 2].masked_fill(torch.rand(count) < 0.5, -1)
    return offsets


def written_out(windows: Windows, columns: int) -> Tensor:
    """All rows of scores, each number looked up by itself."""
    rows = torch.zeros(len(windows.offsets), columns, dtype=windows.table.dtype)
    for begins in windows.offsets.unbind(1):
        found = windows.table[begins.clamp(min=0).unsqueeze(1) + torch.arange(columns)]
        rows = rows + windows.scale * found * (begins >= 0).unsqueeze(1)
    return rows


@pytest.mark.parametrize("count", [1, 7, 33])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_stretches_are_summed_part_by_part_and_learn(count: int, scale: float) -> None:
    (table,) = leaves((S,))
    windows = Windows(table, awkward_offsets(count, V), scale)
    some, none = torch.randperm(count)[: count // 2 + 1], torch.zeros(0, dtype=torch.long)
    parts = [(torch.arange(count), range(4)), (some, range(4, V)), (none, range(2, 9)), (some, range(V - 1, V))]
    found = windows.scores(parts)
    whole = written_out(windows, V)
    expected = tuple(whole[rows][:, columns.start : columns.stop] for rows, columns in parts)
    torch.testing.assert_close(found, expected)
    factors = [torch.randn_like(part) for part in found]
    ours, theirs = (sum((f * p).sum() for f, p in zip(factors, given, strict=True)) for given in (found, expected))
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    torch.testing.assert_close(torch.autograd.grad(ours, table), torch.autograd.grad(theirs, table))


def test_a_stretch_as_long_as_the_table_is_the_table() -> None:
    (table,) = leaves((V,))
    windows = Windows(table, torch.zeros(3, 1, dtype=torch.long))
    torch.testing.assert_close(windows.scores([(torch.arange(3), range(V))])[0], table.expand(3, V))


@pytest.mark.parametrize("piece", [1, 3 * V, 2**23])
@pytest.mark.parametrize("count", [1, 7, 33])
@pytest.mark.parametrize("weighted", [True, False])
def test_scores_beside_those_of_the_matrix_count_and_learn(
    monkeypatch: pytest.MonkeyPatch, piece: int, count: int, weighted: bool
) -> None:
    monkeypatch.setattr(cross_entropy, "PIECE", piece)
    used = leaves((count, H), (V, H), (V,), (count, V))
    hidden, weight, bias, extra = used
    targets = torch.randint(V, (count,))
    targets[count // 2] = -100
    factors = torch.randn(count, dtype=torch.float64) if weighted else torch.full((count,), 0.7, dtype=torch.float64)
    ours = token_nats(hidden, weight, bias, targets, extra)
    expected = functional.cross_entropy(hidden @ weight.T + bias + extra, targets, reduction="none")
    torch.testing.assert_close(ours, expected)
    found = torch.autograd.grad((ours * factors).sum(), used)
    torch.testing.assert_close(found, torch.autograd.grad((expected * factors).sum(), used))


@pytest.mark.parametrize("cutoffs", [[], [1], [5, 9], [3, 4, 16]])
@pytest.mark.parametrize("count", [0, 1, 33])
def test_an_adaptive_softmax_adds_windows_to_each_band(cutoffs: list[int], count: int) -> None:
    softmax = AdaptiveSoftmax(H, V, cutoffs).double()
    bands = len(cutoffs)
    assert softmax.columns == V + bands
    hidden, table = leaves((count, H), (60,))
    windows = Windows(table, torch.randint(60 - softmax.columns + 1, (count, 2)))
    edges, extra = [0, *cutoffs, V], written_out(windows, softmax.columns)
    first = edges[1] + bands
    head = (_head(softmax, hidden) + extra[:, :first]).log_softmax(1)
    expected = [head[:, : edges[1]]]
    for k in range(1, bands + 1):
        low, high = edges[k], edges[k + 1]
        tokens = softmax.tokens
        scores = hidden @ tokens.projections[k - 1] @ tokens.tables[k].T + softmax.b_y[low:high]
        within = (scores + extra[:, low + bands : high + bands]).log_softmax(1)
        expected.append(head[:, edges[1] + k - 1, None] + within)
    whole = torch.cat(expected, 1)
    torch.testing.assert_close(softmax.log_prob(hidden, windows), whole)
    targets = torch.randint(V, (count,))
    targets[: count // 5] = -1
    chosen = whole.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1).masked_fill(targets < 0, 0.0)
    torch.testing.assert_close(softmax.log_prob_of(hidden, targets, windows), chosen)
    used = [hidden, table, *softmax.parameters()]
    found = torch.autograd.grad(softmax.loss(hidden, targets, windows).sum(), used)
    torch.testing.assert_close(
        found, torch.autograd.grad(-chosen.sum(), used, allow_unused=True, materialize_grads=True)
    )


def _head(softmax: AdaptiveSoftmax, hidden: Tensor) -> Tensor:
    """The scores of frequent tokens, then bands."""
    tokens = softmax.tokens
    frequent = hidden @ tokens.tables[0].T + softmax.b_y[: tokens.edges[1]]
    return torch.cat([frequent, hidden @ softmax.W_band.T + softmax.b_y[V:]], 1)
