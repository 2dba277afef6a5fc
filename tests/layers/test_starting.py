"""Input matrices start wide, and nothing else is touched."""

from __future__ import annotations

import math

import pytest
import torch

from ifog import cells
from ifog.cells.transforms import weight_dropped
from ifog.compiler.language import affine, matrix, product, tanh
from ifog.compiler.tracing import cell
from ifog.layers import Recurrent
from ifog.layers.starting import widen_inputs
from ifog.models import LanguageModel
from ifog.models.regularised import RegularisedConfig, RegularisedModel


def widened(layer: Recurrent, size: float = 1.0) -> set[str]:
    """The names of parameters that were drawn anew."""
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    widen_inputs(layer, size)
    return {name for name, value in layer.named_parameters() if not torch.equal(value, before[name])}


def reach(layer: torch.nn.Module, name: str) -> float:
    return float(layer.get_parameter(name).detach().abs().max())


@cell
def sharing(x, h):
    W = matrix("W", h.size, h.size)
    return tanh(product(W, x) + product(W, h) + affine("y", x))


def test_input_matrices_of_all_layers_and_directions_are_drawn_anew_and_nothing_else():
    layer = Recurrent("gru", 54, 64, num_layers=2, bidirectional=True)
    ends = [f"_l{k}{direction}" for k in (0, 1) for direction in ("", "_reverse")]
    assert widened(layer) == {f"W_x{gate}{end}" for gate in "rzn" for end in ends}
    for end in ends:
        bound = math.sqrt(6 / (54 if "l0" in end else 128))
        assert 0.98 * bound < reach(layer, f"W_xr{end}") <= bound


def test_the_smaller_the_input_the_wider_the_first_layer():
    layer = Recurrent("lstm", 54, 64, num_layers=2)
    widened(layer, size=0.5)
    assert 0.98 < reach(layer, "W_xi_l0") / (2 * math.sqrt(6 / 54)) <= 1
    assert 0.98 < reach(layer, "W_xi_l1") / math.sqrt(6 / 64) <= 1


def test_token_ids_are_one_input():
    layer = Recurrent("lstm", None, 32, vocabulary=50)
    assert widened(layer) == {f"W_x{gate}_l0" for gate in "ifog"}
    assert 0.98 < reach(layer, "W_xi_l0") / math.sqrt(6) <= 1


def test_what_a_cell_states_itself_stays():
    assert widened(Recurrent("irnn", 8, 16)) == set()


def test_a_matrix_that_also_multiplies_the_state_stays():
    assert widened(Recurrent(sharing, 16, 16)) == {"W_xy_l0"}


def test_cells_whose_weights_are_dropped_are_widened_like_others():
    layer = Recurrent(weight_dropped(cells.get("lstm"), 0.5), 8, 16)
    assert widened(layer) == {f"W_x{gate}_l0" for gate in "ifog"}


@pytest.mark.parametrize(("embedding", "tied"), [(0, False), (96, False), (96, True)])
def test_a_language_model_tells_tokens_apart_from_the_start(embedding: int, tied: bool):
    torch.manual_seed(0)
    model = LanguageModel(200, hidden_size=96, embedding_size=embedding, tied=tied)
    matrix = model.recurrent.W_xi_l0.detach()
    entering = matrix.t() if model.embedding is None else model.embedding.weight.detach() @ matrix.t()
    assert entering.std().item() == pytest.approx(math.sqrt(2), rel=0.1)
    assert model.output_matrix.std().item() == pytest.approx(math.sqrt(2 / 96), rel=0.05)


@pytest.mark.parametrize("tied", [False, True])
def test_a_regularised_model_does_so_too(tied: bool):
    torch.manual_seed(0)
    model = RegularisedModel(RegularisedConfig(300, embedding_size=80, sizes=(64, 80), tied=tied))
    entering = model.embedding.weight.detach() @ model.layers[0].W_xf_l0.detach().t()
    assert entering.std().item() == pytest.approx(math.sqrt(2), rel=0.1)


def test_a_bound_is_the_whole_beginning():
    model = RegularisedModel(RegularisedConfig(50, embedding_size=8, sizes=(8,), bound=0.05))
    assert max(reach(model, name) for name, _ in model.named_parameters()) <= 0.05
