"""What each model alone promises: the equations of its paper, written out plainly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ifog.errors import ConfigError
from ifog.layers import regularisation
from ifog.models import (
    GPT2Config,
    GPT2Model,
    MogrifierConfig,
    MogrifierModel,
    RegularisedConfig,
    RegularisedModel,
    TransformerConfig,
    TransformerModel,
    WindowConfig,
    WindowModel,
    awd,
    zaremba,
)

V = 11


# --- window -----------------------------------------------------------------------------------------------------------


def test_the_window_model_computes_its_equation() -> None:
    model = WindowModel(WindowConfig(V, order=3, embedding_size=2, hidden_size=4, direct=True)).eval()
    C, d, H = model.embedding.weight, model.layer.bias, model.layer.weight  # type: ignore[union-attr]
    ids, start = [7, 2, 5], V
    scores, state = model(torch.tensor(ids).unsqueeze(1))
    words = [start, *ids]
    for t in range(3):
        x = torch.cat([C[words[t]], C[words[t + 1]]])
        hidden = torch.cat([torch.tanh(d + H @ x), x])
        torch.testing.assert_close(scores[t, 0], model.softmax.W_hy @ hidden + model.softmax.b_y)
    assert state.tolist() == [[2], [5]]


# --- regularised ------------------------------------------------------------------------------------------------------


def test_locked_dropout_drops_the_same_columns_at_every_step() -> None:
    y = regularisation.locked_dropout(torch.ones(5, 3, 40), 0.25)
    assert torch.equal(y, y[:1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert not torch.equal(y[:, 0], y[:, 1])
    x = torch.ones(2, 2, 2)
    assert regularisation.locked_dropout(x, 0.5, training=False) is x


def test_word_dropout_drops_a_word_wherever_it_stands() -> None:
    embedding, ids = nn.Embedding(V, 3), torch.randint(V, (30, 4))
    vectors = regularisation.embed_with_word_dropout(embedding, ids, 0.5)
    gone = [bool((vectors[ids == v] == 0).all()) for v in range(V)]
    whole = [bool((vectors[ids == v] == 2 * embedding.weight[v]).all()) for v in range(V)]
    assert all(g != w for g, w in zip(gone, whole, strict=True))
    assert any(gone)
    assert any(whole)
    assert torch.equal(regularisation.embed_with_word_dropout(embedding, ids, 0.5, training=False), embedding(ids))


def test_activation_penalties_are_mean_squares() -> None:
    x = torch.randn(4, 2, 3)
    numbers = x.tolist()
    squares = [v * v for step in numbers for row in step for v in row]
    changes = [
        (b - a) ** 2
        for one, two in itertools.pairwise(numbers)
        for r1, r2 in zip(one, two, strict=True)
        for a, b in zip(r1, r2, strict=True)
    ]
    assert regularisation.activation_penalty(x).item() == pytest.approx(sum(squares) / len(squares))
    assert regularisation.temporal_activation_penalty(x).item() == pytest.approx(sum(changes) / len(changes))
    assert regularisation.temporal_activation_penalty(x[:1]).item() == 0


def test_the_loss_holds_the_penalties_in_training_only() -> None:
    shapes: dict[str, Any] = {"embedding_size": 4, "sizes": (5, 4), "bound": 1.0}
    bare = RegularisedModel(RegularisedConfig(V, **shapes))
    full = RegularisedModel(RegularisedConfig(V, **shapes, activation=2.0, temporal_activation=3.0))
    full.load_state_dict(bare.state_dict())
    ids = torch.randint(V, (8, 2))
    outputs, _ = bare.hidden(ids[:-1])
    extra = 2 * outputs.square().mean() + 3 * outputs.diff(dim=0).square().mean()
    nats, _ = bare.loss(ids[:-1], ids[1:])
    torch.testing.assert_close(full.loss(ids[:-1], ids[1:])[0], nats + extra)
    torch.testing.assert_close(full.eval().loss(ids[:-1], ids[1:])[0], nats)


@pytest.mark.parametrize("name", ["word_dropout", "input_dropout", "layer_dropout", "output_dropout", "weight_dropout"])
@pytest.mark.parametrize("locked", [True, False])
def test_each_dropout_acts_in_training_only(name: str, locked: bool) -> None:
    config = RegularisedConfig(V, embedding_size=6, sizes=(6, 6), locked=locked, **{name: 0.5})  # type: ignore[arg-type]
    model, ids = RegularisedModel(config), torch.randint(V, (9, 3))
    assert not torch.equal(model(ids)[0], model(ids)[0])
    model.eval()
    assert torch.equal(model(ids)[0], model(ids)[0])


def test_the_papers_models_have_the_papers_numbers_of_parameters() -> None:
    def count(config: RegularisedConfig) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in RegularisedModel(config).parameters())

    # torch's LSTM has two biases for each gate, ours one
    assert count(awd(10_000)) == 24_221_600 - 4 * (1150 + 1150 + 400)
    assert count(zaremba(10_000, "small")) == 2 * 10_000 * 200 + 10_000 + 2 * 4 * (200 * 400 + 200)
    assert round(count(zaremba(10_000, "medium")) / 1e6) == 20
    assert round(count(zaremba(10_000, "large")) / 1e6) == 66


def test_a_bound_starts_every_weight_within_it() -> None:
    model = RegularisedModel(RegularisedConfig(V, embedding_size=4, sizes=(5,), bound=0.04))
    assert all(float(parameter.detach().abs().max()) <= 0.04 for parameter in model.parameters())
    assert all(float(parameter.detach().abs().max()) > 0.01 for parameter in model.parameters())


def test_a_mogrifier_without_rounds_is_an_lstm() -> None:
    shapes: dict[str, Any] = {"embedding_size": 4, "sizes": (4,), "tied": True}
    lstm = RegularisedModel(RegularisedConfig(V, **shapes)).eval()
    mogrifier = MogrifierModel(MogrifierConfig(V, **shapes, options={"rounds": 0})).eval()
    mogrifier.load_state_dict(lstm.state_dict())
    ids = torch.randint(V, (6, 2))
    torch.testing.assert_close(mogrifier(ids)[0], lstm(ids)[0])


# --- Transformer ------------------------------------------------------------------------------------------------------


def test_a_layer_looks_no_further_back_than_its_context() -> None:
    model = TransformerModel(TransformerConfig(V, size=8, num_layers=1, heads=2, context=3)).eval()
    ids = torch.randint(V, (9, 1))
    other = ids.clone()
    other[:4] = (other[:4] + 1) % V
    ours, theirs = model(ids)[0], model(other)[0]
    torch.testing.assert_close(ours[6:], theirs[6:])
    assert not torch.allclose(ours[5], theirs[5])


def test_attention_depends_on_distance_and_not_on_place() -> None:
    model = TransformerModel(TransformerConfig(V, size=8, num_layers=1, heads=2, context=3)).eval()
    ids = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4]).unsqueeze(1)
    scores = model(ids)[0]
    torch.testing.assert_close(scores[3], scores[7])
    swapped = model(torch.tensor([2, 1, 3]).unsqueeze(1))[0]
    assert not torch.allclose(swapped[2], model(torch.tensor([1, 2, 3]).unsqueeze(1))[0][2])


@torch.no_grad()
def test_attention_is_the_softmax_of_scaled_products() -> None:
    model = TransformerModel(TransformerConfig(V, size=4, num_layers=1, heads=1, context=9)).eval()
    ids = torch.randint(V, (3, 1))
    layer: Any = model.layers[0]
    x = model.embedding(ids[:, 0]) * 2.0
    q, k, v = layer.read(layer.attention_norm(x)).chunk(3, -1)

    def turned(row: torch.Tensor, place: int) -> torch.Tensor:
        pairs = [complex(float(row[i]), float(row[i + 2])) for i in range(2)]
        moved = [p * complex(math.cos(place * w), math.sin(place * w)) for p, w in zip(pairs, (1.0, 0.01), strict=True)]
        return torch.tensor([m.real for m in moved] + [m.imag for m in moved])

    for t in range(3):
        weights = torch.stack([turned(q[t], t) @ turned(k[j], j) / 2.0 for j in range(t + 1)]).softmax(0)
        y = x[t] + layer.write(weights @ v[: t + 1])
        y = y + layer.narrow(torch.relu(layer.widen(layer.feed_forward_norm(y))))
        torch.testing.assert_close(model.hidden(ids)[0][t, 0], model.norm(y))


# --- GPT-2 ------------------------------------------------------------------------------------------------------------


class FakeNetwork(nn.Module):
    """Scores that tell which ids came before, within one window: their sum at each place."""

    def __init__(self) -> None:
        super().__init__()
        self.config = type("Config", (), {"n_positions": 8})()
        self.widths: list[int] = []

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        self.widths.append(input_ids.size(1))
        scores = functional.one_hot(input_ids.cumsum(1) % V, V).float()
        return type("Output", (), {"logits": scores})()


def test_gpt2_reads_strided_windows_and_judges_each_token_once() -> None:
    model = GPT2Model(GPT2Config(V, context=4, stride=3), FakeNetwork())
    ids = torch.randint(V, (9, 1))
    scores, state = model(ids)
    assert model.network.widths == [4, 4, 3]
    first = [0, 0, 0, 0, 3, 3, 3, 6, 6]  # where the window begins that judges each token
    wanted = [int(ids[first[t] : t + 1].sum()) % V for t in range(9)]
    assert scores[:, 0].argmax(-1).tolist() == wanted
    assert torch.equal(state, ids[6:])


@pytest.mark.parametrize("cuts", [(1, 2), (4, 8), (3, 7)])
def test_gpt2_gives_the_same_whatever_pieces_a_text_comes_in(cuts: tuple[int, int]) -> None:
    model = GPT2Model(GPT2Config(V, context=4, stride=3), FakeNetwork())
    ids = torch.randint(V, (12, 2))
    whole, end = model.log_prob(ids[:-1], ids[1:])
    found, state = [], None
    for piece, wanted in zip(ids[:-1].tensor_split(cuts), ids[1:].tensor_split(cuts), strict=True):
        one, state = model.log_prob(piece, wanted, state)
        found.append(one)
    torch.testing.assert_close(torch.cat(found), whole)
    torch.testing.assert_close(state, end)
    expected = model(ids[:-1])[0].log_softmax(-1).gather(-1, ids[1:].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(model.loss(ids[:-1], ids[1:])[0], -expected.mean())


def test_gpt2_refuses_a_context_that_the_network_can_not_read() -> None:
    with pytest.raises(ConfigError, match="context=8 or less"):
        GPT2Model(GPT2Config(V, context=9, stride=2), FakeNetwork())


def test_gpt2_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"ifog\[gpt2\]"):
        GPT2Model(GPT2Config())


def test_a_tiny_gpt2_of_transformers_is_judged_in_windows() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = transformers.GPT2Config(
        vocab_size=V, n_positions=8, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = GPT2Model(GPT2Config(V, context=8, stride=4), transformers.GPT2LMHeadModel(sizes)).eval()
    ids = torch.randint(V, (14, 2))
    found, _ = model.log_prob(ids[:-1], ids[1:])
    scores = model.network(input_ids=ids[4:12].T).logits  # the second window judges its last four
    expected = scores.log_softmax(-1).gather(-1, ids[5:13].T.unsqueeze(-1)).squeeze(-1).T
    torch.testing.assert_close(found[8:12], expected[4:])
