"""What matrix products multiply: floats as they are, rounded to bf16, or as 16-bit integers with shared scales.

Owns the names and the rounding; the C++ engine does the same in csrc/isa. Takes tensors, gives tensors of their type.
Sums, states and elementwise operations are never rounded.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["GROUP", "PRECISIONS", "Precision", "rounded_rows", "rounded_weights"]

Precision = Literal["fp32", "bf16", "int16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)  # in the order of csrc/ifog/kernels.hpp

GROUP = 64  # neighbouring numbers that share a scale, as in csrc/ifog/kernels.hpp
_LARGEST_ROW, _LARGEST_WEIGHT = 8191, 4095  # such that a group's sum of products fits 32 bits
_NEGLIGIBLE = 1e-30


def rounded_rows(value: Tensor, precision: Precision) -> Tensor:
    """What a product's operand `(..., n)` becomes; token ids stay."""
    return _rounded(value, precision, _LARGEST_ROW)


def rounded_weights(matrix: Tensor, precision: Precision) -> Tensor:
    """What a product's matrix `(columns, n)` becomes."""
    return _rounded(matrix, precision, _LARGEST_WEIGHT)


def _rounded(value: Tensor, precision: Precision, largest: int) -> Tensor:
    if precision == "fp32" or not value.is_floating_point():
        return value
    if precision == "bf16":
        return value.to(torch.bfloat16).to(value.dtype)
    return value + (_in_units(value.detach(), largest) - value.detach())  # rounding has the derivative 1


def _in_units(value: Tensor, largest: int) -> Tensor:
    """Whole numbers of units, of which the largest magnitude of each group has `largest`; a group with a NaN is NaN."""
    width = value.shape[-1]
    padded = torch.nn.functional.pad(value, (0, -width % GROUP))
    groups = padded.view(*value.shape[:-1], -1, GROUP)
    most = groups.abs().amax(-1, keepdim=True)
    some = most > _NEGLIGIBLE
    scale = torch.where(most.isfinite(), torch.where(some, most / largest, 0.0), torch.nan)
    units = (groups / torch.where(some, scale, 1.0)).round()
    return (units * scale).flatten(-2)[..., :width]
