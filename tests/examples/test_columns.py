"""Columns of numbers: kept, taken, put side by side, and refused when a file is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ifog.errors import DataError, RunError
from ifog.examples import Examples, Ragged

ROWS = [np.arange(6.0).reshape(3, 2), np.zeros((0, 2)), np.full((1, 2), 7.0)]


def made() -> Examples:
    return Examples({
        "series": Ragged.of(ROWS, np.float32, (2,)), "ids": Ragged.of([[1, 2], [3], []], np.uint16),
        "label": np.array([4, 5, 6]),
    })  # fmt: skip


def test_what_is_saved_is_what_is_opened(tmp_path: Path) -> None:
    made().save(tmp_path / "x.examples")
    opened = Examples.open(tmp_path / "x.examples")
    rows = np.arange(3)
    torch.testing.assert_close(opened.batch(rows), made().batch(rows), rtol=0, atol=0)
    assert len(opened) == 3
    assert isinstance(opened.columns["ids"], Ragged)
    assert opened.columns["ids"].values.dtype == np.uint16


def test_a_batch_is_padded_with_zeros_and_time_comes_first() -> None:
    batch = made().batch(np.array([2, 0]))
    assert batch["series"].shape == (3, 2, 2)
    assert batch["series"].dtype == torch.float32
    assert batch["series"][:, 0].tolist() == [[7, 7], [0, 0], [0, 0]]
    assert batch["series"][:, 1].tolist() == ROWS[0].tolist()
    assert batch["series_lengths"].tolist() == [1, 3]
    assert batch["ids"].dtype == torch.int64
    assert batch["label"].tolist() == [6, 4]


def test_taken_rows_keep_their_order() -> None:
    taken = made().take(np.array([2, 0]))
    assert taken.columns["label"].tolist() == [6, 4]  # type: ignore[union-attr]
    assert [row.tolist() for row in (taken.columns["ids"][0], taken.columns["ids"][1])] == [[], [1, 2]]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"'a': 2, 'b': 1"):
        Examples({"a": np.zeros(2), "b": np.zeros(1)})


@pytest.mark.parametrize("damage", ["cut", "offsets", "missing"])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.examples"
    if damage == "offsets":
        bad = Ragged(np.arange(4), np.array([0, 3, 2, 4]))
        Examples({"ids": bad}).save(path)
    elif damage == "cut":
        made().save(path)
        path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunError, match=r"x\.examples"):
        Examples.open(path)
