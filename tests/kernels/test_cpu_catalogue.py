"""The engine against the reference, cell by cell: values and every gradient, at awkward sizes."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import torch

from agreement import Case, assert_agrees, case
from ifog import cells
from ifog.cells import catalogue, layer_normalized, residual, variational, weight_dropped, zoneout
from ifog.compiler.graph import Graph
from ifog.compiler.precision import PRECISIONS, Precision
from ifog.errors import CellError
from ifog.kernels import available, engine

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

NAMES = sorted(catalogue.CATALOGUE)
SAMPLE = ["lstm", "gru", "gru_cho", "mut1", "nas", "mingru", "recurrent_highway", "delta_net"]
ISAS = engine().isas() if available() else []
SIZES = [(5, 6, 4, 3), (17, 33, 3, 2), (8, 1, 5, 1), (1, 17, 1, 17), (3, 8, 2, 60)]


def graph_of(name: str, input_size: int, hidden_size: int, **options: Any) -> Graph:
    try:
        return cells.get(name).trace(input_size, hidden_size, **options)
    except CellError:  # its state is as wide as its input
        return cells.get(name).trace(hidden_size, hidden_size, **options)


def drawn(name: str, sizes: tuple[int, int, int, int], **options: bool) -> Case:
    """A case of its own for each name and size."""
    seed = zlib.crc32(f"{name} {sizes}".encode()) % 1000
    return case(graph_of(name, *sizes[:2]), *sizes[2:], seed=seed, **options)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_all_gradients_are_those_of_the_reference(name: str) -> None:
    for sizes in SIZES:
        assert_agrees(drawn(name, sizes), sizes)
        assert_agrees(drawn(name, sizes), sizes, train=False)


@pytest.mark.parametrize("name", NAMES)
def test_lengths_resets_and_gates_change_nothing_of_that(name: str) -> None:
    for sizes in SIZES[:3]:
        assert_agrees(drawn(name, sizes, valid=True, gates=True), sizes)
        assert_agrees(drawn(name, sizes, reset=True), sizes)
        assert_agrees(drawn(name, sizes, valid=True, reset=True, gates=True), sizes)
    assert_agrees(drawn(name, (5, 6, 4, 3), valid=True, reset=True), train=False)


@pytest.mark.parametrize("precision", ["bf16", "int16"])
@pytest.mark.parametrize("name", NAMES)
def test_all_are_as_near_as_rounding_what_enters_products_allows(name: str, precision: Precision) -> None:
    assert_agrees(drawn(name, (5, 6, 4, 3)), precision=precision)
    assert_agrees(drawn(name, (17, 33, 3, 8), valid=True, reset=True, gates=True), precision=precision)
    assert_agrees(drawn(name, (17, 33, 3, 8)), precision=precision, train=False)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", SAMPLE)
def test_every_instruction_set_gives_the_same(
    name: str, isa: str, precision: Precision, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    monkeypatch.setenv("IFOG_ISA", isa)
    for sizes in [(17, 33, 3, 8), (16, 130, 3, 2), (3, 40, 2, 50)]:
        assert_agrees(drawn(name, sizes, valid=True, reset=True), sizes, precision=precision)


def test_an_instruction_set_that_is_not_there_is_an_error_that_lists_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IFOG_ISA", "abacus")
    with pytest.raises(ValueError, match="'abacus'.*portable"):
        assert_agrees(drawn("lstm", (5, 6, 4, 3)))


@pytest.mark.parametrize("name", [*SAMPLE, "lstm_peephole", "irnn", "sru", "matrix_lstm"])
@pytest.mark.parametrize("sizes", [(9, 131, 5, 1), (9, 160, 5, 2), (4, 130, 3, 3), (3, 40, 4, 50), (3, 33, 3, 77)])
def test_two_threads_that_share_columns_or_rows_give_what_one_gives(
    name: str, sizes: tuple[int, int, int, int], two_threads: None
) -> None:
    if name in ("matrix_lstm", "delta_net") and sizes[1] > 40:
        sizes = (sizes[0], 12, *sizes[2:])  # their states are squares
    assert_agrees(drawn(name, sizes), sizes)
    assert_agrees(drawn(name, sizes, valid=True, reset=True, gates=True), sizes)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [n for n in SAMPLE if n != "delta_net"])
def test_token_ids_pick_columns_and_get_gradients_there(name: str, precision: Precision) -> None:
    for sizes in [(7, 6, 4, 3), (64, 17, 3, 2)]:
        assert_agrees(drawn(name, sizes, tokens=True), sizes, precision=precision)
        assert_agrees(drawn(name, sizes, tokens=True, valid=True, reset=True), sizes, precision=precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["lstm", "gru_cho", "mingru", "recurrent_highway"])
@pytest.mark.parametrize(
    "transform", [layer_normalized, residual, variational, weight_dropped, zoneout], ids=lambda t: t.__name__
)
def test_transformed_cells_and_their_masks_agree(transform: Any, name: str, precision: Precision) -> None:
    if (transform, name) == (weight_dropped, "mingru"):
        pytest.skip("it multiplies no state by a matrix")
    changed = transform(cells.get(name)).trace(5, 12)
    assert_agrees(case(changed, 4, 9, seed=1), precision=precision)
    assert_agrees(case(changed, 4, 9, seed=2, valid=True, reset=True, gates=True), precision=precision)
