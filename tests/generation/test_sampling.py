"""Choosing the next token and feeding it back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ifog.data import ByteTokenizer, CharTokenizer, WordTokenizer
from ifog.errors import ConfigError, DataError
from ifog.generation import Sampling, generate, probabilities, sample, stream
from ifog.models import LanguageModel
from ifog.models.catalogue import build

LOGITS = torch.tensor([[1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])


class Counter(nn.Module):
    """Scores that favour the sum of all tokens read so far, modulo V: right only if every token is read once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.config = LanguageModel(size, hidden_size=1).config
        self.weight = nn.Parameter(torch.zeros(1))
        self.tokenizer: Any = None
        self.was_training: list[bool] = []

    def forward(self, ids: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.was_training.append(self.training)
        total = ids.cumsum(0) + (0 if state is None else state)
        logits = nn.functional.one_hot(total % self.config.vocabulary_size, self.config.vocabulary_size)
        return logits * 50.0 + self.weight, total[-1]


def test_plain_sampling_is_the_softmax() -> None:
    torch.testing.assert_close(probabilities(LOGITS, Sampling()), LOGITS.softmax(-1))


@pytest.mark.parametrize("temperature", [0.3, 2.5])
def test_the_temperature_divides_the_scores(temperature: float) -> None:
    expected = (LOGITS / temperature).softmax(-1)
    torch.testing.assert_close(probabilities(LOGITS, Sampling(temperature=temperature)), expected)


def test_a_vanishing_temperature_is_finite_and_takes_the_likeliest() -> None:
    assert probabilities(LOGITS, Sampling(temperature=1e-30))[0].tolist() == [0, 1, 0, 0]


def test_top_k_keeps_the_k_likeliest_and_scales_them_to_one() -> None:
    row = probabilities(LOGITS, Sampling(top_k=2))[0]
    expected = torch.tensor([4.0, 3.0]).softmax(0)
    torch.testing.assert_close(row[[1, 3]], expected)
    assert row[[0, 2]].tolist() == [0, 0]


def test_top_k_keeps_exactly_k_even_among_equals() -> None:
    assert (probabilities(LOGITS, Sampling(top_k=3))[1] > 0).sum() == 3


def test_top_k_beyond_the_vocabulary_keeps_all() -> None:
    torch.testing.assert_close(probabilities(LOGITS, Sampling(top_k=99)), LOGITS.softmax(-1))


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, 1), (0.65, 2), (0.9, 3), (0.97, 4), (1.0, 4)])
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p: float, kept: int) -> None:
    # softmax of 4, 3, 2, 1: 0.644, 0.237, 0.087, 0.032
    row = probabilities(LOGITS, Sampling(top_p=top_p))[0]
    assert (row > 0).sum() == kept
    torch.testing.assert_close(row.sum(), torch.tensor(1.0))


def test_top_p_of_one_keeps_even_what_rounding_would_lose() -> None:
    row = probabilities(torch.tensor([0.0] * 3 + [-17.0]), Sampling())
    assert row[3] > 0


def test_top_p_counts_what_top_k_left() -> None:
    row = probabilities(LOGITS, Sampling(top_k=2, top_p=0.7))[0]  # the likeliest of two has 0.731
    assert row.tolist() == [0, 1, 0, 0]


def test_a_tiny_top_p_still_keeps_one_token() -> None:
    assert probabilities(LOGITS, Sampling(top_p=1e-9))[0].tolist() == [0, 1, 0, 0]


def test_greedy_takes_the_likeliest_and_among_equals_the_first() -> None:
    assert probabilities(LOGITS, Sampling(greedy=True)).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


def test_draws_follow_the_distribution() -> None:
    model = Counter(4)
    model.forward = lambda ids, state=None: (LOGITS[:1].expand(len(ids), ids.size(1), 4), None)  # type: ignore[method-assign]
    tokens = next(generate(model, torch.zeros(1, 20_000, dtype=torch.int64), 1, sampling=Sampling(seed=0)))
    shares = tokens.bincount(minlength=4) / 20_000
    torch.testing.assert_close(shares, LOGITS[0].softmax(0), atol=0.01, rtol=0)


def test_the_prime_is_read_and_each_token_is_fed_back_once() -> None:
    prime = torch.tensor([[1, 2], [2, 2]])  # sums 3 and 4
    made = torch.stack(list(generate(Counter(10), prime, 5, sampling=Sampling(greedy=True))))
    assert made.tolist() == [[3, 4], [6, 8], [2, 6], [4, 2], [8, 4]]


def test_the_same_seed_makes_the_same_text_and_another_seed_another() -> None:
    model = LanguageModel(30, hidden_size=8)
    prime = torch.zeros(1, 1, dtype=torch.int64)

    def made(seed: int) -> list[int]:
        return [int(t) for t in generate(model, prime, 20, sampling=Sampling(seed=seed))]

    assert made(3) == made(3) != made(4)


def test_sampling_leaves_the_global_random_state_alone() -> None:
    model = LanguageModel(5, hidden_size=4)
    before = torch.get_rng_state()
    list(generate(model, torch.zeros(1, 1, dtype=torch.int64), 3, sampling=Sampling()))
    assert torch.equal(before, torch.get_rng_state())


