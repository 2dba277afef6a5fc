"""The conditional random field against all sequences of labels, written out."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError, ShapeError
from ifog.layers.crf import ConditionalRandomField, Steps, best_labels, forbidden_steps, log_partition

SIZES = [(1, 1, 1), (1, 3, 4), (2, 1, 3), (5, 4, 3), (6, 3, 1), (4, 5, 5)]  # T, B, K


def crf_of(labels: int, forbidden: Steps | None = None) -> ConditionalRandomField:
    crf = ConditionalRandomField(labels, forbidden=forbidden).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def score_of(crf: ConditionalRandomField, scores: Tensor, path: tuple[int, ...]) -> Tensor:
    """Of one sequence of labels, scores (T, K): the sum in the definition."""
    if not path:
        return torch.zeros((), dtype=scores.dtype)
    total = crf.start[path[0]] + crf.end[path[-1]]
    total = total + sum(scores[t, label] for t, label in enumerate(path))
    return total + sum(crf.between[a, b] for a, b in itertools.pairwise(path))


def allowed(path: tuple[int, ...], forbidden: Steps | None) -> bool:
    if forbidden is None or not path:
        return True
    pairs = any(forbidden.between[a, b] for a, b in itertools.pairwise(path))
    return not (forbidden.start[path[0]] or forbidden.end[path[-1]] or pairs)


def paths(labels: int, length: int, forbidden: Steps | None = None) -> list[tuple[int, ...]]:
    return [path for path in itertools.product(range(labels), repeat=length) if allowed(path, forbidden)]


def lengths_of(steps: int, batch: int) -> Tensor:
    return torch.tensor([steps, 0, 1, steps - 1, steps][:batch]).clamp(min=0)


def random_steps(labels: int) -> Steps:
    forbidden = Steps(torch.rand(labels) < 0.3, torch.rand(labels, labels) < 0.3, torch.rand(labels) < 0.3)
    forbidden.start[0] = forbidden.end[0] = forbidden.between[0, 0] = False  # something stays possible
    return forbidden


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize(("steps", "batch", "labels"), SIZES)
def test_probabilities_and_their_gradients_are_those_of_the_definition(
    steps: int, batch: int, labels: int, limited: bool
):
    forbidden = random_steps(labels) if limited else None
    crf = crf_of(labels, forbidden)
    scores = torch.randn(steps, batch, labels, dtype=torch.double, requires_grad=True)
    lengths = lengths_of(steps, batch)
    path = torch.zeros(steps, batch, dtype=torch.long)
    expected: list[Tensor] = []
    for b, length in enumerate(lengths.tolist()):
        every = paths(labels, length, forbidden)
        chosen = every[len(every) // 2]
        path[:length, b] = torch.tensor(chosen, dtype=torch.long)
        all_scores = torch.stack([score_of(crf, scores[:, b], one) for one in every])
        expected.append(score_of(crf, scores[:, b], chosen) - all_scores.logsumexp(0))
    found = crf.log_prob(scores, path, lengths)
    assert found.dtype == torch.double
    torch.testing.assert_close(found, torch.stack(expected))
    weigh = torch.randn(batch, dtype=torch.double)
    inputs = [scores, *crf.parameters()]
    mine = torch.autograd.grad((found * weigh).sum(), inputs, retain_graph=True)
    theirs = torch.autograd.grad((torch.stack(expected) * weigh).sum(), inputs, allow_unused=True)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


def test_without_lengths_all_steps_count():
    crf, scores, labels = crf_of(4), torch.randn(3, 2, 4), torch.randint(4, (3, 2))
    full = torch.tensor([3, 3])
    assert torch.equal(crf.log_prob(scores, labels), crf.log_prob(scores, labels, full))
    assert torch.equal(crf.decode(scores), crf.decode(scores, full))


def test_no_sequences_and_no_steps_have_no_labels():
    crf = crf_of(3)
    for steps, batch in ((0, 2), (4, 0), (0, 0)):
        scores, labels = torch.randn(steps, batch, 3), torch.zeros(steps, batch, dtype=torch.long)
        assert crf.log_prob(scores, labels, torch.zeros(batch, dtype=torch.long)).tolist() == [0.0] * batch
        assert crf.decode(scores).shape == (steps, batch)


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize(("steps", "batch", "labels"), SIZES)
def test_the_best_labels_are_the_best_of_all(steps: int, batch: int, labels: int, limited: bool):
    forbidden = random_steps(labels) if limited else None
    crf = crf_of(labels, forbidden)
    scores, lengths = torch.randn(steps, batch, labels, dtype=torch.double), lengths_of(steps, batch)
    with torch.no_grad():
        found, best = best_labels(scores, crf.weights(), lengths)
        assert torch.equal(found, crf.decode(scores, lengths))
        for b, length in enumerate(lengths.tolist()):
            every = paths(labels, length, forbidden)
            values = [float(score_of(crf, scores[:, b], one)) for one in every]
            assert tuple(found[:length, b].tolist()) == every[values.index(max(values))]
            assert float(best[b]) == pytest.approx(max(values))
            assert not found[length:, b].any()


def test_marginals_are_sums_of_the_probabilities_of_sequences():
    crf = crf_of(3)
    scores, lengths = torch.randn(4, 3, 3, dtype=torch.double), torch.tensor([4, 0, 2])
    found = crf.marginals(scores, lengths)
    expected = torch.zeros_like(scores)
    for b, length in enumerate(lengths.tolist()):
        for path in paths(3, length):
            labels = torch.zeros(4, 3, dtype=torch.long)
            labels[:length, b] = torch.tensor(path, dtype=torch.long)
            probability = float(crf.log_prob(scores, labels, lengths)[b].detach().exp())
            for t, label in enumerate(path):
                expected[t, b, label] += probability
    torch.testing.assert_close(found, expected)
    assert not any(parameter.grad is not None for parameter in crf.parameters())


def test_fresh_weights_are_a_softmax_at_each_step():
    scores, labels = torch.randn(5, 2, 4), torch.randint(4, (5, 2))
    expected = scores.log_softmax(-1).gather(2, labels.unsqueeze(2)).squeeze(2).sum(0)
    torch.testing.assert_close(ConditionalRandomField(4).log_prob(scores, labels), expected)


def test_padding_changes_nothing_and_has_no_gradient():
    crf = crf_of(3)
    scores = torch.randn(4, 2, 3, dtype=torch.double, requires_grad=True)
    labels, lengths = torch.randint(3, (4, 2)), torch.tensor([4, 2])
    other, strange = scores.detach().clone(), labels.clone()
    other[2:, 1], strange[2:, 1] = float("nan"), -7
    assert torch.equal(crf.log_prob(scores, labels, lengths), crf.log_prob(other, strange, lengths))
    (gradient,) = torch.autograd.grad(crf.log_prob(scores, labels, lengths).sum(), scores)
    assert not gradient[2:, 1].any()
    assert gradient[:2].all()


def test_long_sequences_of_large_scores_stay_exact():
    crf, scores = crf_of(3), torch.randn(3000, 2, 3, dtype=torch.double) * 50
    exact = log_partition(scores, crf.weights())
    single = log_partition(scores.float(), crf.float().weights())
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=0)  # 3000 additions, each rounded


def test_a_label_that_nothing_leads_to_has_finite_gradients():
    forbidden = Steps(torch.tensor([False, True]), torch.tensor([[False, True], [False, True]]), torch.zeros(2).bool())
    crf, scores = crf_of(2, forbidden), torch.randn(5, 2, 2, dtype=torch.double, requires_grad=True)
    log_prob = crf.log_prob(scores, torch.zeros(5, 2, dtype=torch.long))
    torch.testing.assert_close(log_prob, torch.zeros(2, dtype=torch.double))
    log_prob.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in [scores, *crf.parameters()] if p.grad is not None)


def test_half_precision_is_summed_in_single():
    crf, scores, labels = crf_of(3).bfloat16(), torch.randn(9, 2, 3).bfloat16(), torch.randint(3, (9, 2))
    half = crf.log_prob(scores, labels)
    assert torch.equal(half, crf.float().log_prob(scores.float(), labels))


def test_forbidden_steps_are_no_weights_to_save():
    crf = ConditionalRandomField(2, forbidden=forbidden_steps(["B-A", "I-A"]))
    assert sorted(crf.state_dict()) == ["between", "end", "start"]


@pytest.mark.parametrize("names", [["O", "B-A", "I-A", "B-B", "I-B"], ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "E-B"]])
def test_what_is_not_forbidden_is_what_the_scheme_means(names: list[str]):
    closed = "S-A" in names

    def fits(tags: tuple[str, ...]) -> bool:
        """Reads spans one by one, as the scheme is explained."""
        inside = ""
        for tag in tags:
            prefix, _, kind = tag.partition("-")
            if prefix in ("I", "E"):
                if inside != kind:
                    return False
            elif closed and inside:
                return False
            inside = kind if prefix in ("B", "I") else ""
        return not (closed and inside)

    forbidden = forbidden_steps(names)
    assert forbidden is not None
    for length in (1, 2, 3):
        for path in itertools.product(range(len(names)), repeat=length):
            assert allowed(path, forbidden) == fits(tuple(names[label] for label in path)), path


@pytest.mark.parametrize(
    "names", [["NOUN", "VERB"], ["O"], ["I-A", "O"], ["B-A", "NOUN"], ["B-A", "O-A"], ["B", "O"], []]
)
def test_labels_of_no_scheme_forbid_nothing(names: list[str]):
    assert forbidden_steps(names) is None


@pytest.mark.parametrize(
    ("scores", "labels", "lengths", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), None, r"scores are \(2, 3\)"),
        (torch.zeros(2, 3, 5), torch.zeros(2, 3).long(), None, r"\(time, batch, 4\)"),
        (torch.zeros(2, 3, 4).long(), torch.zeros(2, 3).long(), None, "floating point"),
        (torch.zeros(2, 3, 4), torch.zeros(3, 2).long(), None, r"labels are \(3, 2\)"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3), None, "labels are .* of torch.float32"),
        (torch.zeros(2, 3, 4), torch.full((2, 3), 4), None, "labels run from 4 to 4, but there are 4"),
        (torch.zeros(2, 3, 4), torch.full((2, 3), -1), None, "labels run from -1"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), torch.tensor([1, 2]), r"lengths are \(2,\)"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), torch.ones(3), "3 integers"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3).long(), torch.tensor([1, 2, 3]), "lengths run from 1 to 3"),
    ],
)
def test_tensors_that_cannot_be_meant_are_refused(scores: Tensor, labels: Tensor, lengths: Tensor | None, message: str):
    with pytest.raises(ShapeError, match=message):
        ConditionalRandomField(4).log_prob(scores, labels, lengths)


def test_numbers_of_labels_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="0 labels"):
        ConditionalRandomField(0)
    with pytest.raises(ConfigError, match="forbidden has the shapes"):
        ConditionalRandomField(3, forbidden=forbidden_steps(["B-A", "I-A"]))
