"""The softmaxes: values and gradients against scores written out in full, and what each promises beyond."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError, ShapeError
from ifog.layers import cross_entropy
from ifog.layers.adaptive import AdaptiveEmbedding, AdaptiveSoftmax, make_softmax
from ifog.layers.cross_entropy import mean_nats, token_nats
from ifog.layers.softmax import FullSoftmax, SampledSoftmax, Softmax

H, V = 6, 17


def leaves(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def softmaxes() -> list[Softmax]:
    return [
        FullSoftmax(H, V),
        FullSoftmax(H, V, tied=nn.Embedding(V, H)),
        SampledSoftmax(H, V, samples=5),
        AdaptiveSoftmax(H, V, [5, 9]),
        AdaptiveSoftmax(H, V, [1]),
        AdaptiveSoftmax(H, V, tied=AdaptiveEmbedding(V, H, [4, 16])),
    ]


def described(softmax: Softmax) -> str:
    return type(softmax).__name__


# --- the cross-entropy in pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 3 * V, 2**23])
@pytest.mark.parametrize("count", [1, 7, 33])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_nats_in_pieces_have_the_values_and_gradients_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, piece: int, count: int, with_bias: bool, weighted: bool
) -> None:
    monkeypatch.setattr(cross_entropy, "PIECE", piece)
    hidden, weight, bias = leaves((count, H), (V, H), (V,))
    targets = torch.randint(V, (count,))
    factors = torch.randn(count, dtype=torch.float64) if weighted else torch.full((count,), 0.7, dtype=torch.float64)
    used = [hidden, weight, bias] if with_bias else [hidden, weight]
    ours = token_nats(hidden, weight, bias if with_bias else None, targets)
    scores = hidden @ weight.T + (bias if with_bias else 0)
    expected = functional.cross_entropy(scores, targets, reduction="none")
    torch.testing.assert_close(ours, expected)
    found = torch.autograd.grad((ours * factors).sum(), used)
    torch.testing.assert_close(found, torch.autograd.grad((expected * factors).sum(), used))


def test_a_negative_target_costs_nothing_and_teaches_nothing() -> None:
    hidden, weight = leaves((5, H), (V, H))
    targets = torch.tensor([3, -100, 0, -1, 16])
    mean_nats(token_nats(hidden, weight, None, targets), targets).backward()
    kept = targets >= 0
    expected = functional.cross_entropy(hidden[kept] @ weight.T, targets[kept])
    torch.testing.assert_close(mean_nats(token_nats(hidden, weight, None, targets), targets), expected)
    torch.testing.assert_close([hidden.grad, weight.grad], list(torch.autograd.grad(expected, [hidden, weight])))
    assert hidden.grad is not None
    assert not hidden.grad[~kept].any()


def test_where_no_target_counts_the_mean_is_zero_and_so_is_the_gradient() -> None:
    (hidden, weight), targets = leaves((2, H), (V, H)), torch.tensor([-100, -100])
    loss = mean_nats(token_nats(hidden, weight, None, targets), targets)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, weight)[0].any()


def test_the_graph_can_be_walked_twice() -> None:
    hidden, weight = leaves((4, H), (V, H))
    loss = token_nats(hidden, weight, None, torch.arange(4)).mean()
    once = torch.autograd.grad(loss, [hidden, weight], retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, [hidden, weight]), once)


def test_huge_scores_stay_finite() -> None:
    hidden, weight = torch.full((1, 1), 1e4), torch.tensor([[1.0], [-1.0], [0.5]])
    torch.testing.assert_close(token_nats(hidden, weight, None, torch.tensor([1])), torch.tensor([2e4]))


# --- every softmax ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("softmax", softmaxes(), ids=described)
@pytest.mark.parametrize("count", [0, 1, 33])
def test_every_softmax_is_normalised_and_agrees_with_itself(softmax: Softmax, count: int) -> None:
    softmax.eval()
    hidden, targets = torch.randn(count, H), torch.arange(count) % V
    whole = softmax.log_prob(hidden)
    assert whole.shape == (count, V)
    torch.testing.assert_close(whole.exp().sum(1), torch.ones(count))
    torch.testing.assert_close(softmax.scores(hidden).log_softmax(1), whole)
    torch.testing.assert_close(softmax.log_prob_of(hidden, targets), whole.gather(1, targets[:, None])[:, 0])
    torch.testing.assert_close(softmax.loss(hidden, targets), -softmax.log_prob_of(hidden, targets))


@pytest.mark.parametrize("softmax", softmaxes(), ids=described)
def test_the_gradient_of_the_loss_is_that_of_the_whole_distribution(softmax: Softmax) -> None:
    softmax.double().eval()
    for tied in getattr(softmax, "_tied", ()):
        tied.double()
    targets, hidden = torch.arange(V), torch.randn(V, H, dtype=torch.float64, requires_grad=True)
    used = [hidden, *softmax.parameters()]
    ours = torch.autograd.grad(softmax.loss(hidden, targets).mean(), used)
    expected = torch.autograd.grad(-softmax.log_prob(hidden).gather(1, targets[:, None]).mean(), used)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("softmax", softmaxes(), ids=described)
def test_every_softmax_learns_what_comes_next(softmax: Softmax) -> None:
    hidden, targets = torch.randn(V, H), torch.arange(V)
    embeddings = [p for tied in getattr(softmax, "_tied", ()) for p in tied.parameters()]
    optimizer = torch.optim.Adam([*softmax.parameters(), *embeddings], lr=0.1)
    before = -softmax.log_prob_of(hidden, targets).mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        softmax.loss(hidden, targets).mean().backward()
        optimizer.step()
    assert -softmax.log_prob_of(hidden, targets).mean().item() < before - 0.5


@pytest.mark.parametrize("softmax", softmaxes(), ids=described)
def test_shapes_that_do_not_belong_together_are_refused(softmax: Softmax) -> None:
    with pytest.raises(ShapeError, match=r"flatten time and batch"):
        softmax.loss(torch.randn(3, 2, H), torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(ShapeError, match=rf"\(N, {H}\)"):
        softmax.loss(torch.randn(3, H + 1), torch.zeros(3, dtype=torch.long))


# --- tied -------------------------------------------------------------------------------------------------------------


def test_a_tied_matrix_is_saved_once_and_follows_its_embedding_into_a_copy() -> None:
    model = nn.Module()
    model.embedding = nn.Embedding(V, H)
    model.softmax = FullSoftmax(H, V, tied=model.embedding)
    assert list(model.state_dict()) == ["embedding.weight", "softmax.b_y"]
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.embedding.weight.fill_(2.0)
    assert bool((other.softmax.matrix == 2.0).all())
    assert not bool((model.softmax.matrix == 2.0).any())


# --- adaptive ---------------------------------------------------------------------------------------------------------


def test_the_adaptive_softmax_is_that_of_torch() -> None:
    ours = AdaptiveSoftmax(16, 40, [10, 25])
    theirs = nn.AdaptiveLogSoftmaxWithLoss(16, 40, [10, 25], div_value=4.0, head_bias=True)
    with torch.no_grad():
        ours.b_y.normal_()
        ours.b_y[10:40] = 0.0  # torch has no biases within bands
        theirs.head.weight.copy_(torch.cat([ours.tokens.tables[0], ours.W_band]))
        theirs.head.bias.copy_(torch.cat([ours.b_y[:10], ours.b_y[40:]]))
        for k in range(2):
            theirs.tail[k][0].weight.copy_(ours.tokens.projections[k].T)
            theirs.tail[k][1].weight.copy_(ours.tokens.tables[k + 1])
    hidden, targets = torch.randn(33, 16), torch.randint(40, (33,))
    torch.testing.assert_close(ours.log_prob(hidden), theirs.log_prob(hidden))
    torch.testing.assert_close(-ours.loss(hidden, targets), theirs(hidden, targets).output)


def test_an_adaptive_embedding_reads_each_band_through_its_matrix() -> None:
    embedding = AdaptiveEmbedding(9, 8, [2, 5], divisor=2)
    first, second, third = embedding.tables
    rows = [*first, *(embedding.projections[0] @ row for row in second), *(embedding.projections[1] @ r for r in third)]
    ids = torch.tensor([[8, 0, 4], [2, 5, 1]])
    torch.testing.assert_close(embedding(ids), torch.stack(rows)[ids])


@pytest.mark.parametrize(("size", "cuts"), [(1, []), (2, [1]), (30, [15]), (10_000, [2000]), (33_278, [2079, 8316])])
def test_cut_offs_are_chosen_from_the_vocabulary(size: int, cuts: list[int]) -> None:
    assert AdaptiveEmbedding(size, 4).edges == [0, *cuts, size]


@pytest.mark.parametrize("cutoffs", [[0], [5, 5], [9, 4], [V]])
def test_cut_offs_that_divide_nothing_are_refused(cutoffs: list[int]) -> None:
    with pytest.raises(ConfigError, match="rising whole numbers"):
        AdaptiveSoftmax(H, V, cutoffs)


# --- sampled ----------------------------------------------------------------------------------------------------------


def test_the_proposal_is_a_distribution_and_is_what_is_drawn() -> None:
    softmax = SampledSoftmax(H, V, samples=200_000)
    q = softmax.proposal(torch.arange(V)).exp()
    torch.testing.assert_close(q.sum(), torch.tensor(1.0))
    drawn = torch.bincount(softmax.draw(), minlength=V) / 200_000
    torch.testing.assert_close(drawn, q, atol=4e-3, rtol=0)


def test_the_estimated_normaliser_is_right_in_the_mean() -> None:
    softmax = SampledSoftmax(H, V, samples=3).train()
    hidden, target = torch.randn(1, H), torch.tensor([2])
    with torch.no_grad():
        scores = softmax.scores(hidden)[0]
        many = torch.stack([softmax.loss(hidden, target)[0] for _ in range(8000)])
    estimates = (many + scores[2]).exp()  # loss = log Z - s_y
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - scores.exp().sum()) < 4 * error


def test_many_samples_come_near_the_full_softmax() -> None:
    softmax = SampledSoftmax(H, V, samples=300_000).train()
    hidden, targets = torch.randn(3, H), torch.tensor([0, 9, 16])
    torch.testing.assert_close(softmax.loss(hidden, targets), -softmax.log_prob_of(hidden, targets), atol=0.02, rtol=0)


def test_a_sampled_loss_leaves_negative_targets_out() -> None:
    softmax = SampledSoftmax(H, V, samples=5).train()
    assert softmax.loss(torch.randn(2, H), torch.tensor([-100, 1]))[0].item() == 0


# --- refused ----------------------------------------------------------------------------------------------------------


def test_what_can_not_be_made_is_refused_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match="samples is 0"):
        SampledSoftmax(H, V, samples=0)
    with pytest.raises(ConfigError, match="tied weights need"):
        FullSoftmax(H, V, tied=nn.Embedding(V, H + 1))
    with pytest.raises(ConfigError, match="tied to an embedding"):
        AdaptiveSoftmax(H, V, tied=AdaptiveEmbedding(V, H + 1))
    with pytest.raises(ConfigError, match='expected "full"'):
        make_softmax("hierarchical", H, V)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tied"):
        make_softmax("adaptive", H, V, tied=nn.Embedding(V, H))
    with pytest.raises(ConfigError, match="hidden_size"):
        make_softmax("full", 0, V)
