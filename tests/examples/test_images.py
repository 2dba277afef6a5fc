"""Digits pixel by pixel."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.images import read_idx, read_pixels

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx(path: Path, array: np.ndarray, code: int = 8) -> Path:
    content = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_images_become_series_in_any_order(tmp_path: Path) -> None:
    path = idx(tmp_path / "t-images-idx3-ubyte.gz", IMAGES)
    idx(tmp_path / "t-labels-idx1-ubyte.gz", np.array([7, 1], np.uint8))
    table = read_pixels(path)
    assert table.columns["label"] == ["7", "1"]
    assert table.columns["series"][1].tolist() == [[i] for i in range(12, 24)]
    order = np.arange(12)[::-1].copy()
    assert read_pixels(path, order).columns["series"][0].ravel().tolist() == list(range(11, -1, -1))


def test_other_types_are_read_as_they_are(tmp_path: Path) -> None:
    array = np.array([[1.5, -2.0]], ">f4")
    assert read_idx(idx(tmp_path / "x", array, 13)).tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize("damage", ["cut", "magic", "gzip", "labels"])
def test_damaged_files_are_clear_errors(tmp_path: Path, damage: str) -> None:
    path = idx(tmp_path / "t-images-idx3-ubyte.gz", IMAGES)
    idx(tmp_path / "t-labels-idx1-ubyte.gz", np.array([7] if damage == "labels" else [7, 1], np.uint8))
    if damage == "cut":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-1]))
    elif damage == "magic":
        path.write_bytes(gzip.compress(b"PNG..."))
    elif damage == "gzip":
        path.write_bytes(b"no")
    with pytest.raises(DataError, match="t-images"):
        read_pixels(path)
