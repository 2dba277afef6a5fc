"""Pictures of digits as sequences, pixel after pixel.

Owns the reading of IDX files, the format of MNIST. Takes paths, gives arrays and tables.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ifog.errors import DataError
from ifog.examples.plain import bytes_of
from ifog.examples.tables import Table

__all__ = ["read_idx", "read_pixels"]

_AXES = 8  # at most: images have three
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | Path) -> NDArray[np.generic]:
    """The array of an IDX file, unpacked if its name ends in .gz.

    Raises:
        DataError: no IDX file, or one of another length than its header says.
    """
    content = bytes_of(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise DataError(f"{path} is no IDX file: it begins with {content[:4].hex()!r}; give e.g. MNIST's files.")
    axes = content[3]
    if not 1 <= axes <= _AXES:
        raise DataError(f"{path}: its header says {axes} axes; give 1 for labels, 3 for images.")
    shape = np.frombuffer(content, ">u4", min(axes, (len(content) - 4) // 4), 4)
    data = content[4 + 4 * axes :]
    kind = np.dtype(_TYPES[content[2]])
    if len(shape) < axes or len(data) != math.prod(shape.tolist()) * kind.itemsize:
        raise DataError(f"{path}: {len(data)} bytes of values don't fill the shape {shape.tolist()}; fetch it anew.")
    return np.frombuffer(data, kind).reshape(shape)


def read_pixels(images: str | Path, order: NDArray[np.int64] | None = None) -> Table:
    """Images as series of one pixel a step, row after row, with the digits they show.

    Args:
        images: a file called ...images-idx3-ubyte; the labels are looked for beside it.
        order: in which order pixels are read (rows * columns,), the same for every image; None: as they lie.

    Returns:
        Columns "series" (T, 1) of bytes, and "label".

    Raises:
        DataError: a file missing or damaged, or images and labels of different numbers.
    """
    answers = Path(images).with_name(Path(images).name.replace("images", "labels").replace("idx3", "idx1"))
    pictures, labels = read_idx(images), read_idx(answers)
    if len(pictures) != len(labels):
        raise DataError(f"{images} has {len(pictures)} images, but {answers} {len(labels)} labels; fetch them anew.")
    if pictures.ndim < 2 or labels.ndim != 1 or not pictures.size:
        raise DataError(f"{images}: images of shape {pictures.shape} and labels of shape {labels.shape} are no pairs.")
    flat = pictures.reshape(len(pictures), -1)
    series = list((flat if order is None else flat[:, order])[:, :, None])
    places = [(str(images), i) for i in range(1, len(flat) + 1)]
    return Table({"series": series, "label": [str(x) for x in labels]}, places)
