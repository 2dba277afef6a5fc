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
from ifog.compiler.planning import plan
from ifog.compiler.precision import PRECISIONS, Precision
from ifog.kernels import available, backends
from programs import build, programs

pytestmark = pytest.mark.skipif(not available(), reason="the engine is not built")

CELLS = int(os.environ.get("IFOG_EXAMPLES", "250"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_engine_agrees_with_the_reference_on_random_cells(precision: Precision) -> None:
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
