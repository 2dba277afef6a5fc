"""Generation on the C++ engine: no Python per token.

Owns the question whether a model can be run so, and the pieces in which tokens come out. Takes a model and a state,
gives tokens. Never decides how a token is chosen.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ifog.errors import ShapeError
from ifog.kernels.generation import Choosing, Generation, Head, Layer, Tokens, runs
from ifog.layers.stack import Stack
from ifog.layers.streaming import watched
from ifog.models import LanguageModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ifog.generation.sampling import Sampling

__all__ = ["obstacle", "tokens"]

AT_ONCE = 256  # tokens between two looks at Python: at that moment Ctrl-C is heard, too
LONGEST = 0.01  # seconds, about

_log = logging.getLogger("ifog.generation")


def obstacle(model: nn.Module) -> str:
    """What keeps the engine from generating with a model, or nothing."""
    reason = _obstacle(model)
    _log.debug("generation runs on %s", f"PyTorch, step by step: {reason}" if reason else "the engine")
    return reason


def _obstacle(model: nn.Module) -> str:
    if not isinstance(model, LanguageModel) or type(model).forward is not LanguageModel.forward:
        return "the model is no LanguageModel"
    layers = model.recurrent
    if type(layers).forward is not Stack.forward or layers.bidirectional:
        return "its layers are none that run one step at a time"
    for layer, plan in enumerate(layers.plans):
        choice = layers.choice(layer)
        if choice.backend != "cpu":
            return f"its layers run on {choice.backend}: {choice.reason}"
        if not runs(plan.graph):
            return f"cell {plan.graph.name} has a matrix that multiplies a constant"
    if any(w.dtype != torch.float32 or w.device.type != "cpu" for w in model.parameters()):
        return "not all weights are fp32 on the CPU"
    if any(watched(m) for m in model.modules()):
        return "a hook wants to see each step"
    if model.embedding is not None and (type(model.embedding) is not nn.Embedding or model.embedding.max_norm):
        return "its embedding is none of the plain kind"
    return "autocast is on" if torch.is_autocast_enabled("cpu") else ""


@torch.no_grad()
def prepare(model: LanguageModel, state: Any, batch: int, sampling: Sampling, length: int) -> Generation:
    """A model's layers, packed, in the state that `state` tells."""
    layers = model.recurrent
    weight = model.output_matrix.detach().contiguous()
    states = layers.first_states(batch, weight) if state is None else layers.unpack(state, batch, True)
    parameters = [
        {name: w.detach() for name, w in layers.cell_parameters(layer, 0).items()} for layer in range(len(layers.plans))
    ]
    embedding = None if model.embedding is None else model.embedding.weight.detach().contiguous()
    return Generation(
        [Layer(plan.graph, w) for plan, w in zip(layers.plans, parameters, strict=True)],
        Tokens(model.config.vocabulary_size, embedding),
        Head(weight, model.b_y.detach().contiguous()),
        [[s.detach() for s in one] for one in states],
        Choosing(sampling.temperature, sampling.top_k or 0, sampling.top_p, sampling.greedy),
        precision=layers.precision,
        length=length,
    )


def tokens(
    model: LanguageModel,
    read: Tensor,
    ended: Tensor,
    state: Any,
    length: int,
    *,
    sampling: Sampling,
    generator: torch.Generator,
    endings: Sequence[int],
) -> Iterator[Tensor]:
    """Yield the next token of each sequence, as `ifog.generation.generate` does.

    Args:
        model: One without `obstacle`.
        read: (B,) the tokens that are read first.
        ended: (B,) bool: sequences that have ended.
        state: The state before `read`.
        length: How many tokens to make.
        sampling: How to choose.
        generator: Where chance comes from.
        endings: Tokens that end a sequence.

    Raises:
        ShapeError: `read` holds what is no token.
        RuntimeError: The model's scores are infinite or no numbers.
    """
    size = model.config.vocabulary_size
    if read.is_floating_point() or not 0 <= int(read.min()) <= int(read.max()) < size:
        raise ShapeError(
            f"generation: the prime holds {read.tolist()}, but token ids are whole numbers from 0 to {size - 1}"
        )
    generation = prepare(model, state, len(read), sampling, length)
    last, stopped = read.to(torch.int64, copy=True), ended.to(torch.uint8, copy=True)
    chances = torch.empty(0, len(read), dtype=torch.float64)
    made, count = 0, 1
    while made < length:
        if not len(chances):  # always as many at once: how fast they are used must not matter
            chances = torch.rand(AT_ONCE, len(read), dtype=torch.float64, generator=generator)
        count = min(count, length - made, len(chances))
        begin = time.perf_counter()
        found = generation.run(last, stopped, chances[:count], endings)
        if found is None:
            raise RuntimeError("sampling: the model's scores are infinite or no numbers, so no token can be drawn")
        took = time.perf_counter() - begin
        yield from found.unbind()
        if len(found) < count:
            return
        made += count
        chances = chances[count:]
        count = count * 2 if took < LONGEST else max(1, count // 2)
