"""One step at a time without the cost of a sequence: weights stay packed from call to call.

Owns what is remembered of each layer between calls of `step`, and for how long: until a weight is another tensor or was
changed in place, as autograd counts changes. Takes a layer, an input and a state; gives the output and the state.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ifog.kernels.generation import Layer, Stream, runs
from ifog.kernels.loading import instruction_set

if TYPE_CHECKING:
    from ifog.layers.stack import Stack

__all__ = ["step", "watched"]

_streams: WeakKeyDictionary[Any, tuple[Hashable, Stream]] = WeakKeyDictionary()


def step(stack: Stack, x: Tensor, state: Any) -> tuple[Tensor, Any] | None:
    """The output `(B, P)` and the next state; None where a sequence of one step has to do it.

    Args:
        stack: Layers that read in one direction.
        x: (B, D), or ids (B,): checked.
        state: As the layer returned it, or None.
    """
    own = vars(stack)
    weights = list[Tensor](stack.parameters() if own["_modules"] else own["_parameters"].values())
    if not _can(stack, weights, x):
        return None
    batch = len(x)
    key = (
        batch, stack.precision, torch.get_num_threads(), instruction_set(),
        tuple((w.data_ptr(), w._version, w.stride()) for w in weights),
    )  # fmt: skip
    # taken out while it is in use: another thread makes its own
    known, stream = _streams.pop(stack, (None, None))
    if stream is None or known != key:
        layers = [Layer(p.graph, stack.cell_parameters(k, 0)) for k, p in enumerate(stack.plans)]
        stream = Stream(layers, batch, stack.vocabulary, half=stack.precision == "bf16")
    states = stack.first_states(batch, weights[0]) if state is None else stack.unpack(state, batch, True)
    states = [tuple(s if s.stride(-1) == 1 else s.contiguous() for s in one) for one in states]
    packed = [x.new_empty(len(states), batch, n, dtype=torch.float32) for n in stack.plans[0].graph.state_sizes]
    made = [tuple(p[k] for p in packed) for k in range(len(states))]
    output = stream.step(x, states, made)
    _streams[stack] = (key, stream)
    return output, stack.pack(made, True)


def watched(module: nn.Module) -> bool:
    """Whether a hook wants to see every call of a module."""
    return any(vars(module)[kind] for kind in ("_forward_hooks", "_forward_pre_hooks"))


def _can(stack: Stack, weights: list[Tensor], x: Tensor) -> bool:
    """Whether the engine runs every layer, and nothing wants derivatives, chance or a look at a sequence."""
    if not weights or torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    if stack.training and any(p.graph.masks or any(w.dropout for w in p.graph.parameters) for p in stack.plans):
        return False
    if (stack.training and stack.dropout) or watched(stack) or not len(x):
        return False
    if any(w.is_inference() or w.dtype != torch.float32 for w in weights):
        return False
    return all(stack.choice(k).backend == "cpu" and runs(p.graph) for k, p in enumerate(stack.plans))
