"""A recurrent model as a scorer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ifog.errors import ConfigError, DataError
from ifog.evaluation import RecurrentScorer
from ifog.models import LanguageModel

IDS = np.random.default_rng(0).integers(11, size=33).astype(np.uint16)


def model(**options: object) -> LanguageModel:
    torch.manual_seed(1)
    return LanguageModel(11, hidden_size=7, embedding_size=3, dropout=0.5, **options)  # type: ignore[arg-type]


def by_hand(net: LanguageModel, ids: list[int]) -> list[float]:
    """The last token's log-probability, its text read anew from the start each time."""
    made = []
    net.eval()
    with torch.no_grad():
        for end in range(1, len(ids)):
            logits, _ = net(torch.tensor(ids[:end]).unsqueeze(1))
            made.append(float(torch.log_softmax(logits[-1, 0].double(), 0)[ids[end]]))
    return made


@pytest.mark.parametrize("chunk", [1, 5, 32, 1000])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_every_token_is_given_all_before_it_whatever_the_chunk(chunk: int, cell: str) -> None:
    net = model(cell=cell)
    made = RecurrentScorer(net, chunk=chunk).log_prob(IDS)
    np.testing.assert_allclose(made, [-math.log(11), *by_hand(net, IDS.tolist())], rtol=1e-5, atol=1e-6)
    assert made.dtype == np.float64


def test_a_start_is_read_before_the_text() -> None:
    net = model()
    made = RecurrentScorer(net, chunk=4, start=2).log_prob(IDS)
    np.testing.assert_allclose(made, by_hand(net, [2, *IDS.tolist()]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1])
def test_a_text_too_short_to_be_read_is_judged(length: int) -> None:
    np.testing.assert_allclose(RecurrentScorer(model()).log_prob(IDS[:length]), [-math.log(11)] * length)


def test_any_model_with_log_probabilities_can_be_judged() -> None:
    class Own(torch.nn.Module):
        config = model().config

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def log_prob(self, ids: torch.Tensor, targets: torch.Tensor, state: int | None) -> tuple[torch.Tensor, int]:
            state = state or 0
            return -(ids * 100.0 + targets) - 1000 * state, state + 1

    made = RecurrentScorer(Own(), chunk=2).log_prob(np.array([1, 2, 3, 4]))
    np.testing.assert_allclose(made[1:], [-102, -203, -1304])


def test_every_layer_gets_back_its_mode() -> None:
    net = model().train()
    net.dropout.eval()
    RecurrentScorer(net).log_prob(IDS)
    assert net.training
    assert net.recurrent.training
    assert not net.dropout.training


@pytest.mark.parametrize("start", [None, 4])
def test_hidden_states_are_those_that_the_scores_come_from(start: int | None) -> None:
    net = model()
    scorer = RecurrentScorer(net, chunk=5, start=start)
    log_prob, hidden = scorer.log_prob(IDS), scorer.hidden(IDS)
    assert hidden.shape == (33, 7)
    logits = torch.from_numpy(hidden) @ net.output_matrix.T + net.b_y
    again = torch.log_softmax(logits, 1)[torch.arange(33), torch.from_numpy(IDS.astype(np.int64))].detach().numpy()
    first = 0 if start is not None else 1
    np.testing.assert_allclose(again[first:], log_prob[first:], rtol=1e-4, atol=1e-5)
    if start is None:
        assert not hidden[0].any()


def test_a_text_of_another_tokenizer_is_refused() -> None:
    ids = np.array([1, 2, 3, 12, 4])
    with pytest.raises(DataError, match=r"token 3 of the text is the id 12, .* 0 \.\.\. 10"):
        RecurrentScorer(model(), chunk=2).log_prob(ids)
    with pytest.raises(DataError, match="token 0"):
        RecurrentScorer(model()).log_prob(np.array([-1]))


def test_options_out_of_their_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="chunk is 0"):
        RecurrentScorer(model(), chunk=0)
    with pytest.raises(ConfigError, match="start is 11"):
        RecurrentScorer(model(), start=11)
    net = model()
    with pytest.raises(DataError, match="no hidden vector"):
        RecurrentScorer(net).hidden(IDS[:1])
    other = torch.nn.Linear(1, 1)
    other.config = net.config  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="Linear has no method hidden"):
        RecurrentScorer(other).hidden(IDS)
