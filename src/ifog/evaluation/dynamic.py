"""Dynamic evaluation: the model goes on learning from the text it is judged on, after each part was judged.

Owns the two update rules and the return to the weights that the model came with. Takes a model and ids, gives
log-probabilities. Never lets a token be seen before it is judged, and never keeps what was learned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ifog.errors import ConfigError, DataError, TrainingError
from ifog.evaluation.scoring import RecurrentScorer, chunks, evaluating, score, vocabulary_size
from ifog.layers import detach_state

__all__ = ["DynamicScorer", "gradient_mean_squares"]


class DynamicScorer:
    """Judge a text chunk by chunk, and after each chunk step against its gradient.

    Plain, `theta -= learning_rate * g`, as Mikolov et al. (2010) do, where g is the gradient of the chunk's mean nats.
    With `mean_squares` Krause et al. (2018): `theta -= learning_rate * g / (sqrt(mean_squares) + epsilon)`.
    Both may draw the weights back to where they began: `decay` times the distance is added at each step, under the
    second rule scaled by sqrt(mean_squares) over its mean, at most to the whole distance. Gradients stop at a chunk's
    start.

    Args:
        model: As for `RecurrentScorer`; its weights are restored after each text, also after an error.
        learning_rate: Of the steps; choose it on a validation text.
        chunk: Time steps between updates.
        decay: Back to the first weights, 0 to 1.
        mean_squares: Of the gradients on the training text, by parameter, from `gradient_mean_squares`.
        epsilon: Keeps rarely used parameters from steps that are too large.
        start: The id read before the text; None: the first token has the probability 1 / V.

    Raises:
        ConfigError: A number is out of its range, or `mean_squares` lacks a parameter.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float,
        chunk: int = 5,
        decay: float = 0.0,
        mean_squares: Mapping[str, Tensor] | None = None,
        epsilon: float = 1e-3,
        start: int | None = None,
    ) -> None:
        if not 0 <= learning_rate < math.inf or not 0 <= decay <= 1 or not epsilon > 0:
            raise ConfigError(
                f"learning_rate is {learning_rate}, decay {decay} and epsilon {epsilon}; the first is at least 0, the "
                f"second from 0 to 1, the third above 0."
            )
        RecurrentScorer(model, chunk=chunk, start=start)  # checks the two
        self.model, self.chunk, self.start = model, chunk, start
        self._parameters = _learned(model)
        if mean_squares is not None and (missing := self._parameters.keys() - mean_squares.keys()):
            raise ConfigError(
                f"mean_squares lacks {min(missing)}; make it by gradient_mean_squares from this very model."
            )
        roots = None if mean_squares is None else {name: mean_squares[name].sqrt() for name in self._parameters}
        self._rates: dict[str, Tensor | float] = dict.fromkeys(self._parameters, learning_rate)
        self._decays: dict[str, Tensor | float] = dict.fromkeys(self._parameters, decay)
        if roots is not None:
            count = sum(root.numel() for root in roots.values())
            mean = sum(float(root.sum(dtype=torch.float64)) for root in roots.values()) / count
            self._rates = {name: learning_rate / (root + epsilon) for name, root in roots.items()}
            self._decays = {name: (decay * root / max(mean, 1e-38)).clamp(max=1.0) for name, root in roots.items()}
        self._decaying = decay > 0

    def log_prob(self, ids: NDArray[Any]) -> NDArray[np.float64]:
        """Natural log-probability of each token under the weights learned from the chunks before its own, shape (N,).

        Raises:
            DataError: An id is not one of the model's.
            TrainingError: The steps were so large that the loss is no number any more.
        """
        made = np.full(len(ids), -math.log(vocabulary_size(self.model)))
        first = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        state: Any = None
        try:
            with evaluating(self.model), torch.enable_grad():
                for part in chunks(self.model, ids, self.chunk, self.start):
                    log_prob, state = score(self.model, part, detach_state(state))
                    judged = log_prob.detach().double().cpu().numpy()
                    if not np.isfinite(judged).all():
                        raise TrainingError(
                            f"dynamic evaluation: the loss at token {part.begin} is no number; give a smaller "
                            f"learning_rate, for example a tenth."
                        )
                    made[part.begin : part.begin + len(judged)] = judged
                    self._step(-log_prob.mean(), first)
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(first[name])
        return made

    def _step(self, loss: Tensor, first: Mapping[str, Tensor]) -> None:
        gradients = _gradients(loss, self._parameters)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                change = -self._rates[name] * gradients[name]
                if self._decaying:
                    change += self._decays[name] * (first[name] - parameter)
                parameter += change


def gradient_mean_squares(
    model: nn.Module, ids: NDArray[Any], *, chunk: int = 5, start: int | None = None
) -> dict[str, Tensor]:
    """The mean square of each parameter's gradient over a training text's chunks, for `DynamicScorer`.

    Args:
        model: The model; its weights and its `.grad` are left as they are.
        ids: Some of the training text (N,).
        chunk: Time steps whose mean nats are differentiated; as in the evaluation.
        start: The id read before the text.

    Returns:
        For each parameter by name a tensor of its shape.

    Raises:
        DataError: The text is too short for a gradient.
    """
    parameters = _learned(model)
    sums = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    count, state = 0, None
    with evaluating(model), torch.enable_grad():
        for part in chunks(model, ids, chunk, start):
            log_prob, state = score(model, part, detach_state(state))
            for name, gradient in _gradients(-log_prob.mean(), parameters).items():
                sums[name] += gradient.square()
            count += 1
    if not count:
        raise DataError(f"a text of {len(ids)} tokens gives no gradient; give at least two tokens.")
    return {name: total / count for name, total in sums.items()}


def _learned(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _gradients(loss: Tensor, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Of each parameter; zero for one that the loss doesn't need."""
    found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
    return dict(zip(parameters, found, strict=True))
