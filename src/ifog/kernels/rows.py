"""Pick rows out of a matrix, or zeros, as one differentiable operation.

Owns the way between padded and packed sequences, whose rows stand in another order. Takes tensors and numbers of rows,
gives tensors. Never learns what a row means.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ifog.kernels.cpu import allocate
from ifog.kernels.loading import loaded_engine

__all__ = ["numbers", "pick"]


def pick(value: Tensor, rows: Tensor, back: Tensor) -> Tensor:
    """`value[rows]`, with zeros where a number is negative.

    Args:
        value: `(M, n)` on the CPU.
        rows: `(N,)` int64; none but negative numbers may come twice.
        back: `(M,)` likewise: which row of the result each row of `value` became, negative: none.
    """
    return cast("Tensor", _Pick.apply(value, rows, back))


def numbers(sizes: Tensor, order: Tensor, steps: int, *, time_first: bool = True) -> tuple[Tensor, Tensor]:
    """Where the rows of packed sequences lie among padded ones, `T * B` rows, or `B * T` of them.

    Args:
        sizes: How many sequences each step has, int64, none more than the step before.
        order: Which sequence each row of a step is, `(B,)` int64.
        steps: Of the padded tensor (T), at least as many as `sizes` has.
        time_first: Whether the padded rows of a step, not those of a sequence, follow one another.

    Returns:
        For each packed row its padded one, and for each padded row its packed one, negative where there is none.
    """
    batch = len(order)
    rows, back = (torch.empty(n, dtype=torch.int64, device="cpu") for n in (int(sizes.sum()), steps * batch))
    loaded_engine().number_rows(
        sizes.data_ptr(), len(sizes), order.data_ptr(), *((batch, 1) if time_first else (1, steps)),
        rows.data_ptr(), back.data_ptr(), len(back),
    )  # fmt: skip
    return rows, back


class _Pick(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, rows: Tensor, back: Tensor) -> Tensor:
        ctx.rows, ctx.back = rows, back
        value = value if value.stride(-1) == 1 or value.shape[-1] == 1 else value.contiguous()
        out = allocate((len(rows), value.shape[1]), value.dtype)
        size = value.element_size()
        loaded_engine().pick_rows(
            out.data_ptr(), value.data_ptr(), value.stride(0) * size, value.shape[1] * size,
            rows.data_ptr(), len(rows), torch.get_num_threads(),
        )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> Any:
        return pick(d[0], ctx.back, ctx.rows), None, None
