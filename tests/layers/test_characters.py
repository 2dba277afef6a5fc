"""Vectors of words made of their characters, against each word read alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError, ShapeError
from ifog.layers.characters import CharacterEncoder


def alone(encoder: CharacterEncoder, word: list[int]) -> Tensor:
    """One word without padding: the last output forwards, and the last one of reading it backwards."""
    if not word:
        return torch.zeros(encoder.output_size)
    y, _ = encoder.layer(encoder.embedding(torch.tensor(word)).unsqueeze(1))
    half = encoder.output_size // 2
    return torch.cat([y[-1, 0, :half], y[0, 0, half:]])


def padded(words: list[list[int]], width: int) -> Tensor:
    return torch.tensor([word + [0] * (width - len(word)) for word in words])


WORDS = [[3, 1, 4], [1], [], [5, 9, 2, 6, 5, 3, 5], [3, 1, 4], [], [1], [7] * 17]


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_a_vector_and_its_gradient_are_those_of_the_word_alone(cell: str):
    encoder = CharacterEncoder(11, embedding_size=3, hidden_size=5, cell=cell)
    weigh = torch.randn(len(WORDS), 10)
    found = encoder(padded(WORDS, 17))
    expected = torch.stack([alone(encoder, word) for word in WORDS])
    torch.testing.assert_close(found, expected)
    parameters = list(encoder.parameters())
    mine = torch.autograd.grad((found * weigh).sum(), parameters)
    theirs = torch.autograd.grad((expected * weigh).sum(), parameters)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_words_may_stand_in_any_shape_and_wider_than_they_are():
    encoder = CharacterEncoder(11, embedding_size=3, hidden_size=2)
    flat = encoder(padded(WORDS, 17))
    assert torch.equal(encoder(padded(WORDS, 30).view(2, 4, 30)), flat.view(2, 4, 4))
    torch.testing.assert_close(encoder(torch.tensor([3, 1, 4])), flat[0])


def test_each_different_word_is_read_once(monkeypatch: pytest.MonkeyPatch):
    encoder, read = CharacterEncoder(11, embedding_size=3, hidden_size=2), list[Tensor]()
    run = encoder.layer.forward

    def listening(x: Tensor, *rest: Tensor, **named: Tensor) -> object:
        read.append(x)
        return run(x, *rest, **named)

    monkeypatch.setattr(encoder.layer, "forward", listening)
    encoder(padded(WORDS, 40))
    assert [tuple(x.shape) for x in read] == [(17, 5, 3)]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), (2, 0), (0, 0)])
def test_no_words_and_no_characters_are_fine(shape: tuple[int, ...]):
    encoder = CharacterEncoder(11, embedding_size=3, hidden_size=2)
    found = encoder(torch.zeros(shape, dtype=torch.long))
    assert found.shape == (*shape[:-1], 4)
    assert not found.any()


def test_words_without_characters_have_the_initial_state():
    encoder = CharacterEncoder(11, embedding_size=3, hidden_size=2)
    assert not encoder(torch.zeros(2, 3, dtype=torch.long)).any()


def test_dropout_is_of_training_alone():
    encoder = CharacterEncoder(11, embedding_size=8, hidden_size=4, dropout=0.5)
    words = padded(WORDS, 17)
    assert not torch.equal(encoder(words), encoder(words))
    encoder.eval()
    assert torch.equal(encoder(words), encoder(words))


@pytest.mark.parametrize(
    ("spellings", "message"),
    [
        (torch.zeros(2, 3), "torch.float32"),
        (torch.tensor(3), r"\(\)"),
        (torch.tensor([[11]]), "ids run from 11 to 11, but there are 11 characters"),
        (torch.tensor([[-1]]), "ids run from -1"),
    ],
)
def test_what_is_no_spelling_is_refused(spellings: Tensor, message: str):
    with pytest.raises(ShapeError, match=message):
        CharacterEncoder(11, embedding_size=3, hidden_size=2)(spellings)


def test_sizes_that_are_not_positive_are_refused():
    with pytest.raises(ConfigError, match="characters is 0"):
        CharacterEncoder(0, embedding_size=3, hidden_size=2)
    with pytest.raises(ConfigError, match="hidden_size"):
        CharacterEncoder(3, embedding_size=3, hidden_size=0)
