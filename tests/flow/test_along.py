"""Gradients recorded while a model learns: the right curves, kept through a stop, and training untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ifog
from ifog.errors import RunError
from ifog.flow.along import FILE, draw_along, read_along, watch_gradients
from ifog.flow.gradients import gradient_norms
from ifog.flow.reach import windows
from ifog.runs import RunDirectory
from ifog.tasks.building import text_of
from ifog.training import SilentProgress, Status

TEXT = "".join(f"{number} green bottles hanging on the wall,\n" for number in range(60))
TINY: dict[str, Any] = {
    "hidden_size": 6, "embedding_size": 4, "batch_size": 2, "sequence": 8, "steps": 12, "evaluate_every": 4,
}  # fmt: skip


def test_the_curves_are_those_of_the_weights_at_each_evaluation(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", watch=watch_gradients, **TINY)
    curves = read_along(run.path)
    assert [curve.step for curve in curves] == [0, 4, 8, 12]
    ids = text_of(RunDirectory.open(run.path)).validation
    found = gradient_norms(ifog.load(run, "last"), 100, sequences=8, inputs=windows(ids, 100, 8))
    np.testing.assert_allclose(curves[-1].norms, found.quantiles()[1], rtol=1e-9)
    assert not np.allclose(curves[0].norms, curves[-1].norms)
    assert len(draw_along({"run": curves}).axes) == 1


def test_looking_on_changes_nothing_and_a_stop_loses_nothing(tmp_path: Path) -> None:
    class Impatient(SilentProgress):
        def logged(self, status: Status) -> None:
            if status.step == 6:
                import signal

                signal.raise_signal(signal.SIGINT)

    options = {**TINY, "dropout": 0.2, "log_every": 6}
    plain = ifog.train(text=TEXT, out=tmp_path / "plain", **options)
    cut = ifog.train(text=TEXT, out=tmp_path / "cut", watch=watch_gradients, progress=Impatient(), **options)
    assert cut.interrupted
    ifog.resume(cut, watch=watch_gradients)
    assert [curve.step for curve in read_along(cut.path)] == [0, 4, 8, 12]
    one, two = (ifog.load(path, "last").state_dict() for path in (plain.path, cut.path))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_was_not_recorded_or_is_damaged_is_said(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT, out=tmp_path / "run", **TINY)
    with pytest.raises(RunError, match="train with --gradients"):
        read_along(run.path)
    (run.path / FILE).write_text('{"step": 1}\n')
    with pytest.raises(RunError, match=r"gradients\.jsonl can't be read"):
        read_along(run.path)
