"""Build optimisers, and turn their state into named tensors and back.

Owns which parameters decay, and how PyTorch's optimisers are set up. Never steps one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, AdamW, Optimizer, RMSprop

from ifog.errors import RunError
from ifog.training.config import TrainingConfig

__all__ = ["build_optimizer", "load_optimizer", "optimizer_tensors"]


def build_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """The optimiser of a configuration, with weight decay on matrices alone.

    Adagrad starts its sum of squares at 1e-8 and adds nothing else, which makes its update that of the lectures'
    program, `p += -rate * g / sqrt(sum(g * g) + 1e-8)`.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    others = [p for p in trained if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": parameters, "weight_decay": decay}
        for parameters, decay in ((matrices, config.weight_decay), (others, 0.0))
        if parameters
    ]
    rate = config.learning_rate
    on_cpu = all(p.device.type == "cpu" for p in trained)
    match config.optimizer:
        case "adamw":  # fused: one pass over the weights, 2 to 6 times faster than the other forms on a CPU
            return AdamW(groups, lr=rate, betas=(config.beta1, config.beta2), fused=True)
        case "sgd":
            return SGD(groups, lr=rate, momentum=config.momentum, fused=True)
        case "rmsprop":
            return RMSprop(groups, lr=rate, alpha=config.beta2)
        case "adagrad":  # the fused form exists on the CPU alone
            return Adagrad(groups, lr=rate, initial_accumulator_value=1e-8, eps=0.0, fused=on_cpu or None)


def optimizer_tensors(optimizer: Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state, as "parameter/entry" to tensor."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{entry}": value if isinstance(value, Tensor) else torch.tensor(value)
        for parameter, entries in optimizer.state.items()
        for entry, value in entries.items()
        if value is not None
    }


def load_optimizer(optimizer: Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises:
        RunError: The tensors belong to other parameters.
    """
    parameters = dict(model.named_parameters())
    state: dict[Tensor, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None or (tensor.ndim and tensor.shape != parameter.shape):
            raise RunError(
                f"the optimiser's state in the checkpoint has {key!r} of shape {tuple(tensor.shape)}, which fits no "
                f"parameter of this model; resume with the architecture and the optimiser of the run."
            )
        # PyTorch keeps the count of steps on the CPU unless the update is fused on a GPU.
        device = torch.device("cpu") if tensor.ndim == 0 and not optimizer.defaults.get("fused") else parameter.device
        state.setdefault(parameter, {})[entry] = tensor.to(device, copy=True)
    optimizer.state.update(state)
