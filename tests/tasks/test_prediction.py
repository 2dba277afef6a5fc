"""Figures of a language model, and next-token prediction as a task."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ifog.data import ByteTokenizer, CharTokenizer, StreamBatch
from ifog.errors import ConfigError, DataError
from ifog.models import LanguageModel
from ifog.tasks import prediction
from ifog.tasks.prediction import MinCharRNN, NextToken, WholePasses, figures

LETTERS = CharTokenizer("abcdefghij")


def naive_figures(model: nn.Module, ids: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean nats and accuracy, one token after the other."""
    nats, right, state = 0.0, 0, None
    for now, following in itertools.pairwise(ids):
        logits, state = model(torch.tensor([[int(now)]]), state)
        row = logits[0, 0].double().log_softmax(0)
        nats -= float(row[int(following)])
        right += int(row.argmax()) == following
    return nats / (len(ids) - 1), right / (len(ids) - 1)


@pytest.mark.parametrize("length", [2, 3, 51, 120])
def test_figures_are_those_of_one_pass_with_the_state_carried(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "CHUNK", 50)
    model = LanguageModel(10, hidden_size=5).eval()
    ids = np.random.default_rng(0).integers(0, 10, length).astype(np.uint8)
    found = figures(model, ids, LETTERS)
    with torch.no_grad():
        loss, accuracy = naive_figures(model, ids)
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(loss / math.log(2), rel=1e-6)


def test_a_long_text_is_read_in_parallel_streams_without_losing_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "STREAM", 100)
    ids = np.random.default_rng(0).integers(0, 10, 357).astype(np.uint8)
    seen: list[int] = []

    class Even(nn.Module):
        weight = nn.Parameter(torch.zeros(1))

        def parameters(self, recurse: bool = True) -> Any:
            return iter([self.weight])

        def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, None]:
            seen.append(inputs.size(1))
            return torch.zeros(*inputs.shape, 10), state

    found = figures(Even(), ids, LETTERS)
    assert set(seen) == {3}
    assert found["loss"] == pytest.approx(math.log(10))


def test_bits_per_character_count_characters_even_where_tokens_are_bytes() -> None:
    text = "äöü€" * 20
    ids = ByteTokenizer().encode(text)
    model = LanguageModel(256, hidden_size=4).eval()
    found = figures(model, ids, ByteTokenizer())
    assert found["bits_per_character"] == pytest.approx(found["loss"] / math.log(2) * len(ids) / len(text))


def test_an_evaluation_of_one_token_says_what_is_missing() -> None:
    with pytest.raises(DataError, match="1 tokens"):
        figures(LanguageModel(10, hidden_size=4), np.zeros(1, dtype=np.uint8), LETTERS)


def task(length: int = 400, **changes: Any) -> NextToken:
    ids = np.random.default_rng(1).integers(0, 10, length).astype(np.uint8)
    chosen = {"train": ids, "validation": ids, "tokenizer": LETTERS, "batch_size": 2, "sequence": 5, **changes}
    return NextToken(**chosen)


def test_the_loss_is_the_mean_over_the_chunk_and_honours_resets() -> None:
    model = LanguageModel(10, hidden_size=4)
    job = task()
    batch = next(iter(job.batches(0, 1)))
    loss, metrics, carry = job.loss(model, batch, None)
    logits, state = model(batch.inputs)
    picked = logits.log_softmax(-1).gather(-1, batch.targets.unsqueeze(-1))
    torch.testing.assert_close(loss, -picked.mean())
    torch.testing.assert_close(tuple(carry), tuple(state))
    assert metrics["items"] == 10
    again, _, _ = job.loss(model, StreamBatch(batch.inputs, batch.targets, reset=True), carry)
    torch.testing.assert_close(again, loss)
    carried, _, _ = job.loss(model, StreamBatch(batch.inputs, batch.targets, reset=False), carry)
    assert not torch.equal(carried, loss)


@pytest.mark.parametrize("length", [2, 40, 1024, 5000])
def test_the_quick_evaluation_is_close_to_the_exact_one(length: int) -> None:
    ids = (np.arange(length) * 3 % 10).astype(np.uint8)
    job = task(train=ids, validation=ids)
    model = LanguageModel(10, hidden_size=4).eval()
    assert job.evaluate(model)["loss"] == pytest.approx(figures(model, ids, LETTERS)["loss"], rel=0.02)


def test_a_task_samples_the_same_text_each_time() -> None:
    model = LanguageModel(10, hidden_size=4)
    first = task().sample(model)
    assert first == task().sample(model)
    assert first is not None
    assert len(first) == 200


# The lectures' data pointer


def test_whole_passes_walk_like_the_lectures_program() -> None:
    ids = np.arange(12).astype(np.uint8)
    batches = WholePasses(ids, 3)
    seen = [(b.inputs.flatten().tolist(), b.targets.flatten().tolist(), b.reset) for b in itertools.islice(batches, 4)]
    assert seen == [
        ([0, 1, 2], [1, 2, 3], True),
        ([3, 4, 5], [4, 5, 6], False),
        ([6, 7, 8], [7, 8, 9], False),
        ([0, 1, 2], [1, 2, 3], True),  # 9 + 3 + 1 >= 12: start again
    ]


def test_whole_passes_go_on_from_a_saved_position() -> None:
    ids = np.arange(50).astype(np.uint8)
    batches, others = WholePasses(ids, 4), WholePasses(ids, 4)
    for _ in range(5):
        next(batches)
    others.load_state_dict(batches.state_dict())
    for _ in range(10):
        mine, theirs = next(batches), next(others)
        assert torch.equal(mine.inputs, theirs.inputs)
        assert mine.reset == theirs.reset


def test_a_text_no_longer_than_a_chunk_is_refused() -> None:
    with pytest.raises(DataError, match="--sequence 4"):
        WholePasses(np.zeros(5, dtype=np.uint8), 5)


def test_min_char_rnn_runs_in_one_process() -> None:
    ids = np.zeros(50, dtype=np.uint8)
    with pytest.raises(ConfigError, match="torchrun"):
        MinCharRNN(ids, ids, LETTERS, 1, 5).batches(0, 2)
