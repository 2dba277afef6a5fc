"""`--min-char-rnn` against the lectures' program, written here by hand in NumPy and double precision."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ifog
from ifog.runs import RunDirectory
from ifog.tasks import language
from ifog.tasks.prediction import MinCharRNN

Array = NDArray[np.float64]
TEXT = "the quick brown fox jumps over the lazy dog; " * 30 + "pack my box with five dozen liquor jugs. " * 15
ALPHABET = sorted(set(TEXT))
UPDATES = 200


class Program:
    """Elman cell, softmax, backpropagation by hand, Adagrad.

    Args:
        weights: W_xh (H, V), W_hh (H, H), b_h (H,), W_hy (V, H), b_y (V,).
    """

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights = weights
        self.memory = {name: np.zeros_like(w) for name, w in weights.items()}

    def loss_and_gradients(
        self, inputs: list[int], targets: list[int], h: Array
    ) -> tuple[float, dict[str, Array], Array]:
        w = self.weights
        states, chances, loss = [h], [], 0.0
        for token, target in zip(inputs, targets, strict=True):
            states.append(np.tanh(w["W_xh"][:, token] + w["W_hh"] @ states[-1] + w["b_h"]))
            scores = w["W_hy"] @ states[-1] + w["b_y"]
            chance = np.exp(scores - scores.max())
            chances.append(chance / chance.sum())
            loss -= float(np.log(chances[-1][target]))
        gradients = {name: np.zeros_like(weight) for name, weight in w.items()}
        later = np.zeros_like(h)
        for t in reversed(range(len(inputs))):
            scores = chances[t].copy()
            scores[targets[t]] -= 1
            gradients["W_hy"] += np.outer(scores, states[t + 1])
            gradients["b_y"] += scores
            inside = (w["W_hy"].T @ scores + later) * (1 - states[t + 1] ** 2)
            gradients["b_h"] += inside
            gradients["W_xh"][:, inputs[t]] += inside
            gradients["W_hh"] += np.outer(inside, states[t])
            later = w["W_hh"].T @ inside
        return loss, {name: g.clip(-5, 5) for name, g in gradients.items()}, states[-1]

    def update(self, gradients: dict[str, Array]) -> None:
        for name, gradient in gradients.items():
            self.memory[name] += gradient**2
            self.weights[name] -= 0.1 * gradient / np.sqrt(self.memory[name] + 1e-8)


def chunks(tokens: list[int], length: int) -> Iterator[tuple[list[int], list[int], bool]]:
    """Inputs, targets, and whether the state starts anew."""
    position, first = 0, True
    while True:
        reset = first or position + length + 1 >= len(tokens)
        position, first = (0 if reset else position), False
        yield tokens[position : position + length], tokens[position + 1 : position + length + 1], reset
        position += length


def by_role(state: dict[str, torch.Tensor]) -> dict[str, Array]:
    """The model's tensors under the lectures' names."""
    arrays = {n.removeprefix("recurrent.").removesuffix("_l0"): t.numpy().copy() for n, t in state.items()}
    assert set(arrays) == {"W_xh", "W_hh", "b_h", "W_hy", "b_y"}
    return arrays


class Recorded(NamedTuple):
    """Weights and state before each update, and what was logged after it."""

    weights: list[dict[str, Array]]
    states: list[Array]
    losses: list[float]
    smooth: list[float]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """200 updates in double precision."""
    weights: list[dict[str, Array]] = []
    states: list[Array] = []
    fit, loss = language.fit, MinCharRNN.loss

    def in_double(model: torch.nn.Module, *arguments: Any, **options: Any) -> Any:
        return fit(model.double(), *arguments, **options)

    def watched(task: MinCharRNN, model: torch.nn.Module, batch: Any, carry: Any) -> Any:
        weights.append(by_role(model.state_dict()))
        states.append(np.zeros(100) if carry is None or batch.reset else carry[0].flatten().numpy().copy())
        return loss(task, model, batch, carry)

    monkeypatch.setattr(language, "fit", in_double)
    monkeypatch.setattr(MinCharRNN, "loss", watched)
    ifog.train(text=TEXT, min_char_rnn=True, steps=UPDATES, log_every=1, evaluate_every=UPDATES, out=tmp_path / "run")
    records = [r for r in RunDirectory.open(tmp_path / "run").read_metrics() if r["kind"] == "train"]
    return Recorded(weights, states, [r["loss"] for r in records], [r["smooth_loss"] for r in records])


def test_it_starts_where_the_lectures_program_starts(recorded: Recorded) -> None:
    first, vocabulary = recorded.weights[0], len(ALPHABET)
    assert first["W_xh"].shape == (100, vocabulary)
    for name in ("W_xh", "W_hh", "W_hy"):
        assert first[name].std() == pytest.approx(0.01, rel=0.05)
        assert abs(first[name].mean()) < 0.001
    assert not first["b_h"].any()
    assert not first["b_y"].any()
    assert recorded.losses[0] == pytest.approx(25 * np.log(vocabulary), rel=1e-3)


def test_every_one_of_200_updates_is_the_lectures_programs(recorded: Recorded) -> None:
    # Each update is compared from the weights and the state that it began with. Adagrad's first updates move every
    # weight by 0.1, however small its gradient, so that differences in the last digit grow tenfold every few updates:
    # two exact copies of the program drift apart, and only single updates can be compared for long.
    tokens = [ALPHABET.index(character) for character in TEXT]
    oracle = Program(recorded.weights[0])
    smooth, resets, clipped = np.log(len(ALPHABET)) * 25, 0, False
    for update, (inputs, targets, reset) in enumerate(itertools.islice(chunks(tokens, 25), UPDATES)):
        oracle.weights = {name: weight.copy() for name, weight in recorded.weights[update].items()}
        resets += reset
        assert reset == (not recorded.states[update].any())
        loss, gradients, h = oracle.loss_and_gradients(inputs, targets, recorded.states[update])
        smooth = 0.999 * smooth + 0.001 * loss
        assert recorded.losses[update] == pytest.approx(loss, rel=1e-9)
        assert recorded.smooth[update] == pytest.approx(smooth, rel=1e-9)
        oracle.update(gradients)
        clipped |= any(np.abs(gradient).max() == 5 for gradient in gradients.values())
        if update + 1 < UPDATES:
            for name, weight in oracle.weights.items():
                np.testing.assert_allclose(recorded.weights[update + 1][name], weight, rtol=0, atol=1e-8)
            if recorded.states[update + 1].any():
                np.testing.assert_allclose(recorded.states[update + 1], h, rtol=0, atol=1e-8)
    assert resets == 3  # the pointer went back to the start twice
    assert clipped
    assert recorded.losses[-1] < 0.5 * recorded.losses[0]


def test_left_to_itself_it_goes_the_way_of_the_lectures_program(recorded: Recorded) -> None:
    tokens = [ALPHABET.index(character) for character in TEXT]
    oracle = Program({name: weight.copy() for name, weight in recorded.weights[0].items()})
    h = np.zeros(100)
    for update, (inputs, targets, reset) in enumerate(itertools.islice(chunks(tokens, 25), 20)):
        loss, gradients, h = oracle.loss_and_gradients(inputs, targets, np.zeros(100) if reset else h)
        oracle.update(gradients)
        assert recorded.losses[update] == pytest.approx(loss, rel=1e-4)


def test_the_lectures_options_are_the_preset_and_others_still_count(tmp_path: Path) -> None:
    ifog.train(text=TEXT, min_char_rnn=True, steps=1, hidden_size=7, out=tmp_path / "run")
    config = RunDirectory.open(tmp_path / "run").config
    assert config["model"]["hidden_size"] == 7
    assert config["model"]["cell"] == "elman"
    chosen = {name: config["options"][name] for name in ("optimizer", "learning_rate", "clipping", "clip", "sequence")}
    assert chosen == {"optimizer": "adagrad", "learning_rate": 0.1, "clipping": "value", "clip": 5.0, "sequence": 25}
