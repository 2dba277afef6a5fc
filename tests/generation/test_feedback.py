"""Reading the whole softmax: near temperature 0 it is greedy, at 1 it reads the mean of all embeddings."""

from __future__ import annotations

import pytest
import torch

from ifog.errors import ConfigError
from ifog.generation import Sampling, feed_softmax_back, generate
from ifog.models import LanguageModel

PRIME = torch.tensor([[1], [3], [0]])


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(3)
    made = LanguageModel(6, hidden_size=8, embedding_size=5).eval()
    for parameter in made.parameters():
        parameter.data.mul_(3)
    return made


def test_near_temperature_zero_it_reads_the_likeliest_token(model: LanguageModel) -> None:
    seen = feed_softmax_back(model, PRIME, 7, temperature=1e-6)
    greedy = [int(t) for t in generate(model, PRIME, 7, sampling=Sampling(greedy=True))]
    assert seen.likeliest.tolist() == greedy
    torch.testing.assert_close(seen.entropy, torch.zeros(7))


def test_at_temperature_one_it_reads_the_mean_embedding(model: LanguageModel) -> None:
    assert model.embedding is not None
    seen = feed_softmax_back(model, PRIME, 2)
    with torch.no_grad():
        scores, state = model(PRIME)
        share = scores[-1, 0].softmax(0)
        mean = sum(share[i] * model.embedding.weight[i] for i in range(6))
        y, _ = model.recurrent(mean.view(1, 1, -1), state)
        after = (model.output_matrix @ y[0, 0] + model.b_y).softmax(0)
    wanted = torch.stack([-(p * p.log()).sum() for p in (share, after)])
    torch.testing.assert_close(seen.entropy, wanted)


def test_what_makes_no_sense_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="embedding"):
        feed_softmax_back(LanguageModel(6, hidden_size=2), PRIME, 3)
    for length, temperature in ((0, 1.0), (3, 0.0)):
        with pytest.raises(ConfigError, match="above 0"):
            feed_softmax_back(model, PRIME, length, temperature=temperature)
