"""Sequences of unequal lengths are computed without what pads them, and give what masks give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import ifog
from ifog.cells import get, variational, zoneout
from ifog.errors import ShapeError
from ifog.kernels.loading import available
from ifog.kernels.rows import numbers, pick
from ifog.layers.masks import draw, extent
from ifog.layers.packing import Packing
from ifog.layers.stack import Stack

needs_engine = pytest.mark.skipif(not available(), reason="the C++ engine is not installed")
pytestmark = needs_engine
BATCH, INPUT, HIDDEN = 7, 5, 17
LENGTHS = {
    "unsorted, one empty": [3, 0, 13, 1, 5, 5, 12],
    "sorted, none as long as the tensor": [11, 9, 9, 4, 2, 1, 1],
    "one alone": [0, 0, 0, 2, 0, 0, 0],
}


def masked(layer: Stack) -> Stack:
    """The same layer in plain PyTorch, which masks."""
    layer.backend = "reference"
    assert "reference" in layer.packing_obstacle()
    return layer


def results(layer: Stack, x: Tensor, state: tuple[Tensor, ...], **keywords: Any) -> dict[str, Tensor]:
    """Output, states, gates and the gradients of all there is."""
    leaves = [x.detach().requires_grad_(), *(s.detach().requires_grad_() for s in state), *layer.parameters()]
    y, last, gates = layer(leaves[0], tuple(leaves[1 : 1 + len(state)]), return_gates=True, **keywords)
    found = {"y": y, **{f"last {k}": s for k, s in enumerate(last)}, **gates}
    generator = torch.Generator().manual_seed(5)
    d = [torch.randn(v.shape, generator=generator) for v in found.values()]
    gradients = torch.autograd.grad(list(found.values()), leaves, d, allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        again, last = layer(x, state, **keywords)
    found |= {"y alone": again, **{f"last {k} alone": s for k, s in enumerate(last)}}
    return {k: v.detach() for k, v in found.items()} | {f"d {k}": d for k, d in enumerate(gradients)}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_cho", "tlstm", "mingru"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int16"])
def test_packed_and_masked_give_the_same(cell: str, precision: Any, lengths: list[int], reset: bool) -> None:
    torch.manual_seed(1)
    inputs = HIDDEN if cell == "tlstm" else INPUT
    layer = ifog.Recurrent(cell, inputs, HIDDEN, 2, bidirectional=True, precision=precision, batch_first=True)
    assert layer.packing_obstacle(gates=True) == ""
    x = torch.randn(BATCH, 13, inputs)
    state = tuple(torch.randn_like(s) for s in layer.initial_state(BATCH))
    keywords = {"lengths": torch.tensor(lengths), "reset": torch.rand(BATCH, 13) < 0.2 if reset else None}
    ours = results(layer, x, state, **keywords)
    theirs = results(masked(layer), x, state, **keywords)
    tolerance = {"fp32": 2e-5, "bf16": 4e-2, "int16": 3e-3}[precision]  # other sums, then rounded
    for name, value in theirs.items():
        scale = max(1.0, float(value.abs().max()))
        assert float((ours[name] - value).abs().max()) <= tolerance * scale, name


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [2, 40, 90])  # threads share columns, or are dealt the rows
def test_threads_change_nothing(threads: int, batch: int) -> None:
    layer = ifog.LSTM(INPUT, 40)
    generator = torch.Generator().manual_seed(2)
    x, state = torch.randn(30, batch, INPUT, generator=generator), (torch.zeros(1, batch, 40),) * 2
    lengths = torch.randint(0, 31, (batch,), generator=generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        ours = results(layer, x, state, lengths=lengths)
    finally:
        torch.set_num_threads(before)
    for name, value in results(masked(layer), x, state, lengths=lengths).items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_packed_sequence_is_run_as_it_is(kind: str, ordered: bool) -> None:
    torch.manual_seed(3)
    ours, theirs = getattr(ifog, kind)(5, 8, 2, bidirectional=True), getattr(nn, kind)(5, 8, 2, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    lengths = torch.tensor([9, 6, 6, 1] if ordered else [3, 9, 1, 6])
    packed = pack_padded_sequence(torch.randn(9, 4, 5), lengths, enforce_sorted=ordered)
    h = torch.randn(4, 4, 8)
    found: list[list[Tensor]] = []
    for layer in (ours, theirs):
        data = packed.data.clone().requires_grad_()
        y, last = layer(PackedSequence(data, *packed[1:]), (h, h / 2) if kind == "LSTM" else h)
        assert torch.equal(y.batch_sizes, packed.batch_sizes)
        found.append([y.data, *(last if kind == "LSTM" else (last,))])
        found[-1] += torch.autograd.grad(y.data.square().sum(), [data, *layer.parameters()])
    torch.testing.assert_close(*found)


def test_what_pads_is_never_read_and_nothing_comes_of_it() -> None:
    layer = ifog.Recurrent("lstm", 4, 6, bidirectional=True)
    lengths, x = torch.tensor([5, 2, 0, 7]), torch.randn(7, 4, 4)
    past = torch.arange(7).unsqueeze(1) >= lengths
    x[past] = torch.nan
    x.requires_grad_()
    y, last = layer(x, lengths=lengths)
    assert bool(y.isfinite().all())
    assert all(bool(s.isfinite().all()) for s in last)
    assert bool((y[past] == 0).all())
    dy = torch.randn_like(y)
    dy[past] = torch.nan
    (dx,) = torch.autograd.grad(y, x, dy)
    assert bool((dx[past] == 0).all())
    assert bool((dx[~past] != 0).all())


def test_token_ids_past_a_length_are_never_looked_up() -> None:
    layer = ifog.Recurrent("gru", None, 6, vocabulary=9)
    ids, lengths = torch.randint(9, (7, 3)), torch.tensor([7, 1, 4])
    other = torch.where(torch.arange(7).unsqueeze(1) < lengths, ids, 8)
    y = layer(ids, lengths=lengths)[0]
    assert torch.equal(y, layer(other, lengths=lengths)[0])
    torch.testing.assert_close(y, masked(layer)(ids, lengths=lengths)[0])


def test_a_reset_past_a_length_leaves_the_last_state_alone() -> None:
    layer, x = ifog.LSTM(4, 6), torch.randn(5, 2, 4)
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[3] = True
    for one in (layer, masked(ifog.LSTM(4, 6))):
        one.load_state_dict(layer.state_dict())
        last = one(x, lengths=torch.tensor([5, 2]), reset=reset)[1]
        torch.testing.assert_close(last[0][0, 1], layer(x[:2, 1:])[1][0][0, 0])


def test_full_lengths_cost_nothing_and_empty_ones_are_masked() -> None:
    layer, x = ifog.GRU(4, 6), torch.randn(5, 2, 4)
    assert extent(5, 2, x.device, torch.tensor([5, 5]), None).valid is None
    assert torch.equal(layer(x, lengths=torch.tensor([5, 5]))[0], layer(x)[0])
    y, last = layer(x, torch.ones(1, 2, 6), lengths=torch.tensor([0, 0]))
    assert bool((y == 0).all())
    assert bool((last == 1).all())


def test_why_sequences_are_not_packed_can_be_printed() -> None:
    assert ifog.LSTM(4, 6).packing_obstacle() == ""
    said = ifog.LSTM(4, 6, dtype=torch.float64).packing_obstacle()
    assert said.startswith("only the engine runs packed sequences; layer 0 is on symbolic")
    assert "float64" in said


def test_zoneout_and_one_mask_for_a_whole_sequence() -> None:
    layer = ifog.Recurrent(zoneout(get("lstm"), {"h": 0.3, "c": 0.1}), 4, 6).eval()
    x, lengths = torch.randn(7, 3, 4), torch.tensor([2, 7, 5])
    y = layer(x, lengths=lengths)[0]
    span = extent(7, 3, x.device, lengths, None)
    packing = Packing.of(lengths, 7)
    torch.testing.assert_close(y, masked(layer)(x, lengths=lengths)[0])
    layer = ifog.Recurrent(variational(get("lstm"), 0.5, 0.0), 4, 6)
    (mask,) = draw(layer.plans[0].graph, replace(span, packing=packing), torch.zeros(3, 6), True)
    assert mask.shape == (1, 14, 6)
    spread = packing.unpack(mask)
    for b, n in enumerate(map(int, lengths)):
        assert torch.equal(spread[:n, b], spread[:1, b].expand(n, 6))
    layer(x, lengths=lengths)[0].sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in layer.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rows_are_picked_and_their_gradients_put_back(dtype: torch.dtype) -> None:
    value = torch.randn(900, 64).to(dtype)[:, :33].requires_grad_()  # enough for several threads, and with gaps
    rows = torch.randperm(900)[:700]
    rows[::7] = -1
    back = torch.full((900,), -1)
    back[rows[rows >= 0]] = torch.arange(700)[rows >= 0]
    found = pick(value, rows, back)
    expected = torch.where(rows.unsqueeze(1) < 0, 0.0, value[rows])
    assert torch.equal(found, expected)
    d = torch.randn(700, 33).to(dtype)
    assert torch.equal(*(torch.autograd.grad(v, value, d)[0] for v in (found, expected)))
    if dtype == torch.float64:
        small = torch.randn(3, 2, dtype=dtype, requires_grad=True)
        arguments = (small, torch.tensor([2, -1, 0]), torch.tensor([2, -1, 0]))
        assert torch.autograd.gradgradcheck(pick, arguments)


def test_bf16_inference_gives_all_states_whole() -> None:
    layer, x = ifog.Recurrent("tlstm", 17, 17, precision="bf16"), torch.randn(5, 3, 17)
    with torch.no_grad():
        alone = layer(x)[1]
    for a, b in zip(alone, layer(x)[1], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("time_first", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_packed_rows_are_numbered_as_they_lie(lengths: list[int], time_first: bool) -> None:
    steps = 14
    order = torch.tensor(lengths).argsort(descending=True, stable=True).tolist()
    wanted = [
        t * len(lengths) + sequence if time_first else sequence * steps + t
        for t in range(max(lengths))
        for sequence in order
        if lengths[sequence] > t
    ]
    sizes = [sum(n > t for n in lengths) for t in range(max(lengths))]
    rows, back = numbers(torch.tensor(sizes), torch.tensor(order), steps, time_first=time_first)
    assert rows.tolist() == wanted
    assert back.tolist() == [wanted.index(row) if row in wanted else -1 for row in range(steps * len(lengths))]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "symbolic"])
def test_what_pads_ids_may_be_anything(backend: str, batch_first: bool) -> None:
    layer = ifog.Recurrent("gru", None, 6, vocabulary=9, backend=backend, batch_first=batch_first)
    ids, lengths = torch.randint(0, 9, (7, 3)), [7, 2, 4]
    padded = ids.clone()
    for k, length in enumerate(lengths):
        padded[length:, k] = -100
    found, wanted = (layer(v.T if batch_first else v, lengths=lengths) for v in (padded, ids))
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1].h, wanted[1].h)
    assert (padded == -100).sum() == 8  # the caller's own ids are left alone
    padded[1, 1] = -1
    with pytest.raises(ShapeError, match="token ids must be 0 to 8, got -1"):
        layer(padded.T if batch_first else padded, lengths=lengths)
