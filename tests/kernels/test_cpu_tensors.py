"""The engine on tensors of any kind: layouts, values that are not finite, nothing at all, other types and places."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import ifog
from engine_layers import assert_same, each_cell, gradients, layer, needs_engine, twin
from ifog.errors import BackendError, ShapeError
from ifog.kernels.backends import multiplying

pytestmark = needs_engine


def awkward_inputs() -> Iterator[tuple[str, Tensor]]:
    yield "every second column", torch.randn(4, 3, 6)[..., ::2]
    yield "batch first", torch.randn(3, 4, 3).transpose(0, 1)
    yield "columns first", torch.randn(3, 3, 4).permute(2, 1, 0)
    yield "one row for all", torch.randn(4, 1, 3).expand(4, 3, 3)
    yield "one step for all", torch.randn(1, 3, 3).expand(4, 3, 3)
    yield "one number for all", torch.randn(()).expand(4, 3, 3)
    yield "backwards", torch.randn(4, 3, 3).flip(0)
    yield "a slice", torch.randn(9, 3, 7)[2:6, :, 1:4]


@pytest.mark.parametrize(("what", "x"), list(awkward_inputs()), ids=lambda v: v if isinstance(v, str) else "")
@each_cell
def test_the_layout_of_the_input_does_not_matter(name: str, what: str, x: Tensor) -> None:
    net = layer(name)
    x = x.detach().requires_grad_()
    assert_same(gradients(net, x), gradients(twin(net), x))
    with torch.no_grad():
        assert_same(net(x)[0], twin(net)(x)[0])


@each_cell
def test_the_layout_of_weights_states_and_cotangents_does_not_matter(name: str) -> None:
    net = layer(name)
    weights = {n: (p.detach().t().contiguous().t() if p.dim() == 2 else torch.stack([p.detach()] * 2, 1)[:, 0])
               for n, p in net.named_parameters()}  # fmt: skip
    x = torch.randn(4, 3, 3)
    found = []
    for one in (net, twin(net)):
        leaves = {n: w.detach().requires_grad_() for n, w in weights.items()}
        assert all(not w.is_contiguous() for w in leaves.values() if 1 not in w.shape)
        row = torch.ones(5, requires_grad=True)
        first = tuple(row.expand(1, 3, 5) for _ in net.initial_state(3))
        y, last = torch.func.functional_call(one, leaves, (x, first))
        d = [torch.ones(()).expand_as(y), *(torch.ones(3, 5).t()[:5].t().contiguous().expand(1, 3, 5) for _ in last)]
        found.append(torch.autograd.grad([y, *last], [row, *leaves.values()], d))
        found[-1] += torch.autograd.grad(
            torch.func.functional_call(one, leaves, (x, first))[0].transpose(0, 2).flip(0),
            [row, *leaves.values()],
            torch.arange(60.0).view(5, 3, 4),
        )
    assert_same(*found)


@each_cell
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_spreads_as_it_does_in_the_reference(name: str, bad: float) -> None:
    net, x = layer(name), torch.randn(4, 3, 3)
    x[1, 1, 2] = bad
    x.requires_grad_()
    for mine, theirs in zip(net(x)[0].unbind(0), twin(net)(x)[0].unbind(0), strict=True):
        torch.testing.assert_close(mine, theirs, equal_nan=True, rtol=2e-5, atol=2e-6)
    for mine, theirs in zip(gradients(net, x), gradients(twin(net), x), strict=True):
        assert torch.equal(mine.isfinite(), theirs.isfinite())
    assert net(x)[0][:, 0].isfinite().all(), "another sequence of the batch"


@each_cell
@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0)])
def test_an_empty_sequence_or_batch_gives_empty_tensors_and_zero_gradients(name: str, steps: int, batch: int) -> None:
    net, x = layer(name), torch.randn(steps, batch, 3, requires_grad=True)
    y, last = net(x)
    assert y.shape == (steps, batch, 5)
    assert all(s.shape == (1, batch, 5) for s in last)
    (y.sum() + sum(s.sum() for s in last)).backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert all(p.grad is None or not p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("name", ["lstm", "mingru"])
def test_a_very_long_sequence_of_two_units_runs_forwards_and_backwards(name: str) -> None:
    net, x = layer(name, 1, 2), torch.randn(100_000, 1, 1)
    y, _ = net(x)
    y.mean().backward()
    pieces, state = [], None
    with torch.no_grad():
        for part in x.split(25_000):
            piece, state = net(part, state)
            pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces), y, rtol=1e-5, atol=1e-6)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_other_types_and_places_choose_another_backend_or_say_why_not() -> None:
    net = layer(backend="auto")
    assert net.choice().backend == "cpu"
    assert net.double().choice().backend == "aten"
    y, _ = net(torch.randn(4, 3, 3, dtype=torch.float64))
    assert y.dtype == torch.float64
    assert net.float().choice().backend == "cpu"
    with pytest.raises(BackendError, match=r"can't run cell lstm: the weights are torch\.float64"):
        layer().double()(torch.randn(4, 3, 3, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"input is torch\.float64"):
        net(torch.randn(4, 3, 3, dtype=torch.float64))


@each_cell
def test_meta_tensors_give_shapes(name: str) -> None:
    net = layer(name, backend="auto").to("meta")
    y, last = net(torch.randn(4, 3, 3, device="meta"))
    assert y.shape == (4, 3, 5)
    assert y.is_meta
    assert all(s.is_meta and s.shape == (1, 3, 5) for s in last)


@each_cell
def test_autocast_is_the_layer_in_bf16(name: str) -> None:
    net, x = layer(name), torch.randn(4, 3, 3, requires_grad=True)
    rounded = copy.deepcopy(net)
    rounded.precision = "bf16"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = net(x)
    assert y.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):  # the gradients as the values, wherever they are asked for
        inside = torch.autograd.grad(y.square().sum(), [x, *net.parameters()], retain_graph=True)
    outside = torch.autograd.grad(y.square().sum(), [x, *net.parameters()])
    other, _ = rounded(x)
    assert_same(y, other)
    for found in (inside, outside):
        assert_same(found, torch.autograd.grad(other.square().sum(), [x, *rounded.parameters()], retain_graph=True))
    assert not torch.equal(y, net(x)[0])


@each_cell
def test_within_a_context_layers_multiply_what_it_says_but_for_those_that_were_told_otherwise(name: str) -> None:
    net, x = layer(name), torch.randn(4, 3, 3, requires_grad=True)
    told, plain = copy.deepcopy(net), net(x)[0]
    told.precision = "int16"
    with multiplying("int16"):
        y, _ = net(x)
        with multiplying("fp32"):
            assert_same(net(x)[0], plain)
    assert_same(y, told(x)[0])
    assert not torch.equal(y, plain)
    with multiplying("bf16"):
        assert_same(told(x)[0], y)
    assert_same(net(x)[0], plain)
    found = torch.autograd.grad(y.square().sum(), [x, *net.parameters()])  # outside: the forward pass decided
    assert_same(found, torch.autograd.grad(told(x)[0].square().sum(), [x, *told.parameters()]))


def test_copies_pickles_and_other_types_and_back_compute_the_same() -> None:
    net, x = layer(num_layers=2), torch.randn(4, 3, 3)
    y = net(x)[0].detach()
    assert_same(copy.deepcopy(net)(x)[0].detach(), y)
    assert_same(pickle.loads(pickle.dumps(net))(x)[0].detach(), y)
    assert_same(copy.deepcopy(net).double().float()(x)[0].detach(), y)
    before = [p.data_ptr() for p in net.parameters()]
    net.W_hf_l0.data = net.W_hf_l0.data.clone()  # a weight that moved
    assert before != [p.data_ptr() for p in net.parameters()]
    assert_same(net(x)[0].detach(), y)


def test_weights_that_change_between_calls_are_read_anew() -> None:
    net, x = layer(), torch.randn(4, 3, 3)
    net(x)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1.5)
    assert_same(net(x)[0].detach(), twin(net)(x)[0].detach())


@each_cell
def test_two_names_of_one_value_are_two_gates(name: str) -> None:
    net, x = layer(name, backend="auto"), torch.randn(4, 3, 3)
    _, _, mine = net(x, return_gates=True)
    _, _, theirs = twin(net)(x, return_gates=True)
    assert mine.keys() == theirs.keys()
    assert_same(dict(mine), dict(theirs))


def test_one_value_that_two_states_take_is_one_value_on_every_backend() -> None:
    @ifog.cell
    def twofold(x, h, c):
        h = c = ifog.cells.tanh(ifog.cells.affine("h", x, h))
        return h, c

    torch.manual_seed(0)
    net, x = ifog.Recurrent(twofold, 3, 5), torch.randn(4, 3, 3)
    _, _, mine = net(x, return_gates=True)
    _, _, theirs = twin(net)(x, return_gates=True)
    assert_same(dict(mine), dict(theirs))
