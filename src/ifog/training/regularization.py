"""Penalise the recurrent matrices of a model, and nothing else.

Owns which parameters are recurrent: those named W_h... or weight_hh..., whatever module they are in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ifog.errors import ConfigError
from ifog.training.config import TrainingConfig

__all__ = ["RecurrentPenalty", "recurrent_matrices"]


def recurrent_matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """The matrices that multiply a recurrent state, by name."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[2].startswith(("W_h", "weight_hh")) and parameter.ndim == 2
    }


class RecurrentPenalty:
    """The penalty of a configuration.

    Raises:
        ConfigError: A penalty is asked for, and the model has no recurrent matrix.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self._l2 = config.recurrent_l2
        self._orthogonal = config.recurrent_orthogonal
        self.active = self._l2 > 0 or self._orthogonal > 0
        self._matrices = list(recurrent_matrices(model).values())
        if self.active and not self._matrices:
            raise ConfigError(
                "recurrent_l2 or recurrent_orthogonal is given, but the model has no recurrent matrix "
                "(no parameter is named W_h... or weight_hh...); set both to 0."
            )

    def __call__(self) -> Tensor:
        """The penalty to add to the loss, a scalar."""
        total = self._matrices[0].new_zeros(())
        for matrix in self._matrices:
            if self._l2:
                total = total + self._l2 * matrix.square().sum()
            if self._orthogonal:
                total = total + self._orthogonal * _distance_from_orthogonal(matrix)
        return total


def _distance_from_orthogonal(matrix: Tensor) -> Tensor:
    """||W'W - I||^2, summed over the gates where square matrices are stacked (H rows each)."""
    rows, columns = matrix.shape
    gates = matrix.view(-1, columns, columns) if rows % columns == 0 else matrix.unsqueeze(0)
    gram = gates.transpose(1, 2) @ gates
    identity = torch.eye(columns, device=matrix.device, dtype=matrix.dtype)
    return (gram - identity).square().sum()
