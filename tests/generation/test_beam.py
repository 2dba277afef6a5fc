"""Beam search against the best of all continuations, and against greedy choice."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from ifog.errors import ConfigError
from ifog.generation import Sampling, beam_search, generate
from ifog.models import LanguageModel
from ifog.models.catalogue import build

V = 4
PRIME = torch.tensor([[1], [2]])


@pytest.fixture(params=["recurrent", "window", "transformer"])
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = build(request.param, {"vocabulary_size": V})
    for parameter in made.parameters():
        parameter.data.mul_(3)
    return made.eval()


@torch.no_grad()
def log_prob(model: Any, ids: tuple[int, ...]) -> float:
    text = torch.cat([PRIME, torch.tensor(ids).unsqueeze(1)])
    found, _ = model.log_prob(text[:-1], text[1:])
    return float(found[-len(ids) :].sum())


def test_a_wide_beam_finds_the_best_of_all(model: Any) -> None:
    found = beam_search(model, PRIME, 3, width=V**3)
    scores = {ids: log_prob(model, ids) for ids in itertools.product(range(V), repeat=3)}
    best = sorted(scores, key=lambda ids: scores[ids], reverse=True)
    assert [tuple(beam.ids) for beam in found[:5]] == best[:5]
    assert [beam.log_prob for beam in found] == pytest.approx(sorted(scores.values(), reverse=True), rel=1e-4, abs=1e-4)


def test_a_beam_of_one_is_greedy(model: Any) -> None:
    greedy = [int(t) for t in generate(model, PRIME, 6, sampling=Sampling(greedy=True))]
    assert [beam.ids for beam in beam_search(model, PRIME, 6, width=1)] == [greedy]


def test_a_stop_token_ends_a_continuation(model: Any) -> None:
    found = beam_search(model, PRIME, 4, width=V**4, stop=[3])
    assert all(3 not in beam.ids[:-1] for beam in found)
    assert [3] in [beam.ids for beam in found]
    assert all(beam.log_prob == pytest.approx(log_prob(model, tuple(beam.ids)), rel=1e-4, abs=1e-4) for beam in found)


def test_a_width_between_keeps_the_best_few_of_each_step(model: Any) -> None:
    width, kept = 3, [((), 0.0)]
    for _ in range(4):  # by hand: every kept one with every token, all judged anew
        grown = [(*ids, token) for ids, _ in kept for token in range(V)]
        kept = sorted(((ids, log_prob(model, ids)) for ids in grown), key=lambda one: -one[1])[:width]
    found = beam_search(model, PRIME, 4, width=width)
    assert [tuple(beam.ids) for beam in found] == [ids for ids, _ in kept]
    assert [beam.log_prob for beam in found] == pytest.approx([score for _, score in kept], rel=1e-4, abs=1e-4)


def test_what_ends_a_continuation_may_look_at_all_of_it(model: Any) -> None:
    found = beam_search(model, PRIME, 4, width=V**4, stop=lambda ids: sum(ids) >= 4)
    wanted = [
        ids
        for length in range(1, 5)
        for ids in itertools.product(range(V), repeat=length)
        if sum(ids[:-1]) < 4 and (sum(ids) >= 4 or length == 4)
    ]
    assert sorted(tuple(beam.ids) for beam in found) == sorted(wanted)


def test_a_length_penalty_ranks_by_the_mean(model: Any) -> None:
    found = beam_search(model, PRIME, 4, width=20, stop=[3], length_penalty=1.0)
    means = [beam.log_prob / len(beam.ids) for beam in found]
    assert means == sorted(means, reverse=True)


def test_what_makes_no_sense_is_refused() -> None:
    model = LanguageModel(V, hidden_size=2)
    for prime, length, width in ((PRIME, 1, 0), (PRIME, 0, 1), (PRIME.expand(2, 2), 1, 1), (PRIME[:0], 1, 1)):
        with pytest.raises(ConfigError, match="beam search"):
            beam_search(model, prime, length, width=width)
