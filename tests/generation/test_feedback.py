"""Reading the whole softmax: near temperature 0 it is greedy, at 1 it reads the mean of all embeddings."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from ifog.data import CharTokenizer
from ifog.errors import ConfigError, DataError
from ifog.generation import Sampling, feed_softmax_back, generate
from ifog.generation.feedback import FED, compare_feedback, draw_feedback, feed_back
from ifog.models import LanguageModel
from ifog.models.catalogue import build

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


@torch.no_grad()
def test_without_an_embedding_the_softmax_takes_the_place_of_the_one_hot_vector() -> None:
    torch.manual_seed(1)
    model = LanguageModel(5, cell="elman", hidden_size=3).eval()
    W_xh, W_hh, b_h = (model.recurrent.get_parameter(f"{name}_l0") for name in ("W_xh", "W_hh", "b_h"))
    x, h, entropy = torch.eye(5)[2], torch.zeros(3), []
    for _ in range(4):  # h = tanh(W x + U h + b), p = softmax(W_hy h + b_y), x = p
        h = torch.tanh(W_xh @ x + W_hh @ h + b_h)
        x = (model.output_matrix @ h + model.b_y).softmax(0)
        entropy.append(-(x * x.log()).sum())
    seen = feed_softmax_back(model, torch.tensor([[2]]), 4)
    torch.testing.assert_close(seen.entropy, torch.stack(entropy))


@pytest.mark.parametrize("kind", ["regularised", "mogrifier", "projected", "transformer"])
@torch.no_grad()
def test_other_models_read_the_mean_embedding_too(kind: str) -> None:
    torch.manual_seed(0)
    model: Any = build(kind, {"vocabulary_size": 6}).eval()
    scores, state = model(PRIME)
    share = scores[-1, 0].softmax(0)
    other = copy.deepcopy(model)  # a model whose token 0 has the mean of all vectors
    table = other.embedding.tables[0] if kind == "transformer" else other.embedding.weight
    table.data[0] = share @ model.embedding(torch.arange(6))
    vectors, _ = other.hidden(torch.zeros(1, 1, dtype=torch.int64), state)
    after = model.softmax.scores(vectors[0])[0].softmax(0)
    wanted = torch.stack([-(p * p.log()).sum() for p in (share, after)])
    torch.testing.assert_close(feed_softmax_back(model, PRIME, 2).entropy, wanted)
    torch.testing.assert_close(model(PRIME)[0], scores)  # and none of it stays


@torch.no_grad()
def test_sample_and_argmax_read_the_token_that_they_chose(model: LanguageModel) -> None:
    seen = feed_back(model, PRIME, 9, "argmax")
    ids = torch.cat([PRIME[:, 0], seen.likeliest])
    shares = model(ids.unsqueeze(1))[0][2:-1, 0].softmax(-1)
    torch.testing.assert_close(seen.entropy, -(shares * shares.log()).sum(-1))
    drawn = feed_back(model, PRIME, 9, "sample", seed=5)
    torch.testing.assert_close(drawn.entropy, feed_back(model, PRIME, 9, "sample", seed=5).entropy)
    assert not torch.allclose(drawn.entropy, seen.entropy)


def test_a_picture_shows_all_three(model: LanguageModel, tmp_path: Path) -> None:
    model.tokenizer = CharTokenizer("abcdef")
    for length in (1, 60):
        seen = compare_feedback(model, "bda", length)
        assert tuple(seen) == FED
        assert {float(found.entropy[0]) for found in seen.values()} == {float(seen["sample"].entropy[0])}
        draw_feedback(seen, 6, tmp_path / "entropy.png")
        assert (tmp_path / "entropy.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match=r"entropy\.png"):
        draw_feedback(seen, 6, tmp_path / "entropy.text")


@pytest.mark.parametrize("kind", ["window", "maxent"])
def test_a_model_that_looks_up_several_ids_has_no_mean_to_read(kind: str) -> None:
    other = build(kind, {"vocabulary_size": 6}).eval()
    with pytest.raises(ConfigError, match="feed back the sample"):
        feed_softmax_back(other, PRIME, 2)
    assert len(feed_back(other, PRIME, 2, "argmax").entropy) == 2


def test_what_makes_no_sense_is_refused(model: LanguageModel) -> None:
    for length, temperature in ((0, 1.0), (3, 0.0), (3, float("nan")), (3, float("inf"))):
        with pytest.raises(ConfigError, match="above 0"):
            feed_softmax_back(model, PRIME, length, temperature=temperature)
    with pytest.raises(ConfigError, match="not empty"):
        feed_softmax_back(model, PRIME[:0], 3)