def test_an_empty_prime_starts_with_an_even_draw() -> None:
    tokens = next(generate(Counter(4), torch.zeros(0, 8_000, dtype=torch.int64), 1, sampling=Sampling(seed=0)))
    torch.testing.assert_close(tokens.bincount(minlength=4) / 8_000, torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_a_stop_token_is_yielded_and_ends_its_sequence_alone() -> None:
    prime = torch.tensor([[1, 3]])  # greedy: 1, 2, 4, 8, 6 ... and 3, 6, 2, 4, 8 ...
    made = torch.stack(list(generate(Counter(10), prime, 9, sampling=Sampling(greedy=True), stop=[8, 6])))
    assert made.tolist() == [[1, 3], [2, 6], [4, 6], [8, 6]]


def test_nothing_is_made_for_length_zero() -> None:
    assert list(generate(Counter(3), torch.zeros(1, 1, dtype=torch.int64), 0, sampling=Sampling())) == []


def test_dropout_is_off_while_sampling_and_training_goes_on_after() -> None:
    model = Counter(4).train()
    tokens = generate(model, torch.zeros(1, 1, dtype=torch.int64), 2, sampling=Sampling())
    next(tokens)
    assert model.training
    assert torch.is_grad_enabled()
    assert model.was_training == [False]


def test_text_streams_as_it_is_made() -> None:
    model = Counter(10)
    model.tokenizer = CharTokenizer("0123456789")
    pieces = stream(model, "12", 5, sampling=Sampling(greedy=True))
    assert next(pieces) == "3"
    assert "".join(pieces) == "6248"
    assert sample(model, "12", 5, sampling=Sampling(greedy=True), stop=["2"]) == "36"


def test_a_byte_model_never_shows_half_a_character() -> None:
    euro = list("€a".encode())
    model = Counter(256)
    model.tokenizer = ByteTokenizer()
    script = iter(euro)

    def forward(ids: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return nn.functional.one_hot(torch.tensor([[next(script)]]), 256) * 50.0, state

    model.forward = forward  # type: ignore[method-assign]
    assert list(stream(model, "x", 4, sampling=Sampling(greedy=True))) == ["€", "a"]


def test_without_a_prime_text_starts_after_a_line_break_where_the_vocabulary_has_one() -> None:
    model = Counter(3)
    model.tokenizer = CharTokenizer("\nab")  # the line break is token 0
    assert sample(model, "", 2, sampling=Sampling(greedy=True)) == "\n\n"
    model.tokenizer = CharTokenizer("abc")
    assert len(sample(model, "", 2)) == 2


def test_an_unknown_character_in_the_prime_is_an_error_that_names_it() -> None:
    model = Counter(3)
    model.tokenizer = CharTokenizer("abc")
    with pytest.raises(DataError, match="'z'"):
        stream(model, "az", 2)


def test_a_model_without_tokenizer_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match=r"ifog\.load"):
        stream(Counter(3), "a", 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top-k is 0"),
        ({"top_p": 0.0}, r"top-p is 0\.0"),
        ({"top_p": 1.5}, r"top-p is 1\.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Sampling(**options)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="length is -1"):
        next(generate(Counter(3), torch.zeros(1, 1, dtype=torch.int64), -1, sampling=Sampling()))


def test_words_go_on_from_the_prime_with_a_space() -> None:
    model: Any = Counter(4)
    model.tokenizer = WordTokenizer(["<unk>", "<eos>", "a", "b"])
    # 3, then the running sum of all ids, modulo 4: 3, 6, 8
    assert sample(model, "b", 3, sampling=Sampling(greedy=True)) == " b a <unk>"


# --- priming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["recurrent", "regularised", "transformer", "window", "maxent"])
@pytest.mark.parametrize("length", [1, 2, 7])
@torch.no_grad()
def test_priming_with_a_prefix_equals_stepping_through_it(kind: str, length: int) -> None:
    torch.manual_seed(0)
    model: Any = build(kind, {"vocabulary_size": 9}).eval()
    prime = torch.randint(9, (length, 2))
    for sampling in (Sampling(seed=4), Sampling(greedy=True)):
        primed = [t.tolist() for t in generate(model, prime, 12, sampling=sampling)]
        state = None
        for step in prime[:-1]:
            _, state = model(step.unsqueeze(0), state)
        stepped = [t.tolist() for t in generate(model, prime[-1:], 12, sampling=sampling, state=state)]
        assert primed == stepped


def test_an_empty_prompt_and_one_of_white_space_alone_are_read_as_far_as_they_have_tokens() -> None:
    model: Any = Counter(4)
    model.tokenizer = WordTokenizer(["<eos>", "<unk>", "a", "b"])
    assert sample(model, "", 2, sampling=Sampling(greedy=True)) == "\n\n"  # as if after a line's end
    assert sample(model, "  ", 1, sampling=Sampling(greedy=True)) == "\n"  # no token: token 0


def test_a_word_that_a_prompt_has_and_the_vocabulary_lacks_is_unknown() -> None:
    model: Any = Counter(4)
    model.tokenizer = WordTokenizer(["<eos>", "<unk>", "a", "b"])
    assert sample(model, "zebra", 1, sampling=Sampling(greedy=True)) == " <unk>"
