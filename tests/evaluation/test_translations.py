"""BLEU against its definition, buckets by length, and the picture of attention."""

from __future__ import annotations

import math

import pytest
import torch

from ifog.errors import DataError, ShapeError
from ifog.evaluation.translations import bleu, bleu_by_length, chrf, draw_attention

REFERENCES = ["the cat sat on the mat today", "a man sleeps on a green couch"]
TRANSLATIONS = ["the cat sat on a mat today", "a man sleeps on a couch"]


def by_hand(translations: list[str], references: list[str]) -> float:
    """BLEU-4 of a corpus, as Papineni et al. define it; words between spaces."""
    matches, totals, written, wanted = [0] * 4, [0] * 4, 0, 0
    for translation, reference in zip(translations, references, strict=True):
        a, b = translation.split(), reference.split()
        written, wanted = written + len(a), wanted + len(b)
        for n in range(1, 5):
            ours = [tuple(a[i : i + n]) for i in range(len(a) - n + 1)]
            theirs = [tuple(b[i : i + n]) for i in range(len(b) - n + 1)]
            totals[n - 1] += len(ours)
            matches[n - 1] += sum(min(ours.count(gram), theirs.count(gram)) for gram in set(ours))
    precision = sum(math.log(m / t) for m, t in zip(matches, totals, strict=True)) / 4
    return 100 * math.exp(precision + min(0.0, 1 - wanted / written))


def test_bleu_is_the_one_of_its_definition() -> None:
    assert bleu(TRANSLATIONS, REFERENCES) == pytest.approx(by_hand(TRANSLATIONS, REFERENCES))
    assert bleu(["The cat sat on a mat today"], REFERENCES[:1]) < bleu(TRANSLATIONS[:1], REFERENCES[:1])  # case counts


def test_chrf_is_whole_for_the_same_and_falls_with_each_difference() -> None:
    assert chrf(REFERENCES, REFERENCES) == pytest.approx(100)
    assert 0 < chrf(TRANSLATIONS, REFERENCES) < 100


def test_each_bucket_is_a_corpus_of_its_own() -> None:
    sources = ["one two three", "one two three four"]
    found = bleu_by_length(sources, TRANSLATIONS, REFERENCES, edges=(3, 4, 9))
    assert found == {"1-3": bleu(TRANSLATIONS[:1], REFERENCES[:1]), "4-4": bleu(TRANSLATIONS[1:], REFERENCES[1:])}
    assert list(bleu_by_length(sources, TRANSLATIONS, REFERENCES, edges=(2,))) == ["3-"]


def test_different_numbers_of_texts_are_refused() -> None:
    with pytest.raises(DataError, match="1 translations are judged by 2"):
        bleu(["a"], ["a", "b"])
    with pytest.raises(DataError, match="0 translations"):
        chrf([], [])
    with pytest.raises(DataError, match="1 translations are judged by 2"):
        bleu_by_length(["a"], TRANSLATIONS, REFERENCES)


def test_a_picture_has_a_row_for_each_piece_written_and_shows_dollars() -> None:
    figure = draw_attention(torch.eye(2, 3), ["a", "$x$", "END"], ["A", "END"])
    figure.canvas.draw()
    assert figure.axes[0].images[0].get_array().shape == (2, 3)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "END"]
    with pytest.raises(ShapeError, match=r"weights are \(2, 3\), but there are 2 pieces written and 2 read"):
        draw_attention(torch.eye(2, 3), ["a", "b"], ["A", "END"])
