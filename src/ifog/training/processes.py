"""Run as one process, or as several that torchrun started.

Owns the set-up of Lightning Fabric and the few exchanges between processes. Takes what the environment says: an
ordinary start is one process, `torchrun --nproc-per-node 2` are two that share every batch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import Tensor

from ifog.errors import ConfigError
from ifog.kernels.backends import multiplying
from ifog.training.config import TrainingConfig

__all__ = ["Processes"]


def _numbers(config: TrainingConfig) -> dict[str, Any]:
    """What Fabric is told of the numbers that products multiply."""
    if config.precision != "int16-mixed":
        return {"precision": config.precision}
    from lightning_fabric.plugins import Precision

    class Integers(Precision):  # PyTorch has no such products: the C++ engine makes them
        def forward_context(self) -> AbstractContextManager[None]:
            return multiplying("int16")

    return {"plugins": Integers()}


class Processes:
    """The processes of one run.

    Attributes:
        fabric: Lightning Fabric, launched.
        rank: The number of this process.
        world: How many there are.

    Raises:
        ConfigError: A GPU is asked for where there is none.
    """

    def __init__(self, config: TrainingConfig) -> None:
        if config.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device is 'cuda', but PyTorch finds no GPU here; use 'cpu' or 'auto'.")
        # Here, for it loads torchmetrics and matplotlib, which takes longer than torch: only training waits.
        from lightning_fabric import Fabric

        on_gpu = config.device != "cpu" and torch.cuda.is_available()
        world = int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.fabric = Fabric(
            accelerator="cuda" if on_gpu else "cpu",
            devices=local,
            num_nodes=max(1, world // local),
            strategy="ddp" if world > 1 else "auto",
            **_numbers(config),
        )
        self.fabric.launch()
        self.rank: int = self.fabric.global_rank
        self.world: int = self.fabric.world_size

    @property
    def first(self) -> bool:
        """Whether this process writes, evaluates and reports."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes of each number; also keeps them in step."""
        if self.world == 1:
            return list(values)
        exchanged = torch.tensor(values, dtype=torch.float64, device=self.fabric.device)
        torch.distributed.all_reduce(exchanged)
        return cast("list[float]", exchanged.tolist())

    def wait(self) -> None:
        """Until every process is here."""
        self.sums([0.0])  # an empty exchange would not wait

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of each process, of one shape in all, on the CPU."""
        if self.world == 1:
            return [tensor.cpu()]
        own = tensor.to(self.fabric.device).contiguous()
        gathered = [torch.empty_like(own) for _ in range(self.world)]
        torch.distributed.all_gather(gathered, own)
        return [part.cpu() for part in gathered]
