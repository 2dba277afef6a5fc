"""Random cells and shapes: the engine agrees with the reference on every one, in both precisions.

A thousand of them: IFOG_EXAMPLES=1000 pytest tests/kernels/test_cpu_random.py
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from hypothesis import given, note, settings
from hypothesis import strategies as st

from agreement import assert_agrees, case
from ifog.compiler import passes
from ifog.compiler.loops import lower
from ifog.compiler.planning import plan
from ifog.compiler.precision import PRECISIONS, Precision
from ifog.kernels import available, backends
from programs import build, programs

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

CELLS = int(os.environ.get("IFOG_EXAMPLES", "250"))


@pytest.fixture
def small_matrices(monkeypatch: pytest.MonkeyPatch):
    """Rows of few numbers are walked as matrices, which only long ones are otherwise."""
    monkeypatch.setattr(passes, "SMALLEST", 2)
    monkeypatch.setattr(passes, "NARROWEST", 2)
    lower.cache_clear()
    yield
    lower.cache_clear()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_so_it_does_where_rows_are_walked_as_matrices(precision: Precision, small_matrices: None) -> None:
    _check_random_cells(precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_engine_agrees_with_the_reference_on_random_cells(precision: Precision) -> None:
    _check_random_cells(precision)


def _check_random_cells(precision: Precision) -> None:
    seen: set[Any] = set()
    refused: dict[str, int] = {}
    flags = st.booleans()

    @settings(max_examples=CELLS)
    @given(programs(), st.integers(1, 5), st.sampled_from([1, 2, 3, 17, 33]), flags, flags, flags, st.integers(0, 99))
    def check(program: Any, steps: int, batch: int, valid: bool, reset: bool, gates: bool, seed: int) -> None:
        graph = build(program).trace(program.input_size, 3)
        note(str(graph))
        choice = backends.choose(plan(graph), gates=gates)
        if choice.backend != "cpu":
            refused[choice.reason] = refused.get(choice.reason, 0) + 1
            return
        it = case(graph, steps, batch, valid=valid, reset=reset, gates=gates, seed=seed)
        assert_agrees(it, precision=precision)
        seen.add(program)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        check()
    finally:
        torch.set_num_threads(before)
    assert len(seen) > 0.4 * CELLS, refused
