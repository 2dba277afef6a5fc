"""Softmax, argmax and beam after the same prompt, and how likely each text is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from ifog.data import CharTokenizer, WordTokenizer
from ifog.errors import ConfigError, DataError
from ifog.generation import Sampling, sample
from ifog.generation.choices import compare_choices, search
from ifog.models import LanguageModel

ALPHABET = "ab.\n"


@pytest.fixture
def model() -> Any:
    torch.manual_seed(2)
    made = LanguageModel(4, hidden_size=6, embedding_size=3).eval()
    for parameter in made.parameters():
        parameter.data.mul_(3)
    made.tokenizer = CharTokenizer(ALPHABET)
    return made


@torch.no_grad()
def log_prob(model: Any, prime: str, text: str) -> float:
    ids = torch.tensor(model.tokenizer.encode(prime + text).astype("int64")).unsqueeze(1)
    return float(model(ids)[0].log_softmax(-1)[len(prime) - 1 : -1].gather(-1, ids[len(prime) :].unsqueeze(-1)).sum())


def endings(stop: str, length: int) -> dict[str, str]:
    """Every text that can be written, by what is shown of it: all that end with the stop, or are as long as allowed."""
    texts = ["".join(t) for n in range(1, length + 1) for t in itertools.product(ALPHABET, repeat=n)]
    return {t: t.split(stop)[0] for t in texts if (t.find(stop) == len(t) - len(stop) >= 0) or (len(t) == length)}


def test_search_finds_the_likeliest_of_all_texts_that_end_with_a_stop_of_two_tokens(model: Any) -> None:
    texts = {t: shown for t, shown in endings("ab", 4).items() if "ab" not in t[:-1]}
    best = max(texts, key=lambda t: log_prob(model, "b", t))
    found = search(model, "b", 4, width=4**4, stop=["ab"])
    assert (found.text, found.tokens) == (texts[best], len(best))
    assert found.log_prob == pytest.approx(log_prob(model, "b", best), rel=1e-4)


def test_each_text_is_judged_by_the_plain_softmax(model: Any) -> None:
    sampling = Sampling(temperature=0.4, seed=3)
    found = compare_choices(model, "ba", 8, sampling=sampling, width=3)
    assert list(found) == ["softmax", "argmax", "beam"]
    assert found["softmax"].text == sample(model, "ba", 8, sampling=sampling)
    assert found["argmax"].text == sample(model, "ba", 8, sampling=Sampling(greedy=True))
    for choice in found.values():
        assert choice.tokens == len(choice.text) == 8
        assert choice.log_prob == pytest.approx(log_prob(model, "ba", choice.text), rel=1e-4)
    assert found["beam"].log_prob >= found["argmax"].log_prob


def test_a_stop_ends_all_three_and_is_counted_but_not_shown(model: Any) -> None:
    for name, choice in compare_choices(model, "b", 40, sampling=Sampling(seed=1), stop=["."]).items():
        assert "." not in choice.text
        if choice.tokens < 40:
            assert choice.tokens == len(choice.text) + 1, name
            assert choice.log_prob == pytest.approx(log_prob(model, "b", choice.text + "."), rel=1e-4)


def test_a_prompt_without_a_token_or_with_an_unknown_one_is_refused(model: Any) -> None:
    with pytest.raises(DataError, match="'z'"):
        search(model, "z", 3)
    with pytest.raises(ConfigError, match="width 0"):
        search(model, "a", 3, width=0)
    model.tokenizer = WordTokenizer(["<unk>", "<eos>", "a", "b"])
    for call in (search, compare_choices):
        with pytest.raises(ConfigError, match="no token"):
            call(model, "  ", 3)
    assert search(model, "", 3).tokens == 3  # an empty one is a line's end
