"""What the engine is given: floats on the CPU whatever PyTorch's defaults are, and nothing that has no numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

import ifog
from ifog.errors import ShapeError


def results(net: nn.Module, x: Tensor) -> list[Tensor]:
    y, state = net(x)
    return [y, *state, *torch.autograd.grad(y.square().sum(), [*net.parameters()])]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_type_of_pytorch_changes_nothing(dtype: torch.dtype) -> None:
    net, x = ifog.LSTM(4, 5, num_layers=2), torch.randn(6, 3, 4)
    lengths = torch.tensor([6, 2, 4])
    before, packed = results(net, x), net(x, lengths=lengths)[0]
    torch.set_default_dtype(dtype)
    try:
        after, packed_after = results(net, x), net(x, lengths=lengths)[0]
        stream = net.streaming(batch=3)
        step = stream.step(x[0])[0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(after, before, strict=True))
    assert torch.equal(packed, packed_after)
    torch.testing.assert_close(step, before[0][0])


def test_the_default_device_of_pytorch_changes_nothing() -> None:
    net, x, lengths = ifog.GRU(4, 5), torch.randn(6, 3, 4), torch.tensor([6, 2, 4])
    before, packed = net(x)[0], net(x, lengths=lengths)[0]
    torch.set_default_device("meta")
    try:
        after, packed_after = net(x)[0], net(x, lengths=lengths)[0]
    finally:
        torch.set_default_device(None)
    assert torch.equal(before, after)
    assert torch.equal(packed, packed_after)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda w: w.double(), r"weight W_hr, W_hz, W_hn: it is torch.float64"),
        (lambda w: w.bfloat16(), r"weight W_hr, W_hz, W_hn: it is torch.bfloat16"),
        (lambda w: w.to("meta"), r"weight W_hr, W_hz, W_hn: it is torch.float32 on meta"),
        (lambda w: w[:4, :4].clone(), r"weight W_hr, W_hz, W_hn: expected shape \(15, 5\), got \(4, 4\)"),
        (lambda w: w[:9], r"weight W_hr, W_hz, W_hn: expected shape \(15, 5\), got \(9, 5\)"),
    ],
)
def test_a_weight_that_is_not_like_the_others_is_refused(change: Callable[[Tensor], Tensor], complaint: str) -> None:
    net, x = ifog.GRU(4, 5), torch.randn(6, 3, 4)
    net(x)  # so that how to call the engine is known already
    net.weight_hh_l0 = nn.Parameter(change(net.weight_hh_l0.detach()))
    with pytest.raises(ShapeError, match=complaint):
        net(x)


def test_a_learned_state_of_another_type_is_refused() -> None:
    net = ifog.Recurrent("lstm", 4, 5, initial_state="learned")
    net.initial_h_l0 = nn.Parameter(net.initial_h_l0.detach().double())
    with pytest.raises(ShapeError, match="^state h: it is torch.float64"):
        net(torch.randn(6, 3, 4))


def test_a_reset_may_be_changed_before_the_backward_pass() -> None:
    net, x = ifog.GRU(4, 5), torch.randn(6, 3, 4)
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[3] = True
    kept = torch.autograd.grad(net(x, reset=reset.clone())[0].square().sum(), net.weight_hh_l0)[0]
    y = net(x, reset=reset)[0]
    reset.zero_()
    assert torch.equal(torch.autograd.grad(y.square().sum(), net.weight_hh_l0)[0], kept)


def test_resets_may_be_a_list() -> None:
    net, x = ifog.GRU(4, 5), torch.randn(2, 1, 4)
    assert torch.equal(net(x, reset=[[False], [True]])[0], net(x, reset=torch.tensor([[False], [True]]))[0])


def test_fake_tensors_have_shapes() -> None:
    with FakeTensorMode():
        y, state = ifog.GRU(4, 5)(torch.randn(6, 3, 4))
    assert (y.shape, state.shape) == ((6, 3, 5), (1, 3, 5))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("grad", [False, True])
def test_tracers_see_every_operator(grad: bool) -> None:
    net, x, other = ifog.LSTM(4, 5), torch.randn(6, 3, 4), torch.randn(6, 3, 4)
    with torch.set_grad_enabled(grad):
        for traced in (make_fx(lambda x: net(x)[0])(x), lambda x: torch.jit.trace(net, (other,))(x)[0]):
            torch.testing.assert_close(traced(x), net(x)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_forward_derivatives_are_those_of_the_reference() -> None:
    net, reference = ifog.GRU(4, 5), ifog.GRU(4, 5, backend="reference")
    reference.load_state_dict(net.state_dict())
    x = torch.randn(6, 3, 4)
    found: list[Any] = []
    for module in (net.requires_grad_(False), reference.requires_grad_(False)):
        with forward_ad.dual_level():
            found.append(forward_ad.unpack_dual(module(forward_ad.make_dual(x, torch.ones_like(x)))[0]).tangent)
    assert found[0].abs().max() > 0.1
    torch.testing.assert_close(*found)


def test_several_cotangents_at_once() -> None:
    net, x = ifog.LSTM(4, 5), torch.randn(2, 1, 4)
    found = torch.autograd.functional.jacobian(lambda x: net(x)[0], x, vectorize=True)
    torch.testing.assert_close(found, torch.autograd.functional.jacobian(lambda x: net(x)[0], x))


def test_gradients_of_each_sequence() -> None:
    net, x = ifog.LSTM(4, 5), torch.randn(6, 3, 4)
    weights = {name: w.detach() for name, w in net.named_parameters()}

    def loss(weights: Any, x: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (x.unsqueeze(1),))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 1))(weights, x)
    net(x)[0].square().sum().backward()
    for name, w in net.named_parameters():
        torch.testing.assert_close(found[name].sum(0), w.grad)


@pytest.mark.parametrize("make", [lambda: ifog.LSTM(4, 5), lambda: ifog.Recurrent("lstm", 4, 5)])
def test_under_autocast_an_input_of_bf16_is_read_as_such(make: Callable[[], nn.Module]) -> None:
    net, x = make(), torch.randn(6, 3, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x)[0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, net(x.float())[0], atol=0.02, rtol=0)
