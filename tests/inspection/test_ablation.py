"""Clamped units: the rewritten equations against a loop written by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import ifog
from ifog.data import CharTokenizer
from ifog.errors import ConfigError, DataError
from ifog.generation import Sampling, sample
from ifog.inspection.ablation import ablate, ablation_value, ablations, clamped
from ifog.inspection.activations import inspect
from ifog.inspection.detectors import DETECTORS
from ifog.inspection.labels import Source
from ifog.inspection.search import search
from ifog.models import LanguageModel

TEXT = 'say "no" to the 3 gates\n' * 25


def model_of(cell: str = "lstm", layers: int = 2) -> LanguageModel:
    tokenizer = CharTokenizer.from_chunks([TEXT])
    model = LanguageModel(tokenizer.vocabulary_size, cell=cell, hidden_size=5, num_layers=layers, embedding_size=3)
    model.tokenizer = tokenizer
    return model.eval()


def by_hand(model: LanguageModel, ids: torch.Tensor, name: str, unit: int, value: float) -> torch.Tensor:
    """Scores of a two-layer LSTM of which one value is overwritten at each step, in layer 0."""
    w = dict(model.recurrent.named_parameters())
    states = [[torch.zeros(5), torch.zeros(5)] for _ in range(2)]
    scores = []
    for token in ids:
        x = model.embedding(token)
        for layer, state in enumerate(states):
            h, c = state

            def hold(label: str, tensor: torch.Tensor, layer: int = layer) -> torch.Tensor:
                if layer == 0 and label == name:
                    tensor = tensor.clone()
                    tensor[unit] = value
                return tensor

            def gate(label: str, squash: Any, layer: int = layer, x: Any = x, h: Any = h) -> torch.Tensor:
                k = f"{label}_l{layer}"
                return hold(label, squash(w[f"W_x{k}"] @ x + w[f"W_h{k}"] @ h + w[f"b_{k}"]), layer)

            i, f, o = (gate(label, torch.sigmoid) for label in "ifo")
            c = hold("c", f * c + i * gate("g", torch.tanh))
            h = hold("h", o * torch.tanh(c))
            state[:] = h, c
            x = h
        scores.append(model.W_hy @ x + model.b_y)
    return torch.stack(scores)


@pytest.mark.parametrize("name", ["h", "c", "i", "f", "o", "g"])
@torch.no_grad()
def test_a_clamped_model_computes_what_a_loop_with_an_overwritten_value_does(name: str):
    model = model_of()
    ids = torch.randint(model.config.vocabulary_size, (17,))
    made = clamped(model, {f"layer0.{name}:3": 0.7})
    found, state = made(ids[:9, None])
    rest, _ = made(ids[9:, None], state)
    np.testing.assert_allclose(torch.cat([found, rest])[:, 0], by_hand(model, ids, name, 3, 0.7), atol=1e-5)
    before, _ = model(ids[:, None])
    assert (before[-1] - rest[-1]).abs().max() > 1e-4


@pytest.mark.parametrize("cell", ["gru", "elman", "mgu", "lstm_projected", "mut1"])
@torch.no_grad()
def test_any_cell_of_the_catalogue_can_be_clamped(cell: str):
    model = model_of(cell)
    made = clamped(model, {"layer0.h:1": 0.25, "layer1.h": -0.5})
    _, state = made(torch.randint(9, (4, 2)))
    assert (state.h[0, :, 1] == 0.25).all()
    assert (state.h[1] == -0.5).all()
    _, plain = model(torch.randint(9, (4, 2)))
    assert not (plain.h[0, :, 1] == 0.25).any()


@torch.no_grad()
def test_layers_that_torch_has_too_can_be_clamped_copied_and_clamped_again():
    layer = torch.nn.ModuleDict({"only": ifog.LSTM(3, 4, num_layers=2)})
    made = copy.deepcopy(clamped(clamped(layer, {"layer1.c:2": 1.5}), {"layer1.c:0": -1.0}))
    _, (_, c) = made["only"](torch.randn(6, 2, 3))
    assert (c[1, :, 2] == 1.5).all()
    assert (c[1, :, 0] == -1.0).all()
    _, (_, c) = layer["only"](torch.randn(6, 2, 3))
    assert not (c[1, :, 2] == 1.5).any()
    assert list(made.state_dict()) == list(layer.state_dict())


@torch.no_grad()
def test_a_clamped_model_writes_as_its_steps_say():
    model = clamped(model_of(), {"layer1.c:0": 2.0})
    ids = model.tokenizer.encode("say ").tolist()  # type: ignore[union-attr]
    state = None
    for _ in range(12):
        scores, state = model(torch.tensor(ids)[:, None] if state is None else torch.tensor([[ids[-1]]]), state)
        ids.append(int(scores[-1, 0].argmax()))
    assert sample(model, "say ", 12, sampling=Sampling(greedy=True)).endswith(model.tokenizer.decode(ids[4:]))  # type: ignore[union-attr]


def test_losses_are_told_apart_by_the_label_before_each_token():
    model = model_of()
    made = ablate(model, TEXT, "layer0.c:3", value="mean", detector=DETECTORS["quotes"], prime="s", length=6)
    mean = float(inspect(model, TEXT)["layer0.c:3"].mean())
    assert made.value == pytest.approx(mean, abs=1e-6)
    on = DETECTORS["quotes"](Source(TEXT))[:-1]
    after = -inspect(clamped(model, {"layer0.c:3": mean}), TEXT).log_prob[1:]
    assert made.nats[1] == pytest.approx(after.mean())
    assert made.labelled is not None
    assert made.labelled[1] == pytest.approx(after[on].mean())
    assert made.elsewhere is not None
    assert made.elsewhere[1] == pytest.approx(after[~on].mean())
    assert made.nats[0] == pytest.approx(-inspect(model, TEXT).log_prob[1:].mean())
    assert all(len(text) >= 6 for text in made.texts)
    assert "inside quotes" in str(made)
    assert "clamped:" in str(made)
    counts = ablate(model, TEXT, "layer0.c:3", detector=DETECTORS["line_position"])
    assert counts.words == "the position in the line above median"
    assert counts.texts == ("", "")


def test_the_unit_of_a_finding_is_ablated():
    model = model_of()
    found = search(inspect(model, TEXT), "prose", detectors=["digit"])
    made = ablations(model, TEXT, found, ["digit"])
    assert made[0].unit == f"{found['digit'].name}:{found['digit'].unit}"
    with pytest.raises(ConfigError, match="'quotes' has found no unit.*digit"):
        ablations(model, TEXT, found, ["quotes"])


def test_what_cannot_be_clamped_is_told():
    model = model_of()
    with pytest.raises(ConfigError, match="has 5 units"):
        clamped(model, {"layer0.h:9": 0.0})
    with pytest.raises(ConfigError, match="no value of this model"):
        clamped(model, {"layer7.h:0": 0.0})
    with pytest.raises(ConfigError, match="held at nan"):
        clamped(model, {"layer0.h:0": float("nan")})
    with pytest.raises(ConfigError, match="no recurrent layers"):
        clamped(torch.nn.Linear(2, 2), {"layer0.h": 0.0})
    with pytest.raises(DataError, match="at least two"):
        ablate(model, "s", "layer0.h:0")
    with pytest.raises(ConfigError, match="value is 'median'"):
        ablate(model, TEXT, "layer0.h:0", value="median")  # type: ignore[arg-type]


def test_a_value_is_a_number_or_the_mean():
    assert ablation_value("mean") == "mean"
    assert ablation_value("-0.5") == -0.5
    for wrong in ("", "inf", "middle"):
        with pytest.raises(ConfigError, match="number"):
            ablation_value(wrong)
