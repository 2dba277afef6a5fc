"""The drop-in layers against `torch.nn`: values, last states and every gradient, over the grid of their arguments."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import ifog

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections:UserWarning"
)  # torch says so of its own slow path

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 7, 6
KINDS = {
    "lstm": ("LSTM", {}),
    "lstm projected": ("LSTM", {"proj_size": 4}),
    "gru": ("GRU", {}),
    "rnn tanh": ("RNN", {"nonlinearity": "tanh"}),
    "rnn relu": ("RNN", {"nonlinearity": "relu"}),
}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
GRID = list(
    product(KINDS, (1, 3), (False, True), (False, True), (True, False), (False, True), (torch.float32, torch.float64))
)


def pair(kind: str, **options: Any) -> tuple[nn.Module, nn.Module]:
    """The layer of torch.nn and ours with the same weights."""
    name, special = KINDS[kind]
    backend = options.pop("backend", "symbolic")
    theirs = getattr(nn, name)(INPUT, HIDDEN, **special, **options)
    ours = getattr(ifog, name)(INPUT, HIDDEN, **special, **options, backend=backend)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def outcome(layer: nn.Module, x: Any, state: Any) -> list[Tensor]:
    """Output, last states, and gradients of a weighted sum of them: of the input, the first states, every weight."""
    y, last = layer(x, state)
    if isinstance(y, PackedSequence):
        y = y.data
    firsts = list(state) if isinstance(state, tuple) else [state]
    lasts = list(last) if isinstance(last, tuple) else [last]
    data = x.data if isinstance(x, PackedSequence) else x
    torch.manual_seed(5)
    total = sum((value * torch.randn(value.shape, dtype=torch.float64)).sum() for value in (y.double(), *lasts))
    assert isinstance(total, Tensor)
    return [y, *lasts, *torch.autograd.grad(total, [data, *firsts, *layer.parameters()])]


@pytest.mark.parametrize(("kind", "layers", "both", "batch_first", "bias", "packed", "dtype"), GRID)
def test_a_drop_in_layer_equals_torch_in_values_and_all_gradients(
    kind: str, layers: int, both: bool, batch_first: bool, bias: bool, packed: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    theirs, ours = pair(kind, num_layers=layers, bidirectional=both, batch_first=batch_first, bias=bias, dtype=dtype)
    x: Any = torch.randn(
        (BATCH, STEPS, INPUT) if batch_first else (STEPS, BATCH, INPUT), dtype=dtype, requires_grad=True
    )
    if packed:
        x = pack_padded_sequence(x, torch.tensor([3, 5, 1]), batch_first=batch_first, enforce_sorted=False)
        x.data.retain_grad()
    count = layers * (2 if both else 1)
    widths = [KINDS[kind][1].get("proj_size", HIDDEN), HIDDEN] if kind.startswith("lstm") else [HIDDEN]
    firsts = [torch.randn(count, BATCH, n, dtype=dtype, requires_grad=True) for n in widths]
    state = tuple(firsts) if len(firsts) > 1 else firsts[0]
    for a, b in zip(outcome(theirs, x, state), outcome(ours, x, state), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(b, a, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("backend", ["auto", "aten", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_backend_of_a_drop_in_layer_equals_torch(kind: str, backend: str) -> None:
    torch.manual_seed(2)
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, backend=backend)
    x = torch.randn(STEPS, BATCH, INPUT, requires_grad=True)
    widths = [KINDS[kind][1].get("proj_size", HIDDEN), HIDDEN] if kind.startswith("lstm") else [HIDDEN]
    firsts = [torch.randn(4, BATCH, n, requires_grad=True) for n in widths]
    state = tuple(firsts) if len(firsts) > 1 else firsts[0]
    for a, b in zip(outcome(theirs, x, state), outcome(ours, x, state), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (17, 1), (33, 2), (4, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_awkward_sizes_equal_torch(kind: str, shape: tuple[int, int]) -> None:
    theirs, ours = pair(kind, num_layers=2)
    x = torch.randn(*shape, INPUT)
    if shape[1] == 0:
        assert ours(x)[0].shape == (4, 0, KINDS[kind][1].get("proj_size", HIDDEN))
        return
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["aten", "symbolic"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_unbatched_sequence_equals_torch(kind: str, backend: str) -> None:
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, backend=backend)
    x = torch.randn(STEPS, INPUT)
    y, last = ours(x)
    expected, expected_last = theirs(x)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    for now, then in zip(last, expected_last, strict=True):
        torch.testing.assert_close(now, then, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["aten", "symbolic"])
@pytest.mark.parametrize("sorted_", [True, False])
def test_a_packed_sequence_keeps_its_order_on_every_backend(backend: str, sorted_: bool) -> None:
    theirs, ours = pair("lstm", num_layers=2, bidirectional=True, backend=backend)
    lengths = torch.tensor([5, 4, 2] if sorted_ else [2, 5, 4])
    packed = pack_padded_sequence(torch.randn(STEPS, BATCH, INPUT), lengths, enforce_sorted=sorted_)
    state = (torch.randn(4, BATCH, HIDDEN), torch.randn(4, BATCH, HIDDEN))
    y, last = ours(packed, state)
    expected, expected_last = theirs(packed, state)
    torch.testing.assert_close(y.data, expected.data, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(tuple(last), expected_last, rtol=1e-5, atol=1e-5)
    assert (y.sorted_indices is None) == (expected.sorted_indices is None)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_both_the_same_weights(kind: str) -> None:
    name, special = KINDS[kind]
    torch.manual_seed(3)
    theirs = getattr(nn, name)(INPUT, HIDDEN, num_layers=2, bidirectional=True, **special)
    torch.manual_seed(3)
    ours = getattr(ifog, name)(INPUT, HIDDEN, num_layers=2, bidirectional=True, **special)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    theirs.load_state_dict(ours.state_dict())


def test_one_seed_gives_the_same_dropout_as_torch() -> None:
    theirs, ours = pair("lstm", num_layers=3, dropout=0.5, backend="aten")
    x = torch.randn(STEPS, BATCH, INPUT)
    torch.manual_seed(4)
    expected = theirs(x)[0]
    torch.manual_seed(4)
    assert torch.equal(ours(x)[0], expected)
    symbolic = pair("lstm", num_layers=3, dropout=0.5)[1]
    symbolic.load_state_dict(theirs.state_dict())
    torch.manual_seed(4)
    first = symbolic(x)[0]
    torch.manual_seed(4)
    assert torch.equal(symbolic(x)[0], first)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("LSTM", {"hidden_size": 0}, "hidden_size=0"),
        ("LSTM", {"hidden_size": 2.5}, "whole number"),
        ("LSTM", {"input_size": -1}, "input_size=-1"),
        ("LSTM", {"num_layers": 0}, "num_layers=0"),
        ("LSTM", {"dropout": 1.5}, "dropout=1.5"),
        ("LSTM", {"dropout": True}, "dropout=True"),
        ("LSTM", {"proj_size": 6}, "smaller than hidden_size"),
        ("LSTM", {"proj_size": -1}, "proj_size=-1"),
        ("GRU", {"bias": 1}, "bias=1"),
        ("GRU", {"batch_first": 3}, "batch_first=3"),
        ("RNN", {"nonlinearity": "sine"}, "sine"),
    ],
)
def test_arguments_that_torch_rejects_are_rejected_by_name(name: str, arguments: dict[str, Any], message: str) -> None:
    options = {"input_size": INPUT, "hidden_size": HIDDEN} | arguments
    with pytest.raises((ValueError, TypeError)):
        getattr(nn, name)(**options)
    with pytest.raises(ifog.IfogError, match=message) as caught:
        getattr(ifog, name)(**options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        (torch.zeros(2, 3, INPUT + 1), None, "8 features"),
        (torch.zeros(2, 3, 4, INPUT), None, "4 axes"),
        (torch.zeros(INPUT), None, "1 axes"),
        (torch.zeros(2, 3, INPUT, dtype=torch.float64), None, "float64"),
        (torch.zeros(2, 3, INPUT), (torch.zeros(1, 4, HIDDEN), torch.zeros(1, 3, HIDDEN)), "state h"),
        (torch.zeros(2, 3, INPUT), (torch.zeros(1, 3, HIDDEN), torch.zeros(2, 3, HIDDEN)), "state c"),
        (torch.zeros(2, 3, INPUT), (torch.zeros(1, 3, HIDDEN),), "2 states"),
        (torch.zeros(2, INPUT), (torch.zeros(1, 1, HIDDEN), torch.zeros(1, 1, HIDDEN)), "state h"),
    ],
)
def test_inputs_that_torch_rejects_are_rejected_with_shapes(x: Tensor, state: Any, message: str) -> None:
    theirs, ours = pair("lstm", backend="auto")
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        theirs(x, state)
    with pytest.raises(ifog.IfogError, match=message):
        ours(x, state)


def test_dropout_with_nothing_between_layers_warns() -> None:
    with pytest.warns(UserWarning, match="num_layers=1"):
        ifog.GRU(2, 3, dropout=0.5)
