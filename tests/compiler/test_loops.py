"""The loops of cells: what is kept for every step, in how much memory, and what is carried."""

from __future__ import annotations

import pytest

from ifog.compiler.loops import Loops, Options, lower
from ifog.compiler.planning import plan
from ifog.compiler.precision import PRECISIONS, Precision
from sample_cells import elman, gru_cho, gru_cudnn, indrnn, lstm, mgu, mingru, mut1

TRAIN, INFER = Options(train=True), Options(train=False)


def lowered(cell, options: Options = TRAIN, hidden_size: int = 8) -> Loops:
    return lower(plan(cell.trace(5, hidden_size), fused=True), options)


def test_an_lstm_trains_with_four_columns_for_each_unit_and_no_more() -> None:
    loops = lowered(lstm)
    assert loops.slots == (4 * 8,), "input products, then gates, then their cotangents: all in one place"
    assert loops.history[0] == "output"
    assert sorted((b.offset, b.width) for b in set(loops.blocks.values())) == [(0, 8), (8, 8), (16, 8), (24, 8)]


@pytest.mark.parametrize(
    ("cell", "columns"), [(elman, 1), (lstm, 4), (gru_cudnn, 5), (mgu, 4), (gru_cho, 5), (indrnn, 1), (mingru, 2)],
    ids=lambda v: getattr(v, "name", v),
)  # fmt: skip
def test_no_cell_keeps_more_than_this_for_each_unit_and_step(cell, columns: int) -> None:
    assert sum(lowered(cell).slots) <= columns * 8


@pytest.mark.parametrize("cell", [elman, lstm, gru_cudnn, mut1, indrnn], ids=lambda c: c.name)
def test_inference_keeps_input_products_alone(cell) -> None:
    loops = lowered(cell, INFER)
    products = loops.plan.sequences_of_products
    assert sum(loops.slots) == sum(loops.plan.graph.nodes[p].size for p in products)
    assert loops.backward is None
    assert loops.gradients is None
    assert loops.collected == {}


def test_blocks_of_a_slot_do_not_overlap_and_fill_it() -> None:
    for cell in (elman, lstm, gru_cudnn, gru_cho, mgu, mut1, mingru):
        loops = lowered(cell)
        for k, columns in enumerate(loops.slots):
            ends = 0
            for block in sorted({b for b in loops.blocks.values() if b.slot == k}, key=lambda b: b.offset):
                assert block.offset == ends
                ends += block.width
            assert ends == columns


def test_bf16_halves_what_products_read() -> None:
    loops = lowered(lstm, Options(train=True, precision="bf16"))
    assert all(loops.half)
    assert not any(lowered(lstm).half)


def test_gates_that_are_returned_are_written_by_the_forward_loop() -> None:
    p = plan(lstm.trace(5, 8), fused=True)
    gates = tuple(i for _, i in p.graph.names)
    loops = lower(p, Options(train=True, gates=gates))
    assert {("gate", g) for g in gates} <= {given.role for given in loops.forward.given}


@pytest.mark.parametrize(("options", "roles"), [
    (Options(train=True), set()),
    (Options(train=True, valid=True), {"valid"}),
    (Options(train=True, reset=True), {"reset"}),
    (Options(train=True, valid=True, reset=True), {"valid", "reset"}),
])  # fmt: skip
def test_lengths_and_resets_are_read_only_where_they_are_given(options: Options, roles: set[str]) -> None:
    loops = lowered(lstm, options)
    assert loops.backward is not None
    for code in (loops.forward, loops.backward):
        assert {g.role for g in code.given} & {"valid", "reset"} == roles


def test_the_same_request_is_lowered_once() -> None:
    p = plan(lstm.trace(5, 8), fused=True)
    assert lower(p, TRAIN) is lower(p, TRAIN)
    assert lower(p, TRAIN) is not lower(p, INFER)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_product_of_whole_tiles_never_writes_what_ended_sequences_carry(precision: Precision) -> None:
    written = {packed: _products_in_carried_places(Options(True, precision, packed=packed)) for packed in (False, True)}
    assert written[False], "the cotangent of h is a product in the place that carries it"
    assert bool(written[True]) is (precision == "fp32")


def _products_in_carried_places(options: Options) -> set[int]:
    code = lowered(lstm, options).backward
    assert code is not None
    return _product_outputs(code.words) & set(code.carried)


def _product_outputs(words: tuple[int, ...]) -> set[int]:
    """The places that products write to, as `Program::decode` in csrc/ifog/program.cpp reads them."""
    found: set[int] = set()
    at = 2 + 3 * words[1]  # bf16?, places of three words
    at += 1 + 2 * words[at]  # weights of two
    stages, at = words[at], at + 1
    for _ in range(stages):
        products, at = words[at], at + 1
        for _ in range(products):
            found.add(words[at])
            at += 3 + 3 * words[at + 2]  # operands of three
        segments, at = words[at], at + 1
        for _ in range(segments):
            at += 3 + 8 * words[at + 2]  # instructions of eight
    assert at == len(words)
    return found
