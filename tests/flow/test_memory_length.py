"""The loss with a shortened past: against one token judged at a time, and against models whose memory is known."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ifog.errors import ConfigError, DataError, RunError
from ifog.flow.gradients import measure_flow
from ifog.flow.memory_length import measure_memory
from ifog.flow.pictures import draw_decay
from ifog.models import LanguageModel, RegularisedConfig, RegularisedModel, TransformerConfig, TransformerModel

V = 5


class Register(nn.Module):
    """Expects the token that stood `memory` places before, if it has read as many; its state is what it has read."""

    def __init__(self, memory: int) -> None:
        super().__init__()
        self.memory, self.config = memory, SimpleNamespace(vocabulary_size=V)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        seen = ids if state is None else torch.cat([state, ids])
        scores = torch.zeros(*ids.shape, V)
        for t in range(len(ids)):
            at = len(seen) - len(ids) + t + 1 - self.memory
            if at >= 0:
                scores[t].scatter_(1, seen[at][:, None], 4.0)
        return scores, seen[-self.memory :]

    def log_prob(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        scores, state = self(ids, state)
        return scores.log_softmax(-1).gather(2, targets[..., None])[..., 0], state

    def loss(self, ids: Tensor, targets: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        found, state = self.log_prob(ids, targets, state)
        return -found.mean(), state


def repeating(period: int, length: int) -> np.ndarray:
    return np.resize(np.random.default_rng(0).integers(0, V, period), length)


def random_ids(length: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, V, length).astype(np.uint16)


@pytest.mark.parametrize("memory", [1, 2, 6, 7, 13, 20])
def test_a_register_is_found_to_be_as_long_as_it_is(memory: int) -> None:
    found = measure_memory(Register(memory), repeating(memory, 3000), (1, 2, 5, 10, 20), tokens=64)
    assert found.length == memory
    expected = np.log(np.exp(4) + V - 1) - 4
    assert found.whole == pytest.approx(expected, abs=1e-5)
    for k, loss in zip(found.lengths, found.losses, strict=True):
        assert loss == pytest.approx(expected if k >= memory else np.log(V), abs=1e-5)


def test_a_memory_longer_than_what_was_judged_has_no_length() -> None:
    found = measure_memory(Register(13), repeating(13, 900), (1, 5, 12), tokens=64)
    assert found.length is None
    assert json.loads(json.dumps(found.to_dict()))["length"] is None


def models() -> list[nn.Module]:
    return [
        LanguageModel(V, cell="lstm", hidden_size=7, num_layers=2, dropout=0.5),
        LanguageModel(V, cell="elman", hidden_size=6, embedding_size=3),
        RegularisedModel(RegularisedConfig(V, embedding_size=4, sizes=(6, 4), input_dropout=0.5)),
        TransformerModel(TransformerConfig(V)),
    ]


@pytest.mark.parametrize("model", models(), ids=lambda m: type(m).__name__)
def test_losses_are_those_of_tokens_judged_one_by_one(model: nn.Module) -> None:
    model.train()  # which must neither show nor be lost
    ids = random_ids(61)
    found = measure_memory(model, ids, (1, 3, 9, 29), tokens=15)
    assert model.training
    assert found.history == 29
    model.eval()
    places = np.unique(np.linspace(29, 60, 15).astype(int))
    assert found.tokens == len(places)
    for k, loss in [*zip(found.lengths, found.losses, strict=True), (61, found.whole)]:
        nats = []
        for p in places:
            with torch.no_grad():
                scores, _ = model(torch.from_numpy(ids[max(0, p - k) : p].astype(np.int64))[:, None])
            nats.append(-float(scores[-1, 0].log_softmax(0)[int(ids[p])]))
        assert loss == pytest.approx(np.mean(nats), abs=1e-5)


@pytest.mark.parametrize("model", models()[:3], ids=lambda m: type(m).__name__)
def test_another_past_is_that_of_the_neighbouring_piece(model: nn.Module) -> None:
    model.eval()
    ids = random_ids(84)
    found = measure_memory(model, ids, (1, 4, 20), tokens=10, past="other")
    assert found.history == 20
    pieces = torch.from_numpy(ids.astype(np.int64)).view(2, 42).t()
    for k, loss in zip(found.lengths, found.losses, strict=True):
        nats = []
        for column in (0, 1):
            for row in np.unique(np.linspace(20, 41, 5).astype(int)):
                read = torch.cat([pieces[:20, 1 - column], pieces[row - k : row, column]])
                with torch.no_grad():
                    scores, _ = model(read[:, None])
                nats.append(-float(scores[-1, 0].log_softmax(0)[int(pieces[row, column])]))
        assert loss == pytest.approx(np.mean(nats), abs=1e-5)


def test_another_past_takes_two_pieces_and_states_with_a_batch() -> None:
    with pytest.raises(DataError, match="at least 44 tokens"):
        measure_memory(Register(1), random_ids(43), (10,), past="other")
    with pytest.raises(ConfigError, match='"zero" or "other"'):
        measure_memory(Register(1), random_ids(500), (10,), past="nothing")  # type: ignore[arg-type]


def test_the_standard_error_is_that_of_the_difference_token_by_token() -> None:
    found = measure_memory(Register(3), random_ids(400), (1, 5), tokens=200)
    right = -np.log(1 / V) - (np.log(np.exp(4) + V - 1) - 4)
    wrong = -np.log(1 / V) - np.log(np.exp(4) + V - 1)
    share = (found.excess[0] - wrong) / (right - wrong)
    expected = (right - wrong) * np.sqrt(share * (1 - share) / (found.tokens - 1))
    assert found.errors[0] == pytest.approx(expected, rel=1e-6)
    assert found.errors[1] == 0


def test_lengths_that_nobody_asked_for_fit_the_text() -> None:
    assert measure_memory(Register(1), random_ids(90), tokens=32).lengths == (1, 2, 5, 10, 20)


def test_a_text_too_short_is_refused_with_what_it_needs() -> None:
    with pytest.raises(DataError, match="50 steps, it needs 102 tokens"):
        measure_memory(Register(1), random_ids(101), (5, 50))
    assert measure_memory(Register(1), random_ids(102), (5, 50)).length == 1
    with pytest.raises(DataError, match="a text of 1 tokens"):
        measure_memory(Register(1), random_ids(1))
    with pytest.raises(DataError, match="a text of 0 tokens"):
        measure_memory(Register(1), random_ids(0))


@pytest.mark.parametrize(
    "options", [{"lengths": (0, 1)}, {"lengths": ()}, {"tokens": 1}, {"share": 0.0}, {"nats": -1.0}]
)
def test_numbers_out_of_range_are_refused(options) -> None:
    with pytest.raises(ConfigError, match="memory length"):
        measure_memory(Register(1), random_ids(500), **options)


def test_ids_of_another_tokenizer_are_refused() -> None:
    with pytest.raises(DataError, match="different tokenizers"):
        measure_memory(Register(1), random_ids(500) + 1)


def test_what_predicts_nothing_and_what_is_no_number_are_refused() -> None:
    with pytest.raises(ConfigError, match="predicts no next token"):
        measure_memory(nn.Linear(2, 2), random_ids(500))
    model = LanguageModel(V, hidden_size=3)
    with torch.no_grad():
        model.b_y[0] = float("inf")
    with pytest.raises(RunError, match="b_y"):
        measure_memory(model, random_ids(500))


def test_the_picture_names_each_length() -> None:
    curve = measure_memory(Register(6), repeating(6, 900), (1, 2, 5, 10), tokens=64)
    figure = draw_decay({"elman": measure_flow("elman", 5, sequences=2, hidden_size=3)}, {"register": curve})
    assert [t.get_text() for t in figure.axes[1].get_legend().get_texts()] == ["register: 6 steps"]
