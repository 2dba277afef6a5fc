"""Whether something follows a computation that the engine would hide from it.

Owns the questions to PyTorch, for which it has no public names. Takes nothing or cotangents, gives yes or no.
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor, peek_interpreter_stack
from torch.autograd import forward_ad

__all__ = ["batched", "followed"]


def followed() -> bool:
    """Whether every operator must be seen: by torch.func, a tracer, fake tensors, or forward differentiation."""
    return (
        peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_tracing()
        or forward_ad._current_level >= 0
    )


def batched(cotangents: Iterable[Tensor | None]) -> bool:
    """Whether several cotangents come as one, as `is_grads_batched` gives them."""
    return any(d is not None and is_legacy_batchedtensor(d) for d in cotangents)
