"""The engine behind autograd: graphs used twice, changed, interleaved, differentiated again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine_layers import assert_same, each_cell, gradients, layer, loss, needs_engine, twin

pytestmark = needs_engine


# --- one graph, used in every way that autograd allows ----------------------------------------------------------------


@each_cell
def test_a_graph_that_is_kept_gives_the_same_gradients_again(name: str) -> None:
    net, x = layer(name), torch.randn(4, 3, 3, requires_grad=True)
    value = loss(net, x)
    first, second, third = (
        torch.autograd.grad(value, [x, *net.parameters()], retain_graph=keep) for keep in (True, True, False)
    )
    assert_same(first, gradients(twin(net), x))
    for again in (second, third):
        torch.testing.assert_close(again, first, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(value, [x])


@each_cell
def test_a_graph_that_is_kept_pulls_another_cotangent(name: str) -> None:
    net, x = layer(name), torch.randn(4, 3, 3, requires_grad=True)
    y, other = net(x)[0], twin(net)(x)[0]
    for d in (torch.randn_like(y), torch.randn_like(y), torch.zeros_like(y)):
        assert_same(
            torch.autograd.grad(y, x, d, retain_graph=True), torch.autograd.grad(other, x, d, retain_graph=True)
        )


@each_cell
def test_a_second_derivative_is_that_of_the_reference(name: str) -> None:
    net, x = layer(name), torch.randn(3, 2, 3, requires_grad=True)
    found = []
    for one in (net, twin(net)):
        wanted = [x, *one.parameters()]
        first = torch.autograd.grad(loss(one, x), wanted, create_graph=True)
        penalty = sum((g**2).sum() for g in first)
        found.append((first, torch.autograd.grad(penalty, wanted)))
    assert_same(*found)


def test_a_second_derivative_goes_through_lengths_resets_first_states_and_frozen_weights() -> None:
    net, x = layer("lstm", initial_state="learned"), torch.randn(4, 2, 3)
    net.get_parameter("W_hf_l0").requires_grad_(False)
    lengths, reset = torch.tensor([4, 2]), torch.rand(4, 2) < 0.4
    found = []
    for one in (net, twin(net)):
        wanted = [p for p in one.parameters() if p.requires_grad]
        y, _ = one(x, lengths=lengths, reset=reset)
        first = torch.autograd.grad((y**3).sum(), wanted, create_graph=True)
        found.append(torch.autograd.grad(sum((g**2).sum() for g in first), wanted))
    assert_same(*found)


@pytest.mark.parametrize("backend", ["cpu", "symbolic"])
def test_inputs_that_depend_on_each_other_are_not_counted_twice(backend: str) -> None:
    net, x = layer(backend=backend), torch.randn(6, 2, 3, requires_grad=True)
    found = []
    for one, create in ((net, False), (net, True), (twin(net), True)):
        first = tuple(torch.tanh(x[0] @ torch.ones(3, 5)).unsqueeze(0) for _ in range(2))  # of the input
        y, state = one(x[:3], first)
        z, _ = one(x[3:], state)  # of the input and of the same weights
        found.append([g.detach() for g in torch.autograd.grad(z.square().sum() + y.sum(), [x, *one.parameters()],
                                                              create_graph=create)])  # fmt: skip
    assert_same(found[0], found[2])
    assert_same(found[1], found[2])


@pytest.mark.parametrize("what", ["weight", "input", "output"])
def test_a_change_in_place_before_the_backward_pass_is_an_error(what: str) -> None:
    net, x = layer(), torch.randn(4, 3, 3, requires_grad=True)
    source = x * 1
    y, _ = net(source)
    with torch.no_grad():
        {"weight": net.W_hf_l0, "input": source, "output": y}[what].add_(1)
    with pytest.raises(RuntimeError, match="modified (by an )?in-?place"):
        y.sum().backward()


def test_a_last_state_may_be_changed_in_place_and_the_output_stays() -> None:
    net, x = layer("elman"), torch.randn(4, 3, 3)
    with torch.no_grad():
        y, last = net(x)
        before = y.clone()
        last[0].zero_()
    assert_same(y, before)


@each_cell
def test_graphs_that_are_alive_together_do_not_disturb_each_other(name: str) -> None:
    net = layer(name)
    inputs = [torch.randn(t, 3, 3, requires_grad=True) for t in (4, 7, 1, 4)]
    values = [loss(net, x) for x in inputs]
    order = [2, 0, 3, 1]
    found = {k: torch.autograd.grad(values[k], [inputs[k], *net.parameters()]) for k in order}
    for k, x in enumerate(inputs):
        assert_same(found[k], gradients(twin(net), x))


def test_gradients_add_up_in_grad_and_over_layers_that_share_an_output() -> None:
    net, x = layer(num_layers=2), torch.randn(4, 3, 3)
    for one in (net, other := twin(net)):
        for _ in range(3):
            loss(one, x).backward()
    assert_same([p.grad for p in net.parameters()], [p.grad for p in other.parameters()])


# --- what is differentiated -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["x", "weights", "one weight", "bias", "state"])
@each_cell
def test_gradients_are_wanted_of_some_inputs_only(name: str, which: str) -> None:
    net = layer(name)
    x, first = torch.randn(4, 3, 3), net.initial_state(3)
    parameters = dict(net.named_parameters())
    matrices = [n for n, p in parameters.items() if p.dim() == 2]
    vectors = [n for n, p in parameters.items() if p.dim() == 1]
    trained = {"weights": list(parameters), "one weight": matrices[-1:], "bias": vectors[:1]}.get(which, [])
    for n, p in parameters.items():
        p.requires_grad_(n in trained)
    x.requires_grad_(which == "x")
    first = type(first)(*(s.clone().requires_grad_(which == "state") for s in first))
    found = []
    for one in (net, twin(net)):
        y, last = one(x, first)
        wanted = [*([x] if which == "x" else []), *(first if which == "state" else [])]
        wanted += [one.get_parameter(n) for n in trained]
        found.append(torch.autograd.grad(y.sum() + last[0].square().sum(), wanted))
        assert len(found[-1]) > 0
    assert_same(*found)


def test_without_anything_to_differentiate_no_graph_is_made() -> None:
    net, x = layer().requires_grad_(False), torch.randn(4, 3, 3)
    assert net(x)[0].grad_fn is None


@each_cell
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_values_are_the_same_where_no_gradients_are_wanted(name: str, context: Any) -> None:
    net, x = layer(name), torch.randn(4, 3, 3)
    y, last = net(x)
    with context():
        quick, state = net(x)
        again, _ = net(x, state)
    assert not quick.requires_grad
    assert_same((quick, tuple(state)), (y.detach(), tuple(s.detach() for s in last)))
    assert_same(again, net(x, last)[0].detach())


def test_a_function_of_the_weights_can_be_differentiated() -> None:
    net, x = layer(), torch.randn(4, 3, 3)
    weights = {n: (p.detach() * 2).requires_grad_() for n, p in net.named_parameters()}
    found = []
    for one in (net, twin(net)):
        y, _ = torch.func.functional_call(one, weights, (x,))
        found.append(torch.autograd.grad(y.square().sum(), list(weights.values())))
    assert_same(*found)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # PyTorch's own, of jvp
@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp"])
def test_function_transforms_are_those_of_the_reference(transform: str) -> None:
    net, x = layer(), torch.randn(4, 3, 3)
    values = {n: p.detach() for n, p in net.named_parameters()}

    def total(weights: Any, x: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (x,))[0].square().sum()

    calls = {
        "grad": lambda: torch.func.grad(total)(values, x),
        "vmap": lambda: torch.func.vmap(total, in_dims=(None, 0))(values, torch.stack([x, 2 * x])),
        "jvp": lambda: torch.func.jvp(lambda x: total(values, x), (x,), (x,))[1],
    }
    net_reference = twin(net)
    found = calls[transform]()
    net = net_reference
    assert_same(found, calls[transform]())
