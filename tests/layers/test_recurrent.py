"""`Recurrent` for any cell: lengths, resets, gates, streaming, learned starts, tokens, backends."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import ifog
from ifog.cells import affine, cell, sigmoid, tanh
from ifog.compiler import Cell
from ifog.errors import BackendError, ConfigError, ShapeError
from ifog.kernels import aten, available
from ifog.layers import detach_state

CELLS = ["elman", "lstm", "gru", "gru_cho", "mut1", "indrnn", "mingru", "tgru"]
BACKENDS = ["auto", "symbolic", "reference"]


def layer(name: str | Cell, input_size: int = 4, hidden_size: int = 4, **options: Any) -> ifog.Recurrent:
    torch.manual_seed(0)
    return ifog.Recurrent(name, input_size, hidden_size, **options).double()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_lengths_give_what_each_sequence_gives_alone(name: str, bidirectional: bool, backend: str) -> None:
    deep = name != "tgru"  # its state is as wide as its input, so a second layer's would be padded
    net = layer(name, num_layers=1 + deep, bidirectional=bidirectional, backend=backend)
    lengths = [3, 0, 5, 1]
    x = random(5, 4, 4).requires_grad_()
    first = net.initial_state(4)
    first = type(first)(*(random(*s.shape).requires_grad_() for s in first))
    y, last = net(x, first, lengths=torch.tensor(lengths))
    weights = random(*y.shape)
    together = torch.autograd.grad(
        (y * weights).sum() + sum((s**2).sum() for s in last), [x, *net.parameters()], allow_unused=True
    )
    alone: list[Tensor] = []
    for b, n in enumerate(lengths):
        if n == 0:
            assert y[:, b].abs().max() == 0
            for now, before in zip(last, first, strict=True):
                torch.testing.assert_close(now[:, b], before[:, b])
            alone.append(sum((s[:, b] ** 2).sum() for s in first))  # type: ignore[arg-type]
            continue
        y_one, last_one = net(x[:n, b : b + 1], type(first)(*(s[:, b : b + 1] for s in first)))
        torch.testing.assert_close(y[:n, b : b + 1], y_one)
        assert y[n:, b].abs().sum() == 0
        for now, one in zip(last, last_one, strict=True):
            torch.testing.assert_close(now[:, b : b + 1], one)
        alone.append((y_one * weights[:n, b : b + 1]).sum() + sum((s**2).sum() for s in last_one))
    expected = torch.autograd.grad(torch.stack(alone).sum(), [x, *net.parameters()], allow_unused=True)
    for a, b in zip(together, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_reset_cuts_a_sequence_in_two(name: str, bidirectional: bool, backend: str) -> None:
    net = layer(name, bidirectional=bidirectional, backend=backend, initial_state="learned")
    with torch.no_grad():
        for parameter_name, parameter in net.named_parameters():
            if parameter_name.startswith("initial"):
                parameter.normal_()
    x = random(6, 2, 4).requires_grad_()
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[4, 0] = reset[2, 1] = True
    y, _ = net(x, reset=reset)
    weights = random(*y.shape)
    together = torch.autograd.grad((y * weights).sum(), [x, *net.parameters()], allow_unused=True)
    total = x.new_zeros(())
    for b, cut in ((0, 4), (1, 2)):
        for part in (slice(0, cut), slice(cut, 6)):
            y_part, _ = net(x[part, b : b + 1])
            torch.testing.assert_close(y[part, b : b + 1], y_part)
            total = total + (y_part * weights[part, b : b + 1]).sum()
    expected = torch.autograd.grad(total, [x, *net.parameters()], allow_unused=True)
    for a, b in zip(together, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", CELLS)
def test_steps_one_by_one_equal_the_sequence(name: str) -> None:
    net = layer(name, num_layers=2)
    x = random(5, 3, 4)
    y, last = net(x)
    state, outputs = None, []
    for t in range(5):
        out, state = net.step(x[t], state)
        outputs.append(out)
    torch.testing.assert_close(torch.stack(outputs), y)
    torch.testing.assert_close(tuple(state), tuple(last))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_are_every_named_value_of_every_layer_and_direction(bidirectional: bool) -> None:
    net = layer("lstm", hidden_size=3, num_layers=2, bidirectional=bidirectional)
    x = random(5, 2, 4)
    y, _, gates = net(x, return_gates=True)
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"] if bidirectional else ["_l0", "_l1"]
    assert set(gates) == {name + s for name in "ifogch" for s in suffixes}
    assert all(value.shape == (5, 2, 3) for value in gates.values())
    torch.testing.assert_close(gates["h_l1"], y[..., :3])
    torch.testing.assert_close(gates["h_l0"], gates["o_l0"] * torch.tanh(gates["c_l0"]))
    before = torch.cat([torch.zeros(1, 2, 3, dtype=torch.float64), gates["c_l0"][:-1]])
    torch.testing.assert_close(gates["c_l0"], gates["f_l0"] * before + gates["i_l0"] * gates["g_l0"])
    if bidirectional:  # the backward direction starts at the last step
        last = gates["i_l0_reverse"][-1] * gates["g_l0_reverse"][-1]
        torch.testing.assert_close(gates["c_l0_reverse"][-1], last)
    torch.testing.assert_close(net(x)[0], y)


def test_gates_of_no_steps_are_empty() -> None:
    assert layer("lstm", hidden_size=3)(random(0, 2, 4), return_gates=True)[2]["f_l0"].shape == (0, 2, 3)


def test_gates_carry_gradients() -> None:
    net = layer("gru_cho")
    gates = net(random(5, 2, 4), return_gates=True)[2]
    gates["z_l0"].sum().backward()
    assert net.get_parameter("W_xz_l0").grad is not None


def test_a_learned_start_gets_its_gradient_from_every_sequence() -> None:
    net = layer("lstm", initial_state="learned")
    y, _ = net(random(3, 5, 4))
    y.sum().backward()
    gradient = net.get_parameter("initial_h_l0").grad
    assert gradient is not None
    assert gradient.abs().min() > 0
    assert net.initial_state(2).h.shape == (1, 2, 4)


@pytest.mark.parametrize("name", ["elman", "lstm", "gru_cho", "lightru"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_token_ids_pick_the_columns_that_a_one_hot_vector_would(name: str, backend: str) -> None:
    torch.manual_seed(0)
    tokens = ifog.Recurrent(name, None, 4, vocabulary=7, backend=backend).double()
    vectors = ifog.Recurrent(name, 7, 4, backend=backend).double()
    vectors.load_state_dict(tokens.state_dict())
    ids = torch.randint(0, 7, (5, 3))
    y, _ = tokens(ids)
    expected, _ = vectors(torch.nn.functional.one_hot(ids, 7).double())
    torch.testing.assert_close(y, expected)
    for a, b in zip(
        torch.autograd.grad(y.square().sum(), list(tokens.parameters())),
        torch.autograd.grad(expected.square().sum(), list(vectors.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_token_ids_are_checked() -> None:
    net = ifog.Recurrent("elman", None, 4, vocabulary=7)
    with pytest.raises(ShapeError, match="0 to 6"):
        net(torch.tensor([[7]]))
    with pytest.raises(ShapeError, match="integer"):
        net(torch.zeros(2, 1))
    with pytest.raises(ConfigError, match=r"nn\.Embedding"):
        ifog.Recurrent("intersection_rnn", None, 7, vocabulary=7)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", [(1, 1), (17, 1), (3, 0), (0, 2), (0, 0)])
def test_awkward_shapes_go_through(name: str, shape: tuple[int, int]) -> None:
    net = layer(name, num_layers=2, bidirectional=True)
    x = random(*shape, 4).requires_grad_()
    y, last = net(x)
    assert y.shape == (*shape, 8)
    (y.sum() + sum(s.sum() for s in last)).backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    reference, _ = layer(name, num_layers=2, bidirectional=True, backend="reference")(x)
    torch.testing.assert_close(y, reference)


def test_batch_first_moves_every_tensor() -> None:
    first, second = layer("lstm"), layer("lstm", batch_first=True)
    x = random(5, 3, 4)
    reset = torch.rand(5, 3) > 0.5
    a, state, gates = first(x, reset=reset, return_gates=True)
    b, other, moved = second(x.transpose(0, 1), reset=reset.t(), return_gates=True)
    torch.testing.assert_close(b, a.transpose(0, 1))
    torch.testing.assert_close(tuple(other), tuple(state))
    torch.testing.assert_close(moved["i_l0"], gates["i_l0"].transpose(0, 1))
    out, _ = second.step(x[0])
    torch.testing.assert_close(out, first.step(x[0])[0])


def test_a_second_derivative_is_right() -> None:
    net = layer("gru_cho", 2, 3)
    x = random(3, 2, 2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda v: net(v)[0], (x,))


def test_a_weight_changed_before_backward_is_noticed() -> None:
    net = layer("gru_cho")
    y, _ = net(random(3, 2, 4))
    with torch.no_grad():
        net.get_parameter("W_hz_l0").add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_the_choice_of_backend_has_a_reason() -> None:
    if available():
        assert layer("lstm").float().choice() == ("cpu", "the engine compiles every cell")
        assert layer("gru_cho").float().choice(masked=True, gates=True).backend == "cpu"
    doubles = "the weights are torch.float64"
    assert layer("lstm").choice() == ("aten", f"its graph is one of PyTorch's own recurrences, and {doubles}")
    lengths = f"{doubles}, and PyTorch's own kernels can't: lengths or resets are given"
    assert layer("lstm").choice(masked=True) == ("symbolic", lengths)
    assert layer("lstm").choice(gates=True) == ("reference", f"gates are returned, and {doubles}")
    assert layer("gru_cho").choice().backend == "symbolic"
    with pytest.raises(BackendError, match="none of PyTorch's own"):
        layer("gru_cho", backend="aten")(random(2, 1, 4))
    with pytest.raises(BackendError, match="the weights are torch.float64"):
        layer("gru_cho", backend="cpu")(random(2, 1, 4))
    with pytest.raises(BackendError, match="quantum"):
        layer("gru_cho", backend="quantum")


def test_recognition_does_not_depend_on_names_or_order() -> None:
    @cell
    def mine(u, a, b):
        keep = sigmoid(affine("k", a, u))
        write = sigmoid(affine("w", u, a, bias=None))
        new = tanh(affine("n", u, a))
        b = new * write + b * keep
        return tanh(b) * sigmoid(affine("r", u, a)), b

    net = layer(mine)
    found = aten.recognise(net.plans[0].graph)
    assert found is not None
    assert [g.W_x for g in found.gates] == ["W_uw", "W_uk", "W_un", "W_ur"]
    x = random(5, 2, 4)
    torch.testing.assert_close(net(x)[0], layer(mine, backend="reference")(x)[0])


@pytest.mark.parametrize(
    "step",
    [
        lambda x, h: tanh(affine("", x, h)) + h,
        lambda x, h: tanh(affine("", x=x, h=h * h)),
        lambda x, h: tanh(affine("", x, h, size=1)) * h,
        lambda x, h: sigmoid(affine("", x, h)),
        lambda x, h: (1.0 - sigmoid(affine("z", x, h))) * h + sigmoid(affine("z", x, h)) * tanh(affine("n", x, h)),
    ],
)
def test_what_is_not_torch_is_not_taken_for_it(step: Any) -> None:
    assert aten.recognise(layer(cell(step)).plans[0].graph) is None


@pytest.mark.parametrize(
    ("lengths", "reset", "message"),
    [
        (torch.tensor([1, 2, 3]), None, "expected 2 integers"),
        (torch.tensor([1.0, 2.0]), None, "integers"),
        (torch.tensor([1, 9]), None, "0 to 5"),
        (torch.tensor([-1, 2]), None, "0 to 5"),
        (None, torch.zeros(5, 2), "bool"),
        (None, torch.zeros(2, 5, dtype=torch.bool), r"\(5, 2\)"),
    ],
)
def test_bad_lengths_and_resets_are_refused(lengths: Tensor | None, reset: Tensor | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer("lstm")(random(5, 2, 4), lengths=lengths, reset=reset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size=0"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"initial_state": "ones"}, "ones"),
        ({"vocabulary": 5}, "not both"),
        ({"input_size": None}, "either"),
        ({"dropout": -0.1}, "dropout=-0.1"),
        ({"cell": "lstn"}, "lstm"),
        ({"peephole": True}, "no option peephole"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ifog.IfogError, match=message):
        ifog.Recurrent(**({"cell": "lstm", "input_size": 3, "hidden_size": 4} | arguments))


def test_random_masks_repeat_with_the_seed_and_vanish_in_evaluation() -> None:
    from ifog.cells.transforms import variational, weight_dropped, zoneout

    net = ifog.Recurrent(
        zoneout(variational(weight_dropped(ifog.cells.get("lstm"), 0.5), 0.3), 0.2), 4, 5, num_layers=2, dropout=0.1
    )
    x = torch.randn(6, 3, 4)
    torch.manual_seed(1)
    first = net(x)[0]
    torch.manual_seed(1)
    assert torch.equal(net(x)[0], first)
    assert not torch.equal(net(x)[0], first)
    net.eval()
    assert torch.equal(net(x)[0], net(x)[0])


def test_layers_copy_pickle_and_detach() -> None:
    net = layer("lstm")
    x = random(3, 2, 4)
    y, state = net(x)
    torch.testing.assert_close(copy.deepcopy(net)(x)[0], y)
    cut = detach_state(state)
    assert type(cut) is type(state)
    assert not cut.h.requires_grad
    assert detach_state(None) is None


def test_a_bidirectional_layer_cannot_step() -> None:
    with pytest.raises(ConfigError, match="bidirectional"):
        layer("elman", bidirectional=True).step(random(2, 4))
