"""Fit the weights of a checkpoint to a model, or say exactly why they don't.

Takes named tensors and a model. Never writes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ifog.errors import RunError
from ifog.runs import RunDirectory, Which

__all__ = ["load_state", "load_weights"]

_SHOWN = 4


def load_weights(model: nn.Module, run: RunDirectory, which: Which = "best") -> int:
    """Load a run's weights, the averaged ones where it has them.

    Args:
        model: Of the run's architecture.
        run: Where the checkpoints are.
        which: The best or the last checkpoint; the last where no evaluation has found a best one yet.

    Returns:
        The step of the checkpoint.

    Raises:
        RunError: There is no checkpoint, it is damaged, or it belongs to another architecture.
    """
    checkpoint = run.load(which if run.has_checkpoint(which) else "last")
    load_state(model, checkpoint.tensors.get("model", {}), str(run.path))
    average = checkpoint.tensors.get("average", {})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in average:
                parameter.copy_(average[name])
    return checkpoint.step


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load parameters and buffers by name.

    Args:
        model: Changed in place, all or nothing.
        tensors: Of the checkpoint.
        source: Where they come from, for the message.

    Raises:
        RunError: Names or shapes differ; says which.
    """
    own: dict[str, Tensor] = model.state_dict()
    reshaped = [
        f"{name} (checkpoint {tuple(tensors[name].shape)}, model {tuple(tensor.shape)})"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    differences = {
        "missing in the checkpoint": [name for name in own if name not in tensors],
        "unexpected in the checkpoint": sorted(name for name in tensors if name not in own),
        "of another shape": reshaped,
    }
    if any(differences.values()):
        listed = "; ".join(f"{what}: {_some(names)}" for what, names in differences.items() if names)
        raise RunError(
            f"the checkpoint in {source} is of another architecture. {listed[0].upper() + listed[1:]}. "
            f"Build the model with the options in the run's config.json."
        )
    model.load_state_dict(dict(tensors))


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
