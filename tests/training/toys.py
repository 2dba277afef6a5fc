"""A small language task on PyTorch's own LSTM, for tests of the trainer. Run as a program, it trains in a directory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.data import Streams
from ifog.runs import RunDirectory
from ifog.training import Carry, FitResult, TrainingConfig, fit, seed_all

VOCABULARY = 11


def text(count: int = 700) -> np.ndarray:
    """Ids with something to learn: each depends on the two before it."""
    ids = [1, 2]
    while len(ids) < count:
        ids.append((3 * ids[-1] + ids[-2] + (len(ids) % 7 == 0)) % VOCABULARY)
    return np.array(ids, dtype=np.uint8)


class State(NamedTuple):
    h: Tensor
    c: Tensor


class Net(nn.Module):
    def __init__(self, hidden_size: int = 12, dropout: float = 0.2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, hidden_size)
        self.rnn = nn.LSTM(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, VOCABULARY)

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, State]:
        y, state = self.rnn(self.embedding(ids), state)
        return self.head(self.dropout(y)), State(*state)


class Language:
    """Streams over the text; the evaluation draws random numbers on purpose."""

    items = "tokens"

    def __init__(self, batch_size: int = 4, steps: int = 8) -> None:
        self.batch_size = batch_size
        self.steps = steps
        self.evaluations = 0

    def batches(self, rank: int, world: int) -> Streams:
        return Streams(text(), self.batch_size, self.steps, rank=rank, world=world)

    def loss(self, model: nn.Module, batch: Any, carry: Carry) -> tuple[Tensor, dict[str, Tensor | float], Carry]:
        logits, state = model(batch.inputs, None if batch.reset else carry)
        loss = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        hits = (logits.argmax(-1) == batch.targets).float().mean()
        return loss, {"accuracy": hits, "items": float(batch.inputs.numel())}, state

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        self.evaluations += 1
        assert not model.training
        torch.rand(5)
        np.random.rand(3)  # noqa: NPY002 - the trainer must put this generator back
        ids = torch.from_numpy(text(300).astype(np.int64))[:, None]
        logits, _ = model(ids[:-1])
        return {"loss": functional.cross_entropy(logits.flatten(0, 1), ids[1:].flatten()).item()}

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        return (metrics["loss"],)

    def sample(self, model: nn.Module) -> str | None:
        return f"sample {next(model.parameters()).sum().item()}"


def net(**options: Any) -> Net:
    torch.manual_seed(7)
    return Net(**options)


RESUMABLE = {
    "steps": 60,
    "learning_rate": 0.01,
    "log_every": 1,
    "evaluate_every": 20,
    "save_every": 4,
    "average": 0.9,
    "clipping": "mean_norm",
    "clip": 1.5,
    "smooth_start": 2.4,
    "device": "cpu",
}


def prepare(directory: str | Path) -> RunDirectory:
    """The run directory, made if there is none."""
    if not (Path(directory) / "config.json").exists():
        RunDirectory.create(directory).write_config({})
    return RunDirectory.open(directory)


def train(directory: str | Path, **changes: Any) -> FitResult:
    """Train in a directory, or go on there."""
    run = prepare(directory)
    dropout = float(changes.pop("dropout", 0.2))
    config = TrainingConfig.from_dict({**RESUMABLE, **changes})
    seed_all(config.seed)
    return fit(net(dropout=dropout), Language(), config, run)


def train_alone(directory: str) -> None:
    """As a process of its own does it: one thread, so that many can run side by side."""
    torch.set_num_threads(1)
    train(directory)


def figures(directory: str | Path) -> list[dict[str, Any]]:
    """The recorded figures that don't depend on the clock."""
    return [
        {key: value for key, value in record.items() if key not in ("seconds", "items_per_second")}
        for record in RunDirectory.open(directory).read_metrics()
    ]


if __name__ == "__main__":
    folder = Path(sys.argv[1])  # holds a prepared run for each of these
    train(folder / "two", dropout=0.0)
    train(folder / "straight", schedule="constant", steps=14)
    train(folder / "stopped", schedule="constant", steps=7)
    train(folder / "stopped", schedule="constant", steps=14)
