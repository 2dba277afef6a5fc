"""How far back cells and runs reach: gradients and memory, measured together for a table or a picture.

Owns which text a run is measured on, and how it is cut into sequences. Takes names and run directories, gives
measurements by name. The measuring itself is that of `gradient_flow` and `memory_length`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifog.data import Corpus
from ifog.errors import ConfigError, DataError
from ifog.flow.gradients import Flow, measure_flow
from ifog.flow.memory_length import MemoryCurve, measure_memory
from ifog.flow.pictures import draw_decay
from ifog.inspection.texts import encode
from ifog.runs import RunDirectory
from ifog.tasks.building import text_of
from ifog.tasks.language import load
from ifog.tracking import tracked

__all__ = ["measure_reach", "save_picture", "windows"]

Files = str | os.PathLike[str]


def measure_reach(
    cells: Sequence[str],
    runs: Sequence[Files] = (),
    texts: Sequence[Files] = (),
    *,
    memory: bool = True,
    past: Literal["zero", "other"] = "zero",
    unknown: str | None = None,
    steps: int = 200,
    sequences: int = 16,
    hidden_size: int = 64,
    tokens: int = 1000,
    seed: int = 0,
) -> tuple[dict[str, Flow], dict[str, MemoryCurve]]:
    """The gradients of cells and runs by lag, and the runs' losses by how much of the past is kept.

    Args:
        cells: Names in the catalogue; they get fresh weights and random inputs.
        runs: Run directories; they read text.
        texts: Files that all runs read; none: each its own validation text.
        memory: Whether the runs' memory is measured.
        past: What the state is where a past is cut off; see `measure_memory`.
        unknown: What becomes of characters of the texts that a run doesn't know; None refuses them, "" leaves them out.
        steps: T, the steps of a sequence.
        sequences: B.
        hidden_size: H of the cells.
        tokens: How many are judged for the memory.
        seed: Of weights, inputs and losses.

    Returns:
        Both by the cell's name or the run's path as it was given.

    Raises:
        ConfigError: Neither cells nor runs, or a number out of its range.
        CellError: An unknown cell.
        RunError: No run, a damaged one, or weights that are not finite.
        DataError: A text that can't be read, is too short, or holds unknown characters.
    """
    if not cells and not runs:
        raise ConfigError("gradients: nothing to measure; name cells (--cells elman,lstm) or a run (--run runs/NAME).")
    flows: dict[str, Flow] = {}
    memories: dict[str, MemoryCurve] = {}
    for cell in tracked(cells, "measuring"):
        flows[cell] = measure_flow(cell, steps, sequences=sequences, hidden_size=hidden_size, seed=seed)
    content = "".join(Corpus.from_files([os.fspath(text) for text in texts]).texts()) if texts else None
    for run in tracked(runs, "measuring"):
        model: Any = load(run)
        ids: NDArray[Any] = (
            text_of(RunDirectory.open(run)).validation if content is None else encode(model.tokenizer, content, unknown)
        )
        inputs = windows(ids, steps, sequences)
        name = os.fspath(run)
        flows[name] = measure_flow(model, steps, sequences=sequences, inputs=inputs, seed=seed)
        if memory:
            memories[name] = measure_memory(model, ids, tokens=tokens, past=past)
    return flows, memories


def windows(ids: NDArray[Any], steps: int, sequences: int) -> Tensor:
    """Stretches (T, B) of a text, spread evenly over it; in a short text they overlap.

    Raises:
        DataError: The text is shorter than one stretch.

    Examples:
        >>> windows(np.arange(10), 4, 3).tolist()
        [[0, 3, 6], [1, 4, 7], [2, 5, 8], [3, 6, 9]]
    """
    if len(ids) < steps:
        raise DataError(
            f"gradients: the text has {len(ids)} tokens, but gradients are to go back through {steps}; give a longer "
            "text or fewer steps."
        )
    starts = np.linspace(0, len(ids) - steps, max(1, sequences)).astype(np.int64)
    return torch.from_numpy(np.stack([np.asarray(ids[i : i + steps], dtype=np.int64) for i in starts], 1))


def save_picture(flows: Mapping[str, Flow], memories: Mapping[str, MemoryCurve], target: Files) -> None:
    """Draws what `measure_reach` gave into a file, whose ending tells its format.

    Raises:
        ConfigError: An ending that no picture has.
    """
    path = Path(target)
    try:
        draw_decay(flows, memories).savefig(path, dpi=100)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}. Name a picture such as gradients.png.") from error
