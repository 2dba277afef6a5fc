"""Tags of spans in one scheme and another, against seqeval."""

from __future__ import annotations

import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from ifog.examples.spans import span_scheme, to_iob1, to_iob2

CHANCE = random.Random(3)


def random_iob2(length: int) -> list[str]:
    tags: list[str] = []
    while len(tags) < length:
        kind = CHANCE.choice(["PER", "LOC"])
        tags += [["O"], [f"B-{kind}", *[f"I-{kind}"] * CHANCE.randrange(3)]][CHANCE.randrange(2)]
    return tags[:length]


SENTENCES = [random_iob2(length) for length in [0, 1, 1, 2, 17, *range(20)]]


def test_both_schemes_hold_the_same_spans():
    for tags in SENTENCES:
        assert to_iob2(tags) == tags
        assert to_iob2(to_iob1(tags)) == tags
        assert to_iob1(to_iob1(tags)) == to_iob1(tags)
        assert get_entities(to_iob1(tags)) == get_entities(tags)


def test_a_span_keeps_its_beginning_in_iob1_only_behind_one_of_its_type():
    tags = ["B-PER", "B-PER", "I-PER", "B-LOC", "O", "B-LOC", "B-LOC"]
    assert to_iob1(tags) == ["I-PER", "B-PER", "I-PER", "I-LOC", "O", "I-LOC", "B-LOC"]


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (SENTENCES, "IOB2"),
        ([to_iob1(tags) for tags in SENTENCES], "IOB1"),
        ([["S-PER", "B-LOC", "E-LOC", "O"]], "BIOES"),
        ([["B-a-b", "I-a-b"]], "IOB2"),
        ([["B-A", "I-B"]], "IOB1"),  # no span of A goes on: an unmarked beginning, which both schemes' reading mends
        ([["O", "O"], []], None),
        ([["O", "NOUN"]], None),
        ([["B-"]], None),
        ([["b-per"]], None),
        ([], None),
    ],
)
def test_the_scheme_is_told_by_the_tags(sentences: list[list[str]], scheme: str | None):
    assert span_scheme(sentences) == scheme
