"""Keep the generators of random numbers of PyTorch, NumPy and Python in step with a checkpoint.

Owns seeding, and turning their states into tensors and back. Draws nothing.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor

__all__ = ["capture", "preserved", "restore", "seed_all"]


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and PyTorch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - users' code may draw from the global generator
    torch.manual_seed(seed)


def capture() -> dict[str, Tensor]:
    """The states of all generators as tensors on the CPU."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    _, words, python_gauss = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.array([*keys, position, has_gauss], dtype=np.int64)),
        "numpy_gauss": torch.tensor([gauss], dtype=torch.float64),
        "python": torch.tensor(words, dtype=torch.int64),
        "python_gauss": torch.tensor([python_gauss is not None, python_gauss or 0.0], dtype=torch.float64),
    }
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore(states: Mapping[str, Tensor]) -> None:
    """Put the generators where `capture` found them."""
    torch.set_rng_state(states["torch"])
    words = cast("list[int]", states["numpy"].tolist())
    keys, position, has_gauss = np.array(words[:-2], dtype=np.uint32), words[-2], words[-1]
    np.random.set_state(("MT19937", keys, position, has_gauss, states["numpy_gauss"].item()))  # noqa: NPY002
    python = cast("list[int]", states["python"].tolist())
    has_python_gauss, python_gauss = cast("list[float]", states["python_gauss"].tolist())
    random.setstate((3, tuple(python), python_gauss if has_python_gauss else None))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


@contextmanager
def preserved() -> Generator[None, None, None]:
    """Whatever is drawn inside, the generators go on afterwards as if nothing was."""
    states = capture()
    try:
        yield
    finally:
        restore(states)
