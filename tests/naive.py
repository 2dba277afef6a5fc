"""Recurrences written out by hand, one step after the other: what the compiler is held against.

Owns Elman's network, the LSTM, both forms of the GRU and MUT1 as loops of plain PyTorch that autograd differentiates.
Takes tensors and parameters by name, gives outputs and last states. Shares no code with the compiler, and never will.

Each function takes the input `x` (T, B, D), the first states (each (B, H)), the parameters, and two optional masks
(T, B, 1): where `valid` is False the state stays and the output is zero, and where `reset` is True the state goes back
to its start before the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Parameters = Mapping[str, Tensor]
States = tuple[Tensor, ...]
Step = Callable[[Tensor, States, Parameters], States]


def elman(x: Tensor, states: States, p: Parameters, valid: Tensor | None = None, reset: Tensor | None = None):
    """Elman (1990)."""
    return _run(_elman, x, states, p, valid, reset)


def lstm(x: Tensor, states: States, p: Parameters, valid: Tensor | None = None, reset: Tensor | None = None):
    """Hochreiter and Schmidhuber (1997), with Gers's forget gate (2000)."""
    return _run(_lstm, x, states, p, valid, reset)


def gru_cudnn(x: Tensor, states: States, p: Parameters, valid: Tensor | None = None, reset: Tensor | None = None):
    """The GRU that resets after the product: its recurrent bias is inside the reset."""
    return _run(_gru_cudnn, x, states, p, valid, reset)


def gru_cho(x: Tensor, states: States, p: Parameters, valid: Tensor | None = None, reset: Tensor | None = None):
    """The GRU of Cho et al. (2014): it resets the state before the product."""
    return _run(_gru_cho, x, states, p, valid, reset)


def mut1(x: Tensor, states: States, p: Parameters, valid: Tensor | None = None, reset: Tensor | None = None):
    """MUT1 of Jozefowicz et al. (2015)."""
    return _run(_mut1, x, states, p, valid, reset)


def _run(step: Step, x: Tensor, first: States, p: Parameters, valid: Tensor | None, reset: Tensor | None):
    states, outputs = first, []
    for t in range(len(x)):
        if reset is not None:
            states = tuple(torch.where(reset[t], a, b) for a, b in zip(first, states, strict=True))
        after = step(x[t], states, p)
        y = after[0]
        if valid is not None:
            after = tuple(torch.where(valid[t], a, b) for a, b in zip(after, states, strict=True))
            y = y * valid[t]
        states = after
        outputs.append(y)
    return (torch.stack(outputs) if outputs else x.new_zeros(0, x.shape[1], first[0].shape[1])), states


def _elman(x: Tensor, states: States, p: Parameters) -> States:
    (h,) = states
    return (torch.tanh(x @ p["W_xh"].T + h @ p["W_hh"].T + p["b_h"]),)


def _lstm(x: Tensor, states: States, p: Parameters) -> States:
    h, c = states
    i = torch.sigmoid(x @ p["W_xi"].T + h @ p["W_hi"].T + p["b_i"])
    f = torch.sigmoid(x @ p["W_xf"].T + h @ p["W_hf"].T + p["b_f"])
    o = torch.sigmoid(x @ p["W_xo"].T + h @ p["W_ho"].T + p["b_o"])
    g = torch.tanh(x @ p["W_xg"].T + h @ p["W_hg"].T + p["b_g"])
    c = f * c + i * g
    return o * torch.tanh(c), c


def _gru_cudnn(x: Tensor, states: States, p: Parameters) -> States:
    (h,) = states
    r = torch.sigmoid(x @ p["W_xr"].T + h @ p["W_hr"].T + p["b_r"])
    z = torch.sigmoid(x @ p["W_xz"].T + h @ p["W_hz"].T + p["b_z"])
    n = torch.tanh(x @ p["W_xn"].T + p["b_n"] + r * (h @ p["W_hm"].T + p["b_m"]))
    return ((1 - z) * n + z * h,)


def _gru_cho(x: Tensor, states: States, p: Parameters) -> States:
    (h,) = states
    r = torch.sigmoid(x @ p["W_xr"].T + h @ p["W_hr"].T + p["b_r"])
    z = torch.sigmoid(x @ p["W_xz"].T + h @ p["W_hz"].T + p["b_z"])
    n = torch.tanh(x @ p["W_xn"].T + (r * h) @ p["W_hn"].T + p["b_n"])
    return (z * h + (1 - z) * n,)


def _mut1(x: Tensor, states: States, p: Parameters) -> States:
    (h,) = states
    z = torch.sigmoid(x @ p["W_xz"].T + p["b_z"])
    r = torch.sigmoid(x @ p["W_xr"].T + h @ p["W_hr"].T + p["b_r"])
    inside = x @ p["W_xin"].T if "W_xin" in p else x
    n = torch.tanh((r * h) @ p["W_hn"].T + torch.tanh(inside) + p["b_n"])
    return (n * z + h * (1 - z),)
