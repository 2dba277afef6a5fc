"""Stuck gates, dead units, gradients that vanish or explode: made by hand, and found."""

from __future__ import annotations

import pytest
import torch

from ifog.data import CharTokenizer
from ifog.health.weights import check_flow, check_units
from ifog.models import LanguageModel

TEXT = "the cat sat on the mat. " * 40


def model_of(cell: str, **options: object) -> LanguageModel:
    torch.manual_seed(0)
    tokenizer = CharTokenizer("".join(sorted(set(TEXT))))
    model = LanguageModel(tokenizer.vocabulary_size, cell=cell, hidden_size=12, embedding_size=6, options=options)
    model.tokenizer = tokenizer
    return model.eval()


def ids() -> torch.Tensor:
    return torch.randint(11, (40, 3), generator=torch.Generator().manual_seed(2))


def test_a_fresh_lstm_has_moving_gates_and_living_units() -> None:
    found = check_units(model_of("lstm"), TEXT)
    assert [(diagnosis.check, diagnosis.verdict) for diagnosis in found] == [("gates", "good"), ("dead units", "good")]


def test_gates_that_are_stuck_and_units_that_are_dead_are_found() -> None:
    model = model_of("lstm")
    with torch.no_grad():
        for name, parameter in model.recurrent.named_parameters():
            if name.startswith(("b_i", "b_f")):
                parameter.fill_(-30.0)  # nothing enters, nothing is kept
            if name.startswith("b_o"):
                parameter.fill_(-30.0)
    found = check_units(model, TEXT)
    assert [diagnosis.verdict for diagnosis in found] == ["look", "look"]
    assert "36 of 36" in found[0].seen
    assert "24 of 24" in found[1].seen


def test_units_that_never_move_are_found_in_a_cell_without_gates() -> None:
    model = model_of("elman")
    assert [(one.check, one.verdict) for one in check_units(model, TEXT)] == [("dead units", "good")]
    with torch.no_grad():
        for name, parameter in model.recurrent.named_parameters():
            if name.startswith("b"):
                parameter[:3] = 40.0  # tanh is 1 whatever comes
    found = check_units(model, TEXT)
    assert [(one.check, one.verdict) for one in found] == [("dead units", "look")]
    assert "3 of 12 units hardly change" in found[0].seen


def test_a_model_without_recurrent_layers_has_no_units_to_check() -> None:
    assert check_units(torch.nn.Linear(2, 2), TEXT) == []


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, "good"), (0.3, "look"), (2.0, "bad")])
def test_gradients_that_keep_vanish_and_explode_are_told_apart(scale: float, verdict: str) -> None:
    model = model_of("orthogonal_rnn")
    with torch.no_grad():
        for name, parameter in model.recurrent.named_parameters():
            if name.startswith("W_h"):
                parameter.copy_(
                    scale * torch.linalg.qr(torch.randn(12, 12)).Q.abs() if scale > 1 else scale * torch.eye(12)
                )
            elif name.startswith("W_x"):
                parameter.mul_(0.01 if scale <= 1 else 1.0)
            elif name.startswith("b"):
                parameter.fill_(0.0 if scale <= 1 else 1.0)
    diagnosis = check_flow(model, ids())
    assert diagnosis
    assert diagnosis.verdict == verdict, diagnosis
