"""The engine behind autograd: graphs used twice, changed, interleaved, in threads and forks; tensors of any kind."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import ifog
from ifog.errors import BackendError, ShapeError
from ifog.kernels import available

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

CELLS = ["lstm", "gru_cho", "mingru", "mut1", "recurrent_highway"]
each_cell = pytest.mark.parametrize("name", CELLS)


def layer(name: str = "lstm", input_size: int = 3, hidden_size: int = 5, backend: str = "cpu", **options: Any) -> Any:
    torch.manual_seed(1)
    return ifog.Recurrent(name, input_size, hidden_size, backend=backend, **options)


def twin(net: ifog.Recurrent) -> ifog.Recurrent:
    """The same layer on the reference."""
    other = copy.deepcopy(net)
    other.backend = "reference"
    return other


def loss(net: Any, x: Tensor) -> Tensor:
    y, last = net(x)
    return (y * y.cos()).sum() + sum((s * s).sum() for s in last)


def gradients(net: Any, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss(net, x), [x, *net.parameters()]))


def assert_same(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-6)


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
def test_function_transforms_work_or_say_that_they_do_not(transform: str) -> None:
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
    try:
        found = calls[transform]()
    except RuntimeError as error:
        assert str(error).strip(), "an error has to say something"  # noqa: PT017
        return
    net = net_reference
    assert_same(found, calls[transform]())


# --- threads and processes --------------------------------------------------------------------------------------------


def test_four_threads_of_python_compute_at_the_same_time() -> None:
    net = layer("lstm", hidden_size=40)
    inputs = [torch.randn(9, 4, 3, requires_grad=True) for _ in range(4)]
    wanted = [gradients(net, x) for x in inputs]
    found: dict[int, list[list[Tensor]]] = {}

    def work(k: int) -> None:
        found[k] = [gradients(net, inputs[k]) for _ in range(10)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(found) == [0, 1, 2, 3]
    for k, runs in found.items():
        for run in runs:
            torch.testing.assert_close(run, wanted[k], rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_computes_too() -> None:
    net, x = layer("lstm", 3, 140), torch.randn(6, 2, 3, requires_grad=True)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        wanted, (y, _) = gradients(net, x), net(x)  # the parent's threads are running
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # rather than wait for ever for threads that stayed behind
            with torch.no_grad():
                same = torch.allclose(net(x)[0], y, atol=1e-5)
            torch.set_num_threads(1)  # PyTorch's own products would wait so, and its data loaders' workers have one
            same &= all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients(net, x), wanted, strict=True))
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert_same(gradients(net, x), wanted)  # and the parent still can
    finally:
        torch.set_num_threads(before)


class _Encoded(torch.utils.data.Dataset):
    def __init__(self) -> None:
        self.net = layer("gru", 3, 8)
        torch.manual_seed(2)
        self.x = torch.randn(4, 5, 3)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, k: int) -> Tensor:
        with torch.no_grad():
            return self.net(self.x[k])[0]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_of_a_data_loader_can_run_a_layer() -> None:
    data = _Encoded()
    wanted = torch.stack([data[k] for k in range(4)])
    found = torch.cat(list(torch.utils.data.DataLoader(data, batch_size=2, num_workers=2)))
    assert_same(found, wanted)


# --- tensors of every kind --------------------------------------------------------------------------------------------


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
