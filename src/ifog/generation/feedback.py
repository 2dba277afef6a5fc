"""What a model makes of its own output: the token it drew, the likeliest one, or the whole softmax.

Owns the loop, its record, and the picture of entropy over steps: the lectures' question what happens when the softmax
vector is fed back. Takes a model, gives the entropy of every step. Never makes text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ifog.errors import ConfigError, DataError
from ifog.generation.sampling import primed
from ifog.layers import Recurrent
from ifog.models import LanguageModel, MaxentModel, WindowModel

__all__ = ["FED", "Fed", "Feedback", "compare_feedback", "draw_feedback", "feed_back", "feed_softmax_back"]

Fed = Literal["sample", "argmax", "softmax"]
FED: tuple[Fed, ...] = ("sample", "argmax", "softmax")
# Told apart without colours too: by dashes, and by name at the line's end
STYLES = {"sample": ("#0072b2", "-"), "argmax": ("#d55e00", "--"), "softmax": ("#009e73", "-.")}


class Feedback(NamedTuple):
    """What was seen.

    Attributes:
        entropy: Of the distribution at each step, in nats (length,).
        likeliest: The likeliest token at each step (length,).
    """

    entropy: Tensor
    likeliest: Tensor


@torch.no_grad()
def feed_back(
    model: Any,
    prime: Tensor,
    length: int,
    fed: Fed,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    state: Any = None,
) -> Feedback:
    """Let a model go on from a prime, reading at each step what `fed` makes of its distribution.

    A drawn token tells the model what was decided. The likeliest leads it into a loop, since a state that comes again
    is followed by the same again. The whole softmax, which is the mean of all inputs weighted by their
    probabilities, leaves everything open: no input that training ever showed. The entropy tells what comes of each.

    Args:
        model: An `ifog.models.NextTokenModel`, in evaluation mode. For "softmax" one with an `embedding`, or a
            `LanguageModel` that reads ids themselves: a one-hot vector is replaced by the softmax then.
        prime: (T, 1) ids that are read first; at least one.
        length: Steps to make.
        fed: "sample", "argmax" or "softmax".
        temperature: What the scores are divided by before the softmax, whose entropy is told.
        seed: Of the samples.
        state: The model's state before the prime.

    Raises:
        ConfigError: A model that can't read a softmax, a temperature or length that is not positive, or an empty prime.
    """
    if not 0 < temperature < float("inf") or length < 1 or not len(prime):
        raise ConfigError(
            f"softmax feedback: temperature {temperature} and length {length} must be above 0, and the prime not empty."
        )
    generator = torch.Generator(prime.device).manual_seed(seed)
    entropy: list[Tensor] = []
    likeliest: list[Tensor] = []
    read = _reader(model, fed)
    scores, state = model(prime, state)
    for step in range(length):
        log_share = (scores[-1, 0].float() / temperature).log_softmax(-1)  # (V,)
        share = log_share.exp()
        entropy.append(-(share * log_share.clamp_min(-1e4)).sum())
        likeliest.append(log_share.argmax())
        if step + 1 == length:
            break
        if fed == "softmax":
            scores, state = read(share, state)
        else:
            token = likeliest[-1] if fed == "argmax" else share.multinomial(1, generator=generator)
            scores, state = model(token.view(1, 1), state)
    return Feedback(torch.stack(entropy), torch.stack(likeliest))


def feed_softmax_back(
    model: Any, prime: Tensor, length: int, *, temperature: float = 1.0, state: Any = None
) -> Feedback:
    """`feed_back` of the whole softmax.

    Examples:
        >>> model = LanguageModel(5, hidden_size=4, embedding_size=3).eval()
        >>> seen = feed_softmax_back(model, torch.zeros(2, 1).long(), 6)
        >>> tuple(seen.entropy.shape), bool((seen.entropy <= torch.tensor(5.0).log() + 1e-6).all())
        ((6,), True)
    """
    return feed_back(model, prime, length, "softmax", temperature=temperature, state=state)


def compare_feedback(
    model: LanguageModel, prime: str = "", length: int = 500, *, temperature: float = 1.0, seed: int = 0
) -> dict[Fed, Feedback]:
    """What `feed_back` sees for each of `FED`, after the same prompt.

    Args:
        model: With a `.tokenizer`, in evaluation mode.
        prime: Text that is read first; an empty one is a line break, where the vocabulary has it.
        length: Steps to make.
        temperature: What the scores are divided by.
        seed: Of the samples.

    Raises:
        ConfigError: As `feed_back`, or a model without a tokenizer.
        DataError: The prime holds a character the model has never seen.
    """
    ids, _ = primed(model, prime)
    read = torch.tensor(ids, dtype=torch.int64, device=next(model.parameters()).device).unsqueeze(1)
    return {fed: feed_back(model, read, length, fed, temperature=temperature, seed=seed) for fed in FED}


def draw_feedback(seen: Mapping[Fed, Feedback], vocabulary_size: int, path: str | Path) -> None:
    """Draw entropy over steps, each way to feed back as a running mean over the steps themselves.

    Args:
        seen: What `compare_feedback` gave.
        vocabulary_size: V.
        path: The picture; the name's ending tells the format.

    Raises:
        DataError: The name's ending is no picture's.
        OSError: The file can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axis = figure.subplots()
    for fed, found in seen.items():
        colour, dashes = STYLES[fed]
        entropy = found.entropy.double().cpu().numpy()
        width = max(1, len(entropy) // 20)
        steps = np.arange(1, len(entropy) + 1)
        axis.plot(steps, entropy, color=colour, linewidth=0.8, alpha=0.3)
        means = np.convolve(entropy, np.full(width, 1 / width), "valid")
        middles = steps[: len(means)] + (width - 1) / 2
        axis.plot(middles, means, dashes, color=colour, linewidth=2, label=f"{fed} fed back, mean of {width} steps")
    axis.axhline(float(torch.tensor(vocabulary_size).log()), color="grey", linestyle=":", label="all equally likely")
    axis.set_xlabel("step")
    axis.set_ylabel("entropy of the next token, nats")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(framealpha=0.7)
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:
        raise DataError(f"{path}: {error}. Name a picture such as entropy.png.") from error


Read = Callable[[Tensor, Any], tuple[Tensor, Any]]


def _reader(model: Any, fed: Fed) -> Read:
    """What reads a distribution (V,) in place of a token, and gives scores (1, 1, V) and the next state."""
    embedding: nn.Module | None = getattr(model, "embedding", None)
    if fed != "softmax":
        return model
    if isinstance(model, LanguageModel) and embedding is None:
        return _one_hot_reader(model)
    if embedding is None or isinstance(model, MaxentModel | WindowModel):
        raise ConfigError(
            f"softmax feedback: {type(model).__name__} has no embedding of its one input that a mean of all could "
            "replace; take a recurrent model or a Transformer, or feed back the sample or the argmax."
        )
    return _mean_reader(model, embedding)


def _one_hot_reader(model: LanguageModel) -> Read:
    """Layers with the same weights that take vectors of V numbers: a one-hot one would give what its id gives."""
    own = model.recurrent
    layers = Recurrent(
        own.cell,
        model.config.vocabulary_size,
        own.hidden_size,
        len(own.plans),
        precision=own.precision,
        backend=own.backend,
        **own.options,
    )
    layers.load_state_dict(own.state_dict())
    layers.to(model.output_matrix.device).eval()

    def read(share: Tensor, state: Any) -> tuple[Tensor, Any]:
        vectors, state = layers(share.view(1, 1, -1), state)
        return functional.linear(vectors, model.output_matrix, model.b_y), state

    return read


def _mean_reader(model: Any, embedding: nn.Module) -> Read:
    """The model itself, whose embedding gives the mean of all its vectors while a distribution is read."""
    device = next(embedding.parameters()).device
    vectors = embedding(torch.arange(model.config.vocabulary_size, device=device))  # (V, D)
    nothing = torch.zeros(1, 1, dtype=torch.int64, device=device)

    def read(share: Tensor, state: Any) -> tuple[Tensor, Any]:
        mean = (share.to(vectors.dtype) @ vectors).view(1, 1, -1)

        def replaced(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            return mean

        hook = embedding.register_forward_hook(replaced)
        try:
            return model(nothing, state)
        finally:
            hook.remove()

    return read
