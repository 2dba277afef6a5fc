"""The lectures' sanity checks pass sound models and find spoiled ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ifog.cells import CATALOGUE, affine, cell, relu
from ifog.health.sanity import check_cell_gradients, check_one_batch, check_outcomes, check_start, check_symmetry
from ifog.models import LanguageModel


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(20, cell="lstm", hidden_size=24, embedding_size=8).eval()


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(20, (31, 5), generator=torch.Generator().manual_seed(1))


def test_a_sound_model_passes(model: LanguageModel, ids: torch.Tensor) -> None:
    before = [p.clone() for p in model.parameters()]
    found = [
        check_start(model, ids[:-1], ids[1:]),
        check_outcomes(model, ids[:-1]),
        check_symmetry(model),
        check_one_batch(model, ids[:-1], ids[1:]),
    ]
    assert [diagnosis.verdict for diagnosis in found] == ["good"] * 4, found
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))


def test_an_output_layer_that_starts_too_large_is_found(model: LanguageModel, ids: torch.Tensor) -> None:
    with torch.no_grad():
        model.b_y[3] = 12.0
    assert check_start(model, ids[:-1], ids[1:]).verdict == "bad"
    assert check_outcomes(model, ids).verdict == "bad"


def test_units_that_start_alike_are_found(model: LanguageModel) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "W_hi" in name or "W_xi" in name:
                parameter[5] = parameter[2]
    diagnosis = check_symmetry(model)
    assert diagnosis.verdict == "bad"
    assert "only 23 differ" in diagnosis.seen


def test_a_model_that_cannot_learn_is_found(model: LanguageModel, ids: torch.Tensor) -> None:
    for parameter in model.recurrent.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        for parameter in model.recurrent.parameters():
            parameter.zero_()
    model.embedding = nn.Embedding(20, 8).requires_grad_(False)
    assert check_one_batch(model, ids[:-1], ids[1:]).verdict == "bad"


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "mut1"])
def test_the_cells_of_the_catalogue_have_right_gradients(name: str) -> None:
    diagnosis = check_cell_gradients(CATALOGUE[name])
    assert diagnosis.verdict == "good", diagnosis


@cell
def kinked(x, h):  # type: ignore[no-untyped-def]
    """Starts exactly where relu bends: its derivative there is 0, differences say one half."""
    return relu(affine("h", h=h, bias=0.0)) + x


def test_a_cell_whose_derivative_is_not_that_of_differences_is_found() -> None:
    assert check_cell_gradients(kinked).verdict == "bad"
