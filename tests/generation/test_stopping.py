"""Stop texts are found wherever tokens begin and end, and nothing of one is ever shown."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ifog.data import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer
from ifog.errors import ConfigError, DataError
from ifog.generation import sample, stream
from ifog.generation.stopping import before, until
from ifog.models import LanguageModel


class Reciter(nn.Module):
    """Writes a text by heart, whatever it reads."""

    def __init__(self, tokenizer: Any, ids: list[int]) -> None:
        super().__init__()
        self.config = LanguageModel(tokenizer.vocabulary_size, hidden_size=1).config
        self.weight = nn.Parameter(torch.zeros(1))
        self.tokenizer, self.left = tokenizer, ids

    def forward(self, ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return nn.functional.one_hot(torch.tensor([[self.left.pop(0)]]), self.config.vocabulary_size) * 1e4, state


def recite(tokenizer: Any, text: str, stop: list[str]) -> tuple[str, Reciter]:
    model = Reciter(tokenizer, tokenizer.encode(text).tolist())
    return sample(model, "a", len(model.left), stop=stop), model  # type: ignore[arg-type]


def cuts(text: str) -> Iterator[list[str]]:
    """Every way to cut a text into pieces."""
    for where in itertools.product([False, True], repeat=len(text) - 1):
        places = [0, *(i for i, cut in enumerate(where, 1) if cut), len(text)]
        yield [text[a:b] for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize(
    ("text", "stops", "wanted"),
    [
        ("abcabd", ["abd"], "abc"),
        ("aabaabb", ["aabb"], "aab"),
        ("abcd", ["abc", "b"], "a"),  # "b" is complete first
        ("abcd", ["c", "bc"], "a"),  # together complete: the longer
        ("ab\n\ncd", ["\n\n"], "ab"),
        ("abc", ["bcd"], "abc"),
        ("abc", ["abc"], ""),
        ("abc", [], "abc"),
    ],
)
def test_the_text_ends_before_the_stop_completed_first_however_it_is_cut(
    text: str, stops: list[str], wanted: str
) -> None:
    for pieces in cuts(text):
        assert "".join(until(pieces, stops)) == wanted
    ended = any(stop in text for stop in stops)
    assert before(text, stops) == (wanted if ended else None)


def test_nothing_is_asked_for_after_the_stop_and_the_rest_is_not_held_back() -> None:
    asked: list[str] = []

    def pieces() -> Iterator[str]:
        for piece in "one", "two", "\n", "x", "\n", "\n", "more":
            asked.append(piece)
            yield piece

    shown = until(pieces(), ["\n\n"])
    assert [next(shown), next(shown)] == ["one", "two"]
    assert asked == ["one", "two"]
    assert list(shown) == ["\nx"]
    assert asked[-1] == "\n"


@pytest.mark.parametrize(
    "tokenizer",
    [
        CharTokenizer("\n abcdeé."),
        ByteTokenizer(),
        BPETokenizer.from_chunks(["abé.\n\ncde a. abé.\n\ncde "] * 9, vocabulary_size=280),
    ],
    ids=["char", "byte", "bpe"],
)
def test_a_stop_text_may_lie_across_tokens_or_within_one(tokenizer: Any) -> None:
    text = "a abé.\n\ncde a"
    for first, last in itertools.combinations(range(1, len(text) + 1), 2):
        stop = text[first:last]
        found, _ = recite(tokenizer, text, [stop])
        assert found == text[: text.index(stop)]


def test_words_stop_where_their_text_does() -> None:
    tokenizer = WordTokenizer(["<eos>", "<unk>", "a", "b", "."])
    found, model = recite(tokenizer, "b . a\nb b", ["a\n"])
    assert found == " b . "
    assert model.left == [3, 3]


def test_a_fast_model_stops_alike() -> None:
    torch.manual_seed(0)
    model = LanguageModel(3, hidden_size=4).eval()
    model.tokenizer = CharTokenizer("abc")
    from ifog.generation import Sampling

    whole = sample(model, "a", 600, sampling=Sampling(seed=1))
    stop = whole[300:312]
    assert sample(model, "a", 600, sampling=Sampling(seed=1), stop=[stop]) == whole[: whole.index(stop)]


def test_a_stop_that_makes_no_sense_is_refused() -> None:
    model = LanguageModel(3, hidden_size=2)
    model.tokenizer = CharTokenizer("abc")
    with pytest.raises(ConfigError, match="stop text is empty"):
        stream(model, "a", 3, stop=["b", ""])
    with pytest.raises(ConfigError, match="one string"):
        stream(model, "a", 3, stop="ab")
    with pytest.raises(DataError, match="'z'"):
        stream(model, "a", 3, stop=["z"])
