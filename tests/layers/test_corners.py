"""Layers in the company of the rest of PyTorch: pickles, parametrizations, autocast, and other people's habits."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ifog
from ifog.cells import affine, cell, layer_normalized, sigmoid, tanh
from ifog.errors import CellError, ConfigError
from ifog.kernels import aten


@cell
def at_the_top(x, h):
    return tanh(affine("", x, h))


@pytest.mark.parametrize(
    "make", [lambda: ifog.LSTM(4, 5), lambda: ifog.Recurrent("lstm", 4, 5), lambda: ifog.GRU(4, 5)]
)
def test_layers_and_states_survive_a_pickle(make: Any) -> None:
    layer, x = make(), torch.randn(3, 2, 4)
    y, state = layer(x)
    again = pickle.loads(pickle.dumps(layer))
    assert torch.equal(again(x)[0], y)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert type(loaded) is type(state)
    assert all(torch.equal(a, b) for a, b in zip(loaded, state, strict=True))


def test_a_cell_made_while_running_says_why_it_has_no_pickle() -> None:
    @cell
    def local(x, h):
        return tanh(affine("", x, h))

    with pytest.raises(CellError, match="state_dict"):
        pickle.dumps(ifog.Recurrent(local, 4, 5))


@pytest.mark.parametrize("backend", ["aten", "symbolic"])
def test_weight_norm_and_functional_call_reach_the_weights(backend: str) -> None:
    layer, x = ifog.LSTM(4, 5, backend=backend), torch.randn(3, 2, 4)
    theirs = nn.LSTM(4, 5)
    theirs.load_state_dict(layer.state_dict())
    parameters = {name: p.detach() * 2 for name, p in layer.named_parameters()}
    torch.testing.assert_close(
        torch.func.functional_call(layer, parameters, (x,))[0], torch.func.functional_call(theirs, parameters, (x,))[0]
    )
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    torch.testing.assert_close(layer(x)[0], theirs(x)[0])
    recurrent = ifog.Recurrent("gru_cho", 4, 5)
    before = recurrent(x)[0]
    nn.utils.parametrizations.weight_norm(recurrent, "W_hz_l0")
    torch.testing.assert_close(recurrent(x)[0], before)


def test_torch_names_of_arguments_work() -> None:
    layer, x = ifog.LSTM(4, 5), torch.randn(3, 2, 4)
    state = layer(x)[1]
    assert torch.equal(layer(input=x, hx=state)[0], layer(x, state)[0])


@pytest.mark.parametrize("backend", ["symbolic", "reference"])
def test_a_reset_goes_back_to_the_start_and_not_to_the_state_that_was_carried_in(backend: str) -> None:
    layer = ifog.Recurrent("lstm", 4, 5, initial_state="learned", backend=backend).double()
    with torch.no_grad():
        layer.get_parameter("initial_h_l0").normal_()
    x = torch.randn(6, 2, 4, dtype=torch.float64)
    carried = layer(x)[1]
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[0, 0] = reset[3, 1] = True
    y, _ = layer(x, carried, reset=reset)
    fresh = layer(x)[0]
    torch.testing.assert_close(y[:, 0], fresh[:, 0])
    torch.testing.assert_close(y[3:, 1], layer(x[3:])[0][:, 1])
    weights = torch.randn_like(y)
    found = torch.autograd.grad((y * weights).sum(), list(layer.parameters()), retain_graph=True)
    state = type(carried)(*(s[:, 1:] for s in carried))
    parts = (fresh[:, :1], layer(x[:3, 1:], state)[0], layer(x[3:, 1:])[0])
    total = sum((p * w).sum() for p, w in zip(parts, (weights[:, :1], weights[:3, 1:], weights[3:, 1:]), strict=True))
    assert isinstance(total, Tensor)
    for a, b in zip(found, torch.autograd.grad(total, list(layer.parameters())), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_pads_a_sequence_reaches_no_gradient_and_no_gate(poison: float) -> None:
    layer, x = ifog.LSTM(4, 5), torch.randn(7, 3, 4)
    x[3:, 0] = poison
    y, _, gates = layer(x, lengths=torch.tensor([3, 7, 7]), return_gates=True)
    y.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert gates["f_l0"][3:, 0].abs().sum() == 0


def test_a_projection_as_wide_as_the_cell_is_none_of_torch() -> None:
    layer = ifog.Recurrent("lstm_projected", 4, 6)
    assert aten.recognise(layer.plans[0].graph) is None
    assert layer(torch.randn(3, 2, 4))[0].shape == (3, 2, 6)


@pytest.mark.parametrize("name", ["mut1", "gru_cho"])
def test_autocast_may_end_before_the_backward_pass(name: str) -> None:
    layer, x = ifog.Recurrent(name, 4, 5), torch.randn(3, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = layer(x.bfloat16())
    y.float().sum().backward()
    torch.testing.assert_close(y.float(), layer(x)[0], rtol=2e-2, atol=2e-2)


def test_a_cell_without_weights_runs() -> None:
    @cell
    def sum_up(x, h):
        return 0.9 * h + x

    layer = ifog.Recurrent(sum_up, 5, 5)
    y, _ = layer(torch.ones(2, 3, 5))
    torch.testing.assert_close(y[1], torch.full((3, 5), 1.9))


def test_unbatched_steps_need_no_batch_first() -> None:
    layer = ifog.Recurrent("lstm", 4, 5, batch_first=True)
    x = torch.randn(4)
    torch.testing.assert_close(layer.step(x)[0], layer.step(x.unsqueeze(0))[0].squeeze(0))


def test_slips_in_cells_are_named() -> None:
    normal = layer_normalized(ifog.cells.get("elman"))

    @cell
    def nested(x, h):
        return normal(x, h)

    @cell
    def compared(x, h):
        return h if h == 0 else x

    @cell
    def misspelt(x, h):
        return sigmoid(affine("a", x, h, biass=1.0))

    @cell
    def clashing(x, h, *, dropout=0.3):
        return tanh(affine("", x, h)) * dropout

    for wrong, message in ((nested, "transform the outer"), (compared, "truth value"), (misspelt, "no option biass")):
        with pytest.raises(CellError, match=message):
            ifog.Recurrent(wrong, 4, 4)
    with pytest.raises(ConfigError, match="option dropout"):
        ifog.Recurrent(clashing, 4, 4, dropout=0.7)
    with pytest.raises(ConfigError, match="decorate"):
        ifog.Recurrent(lambda x, h: h, 4, 4)  # type: ignore[arg-type]


def test_small_integers_are_ids_too() -> None:
    layer, ids = ifog.Recurrent("gru_cho", None, 5, vocabulary=9), torch.randint(0, 9, (4, 2))
    assert torch.equal(layer(ids.to(torch.uint8))[0], layer(ids)[0])


def test_a_state_of_another_type_is_refused() -> None:
    layer, x = ifog.LSTM(4, 5), torch.randn(3, 2, 4)
    with pytest.raises(ifog.IfogError, match="state h.*float64"):
        layer(x, tuple(s.double() for s in layer(x)[1]))


def test_python_s_other_operators_say_what_to_use() -> None:
    @cell
    def squared(x, h):
        return tanh(affine("", x, h)) ** 2

    assert ifog.Recurrent(squared, 4, 4)(torch.randn(2, 3, 4))[0].min() >= 0

    wrong: list[tuple[Any, str]] = [
        (lambda x, h: h**3, "only the square"),
        (lambda x, h: h @ x, "no matrix product"),
        (lambda x, h: h[0:2], "part"),
    ]
    for step, message in wrong:
        with pytest.raises(CellError, match=message):
            ifog.Recurrent(cell(step), 4, 4)
