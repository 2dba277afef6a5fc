"""A trained model judged with a cache and n-grams beside it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import ifog
from ifog.data import Corpus, encode_corpus, load_tokenizer
from ifog.errors import ConfigError
from ifog.tasks.language import Run, evaluate_mixtures

TEXT = "".join(f"{n} green bottles hanging on the wall\n" for n in range(300))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ifog.train(
        text=TEXT, out=tmp_path_factory.mktemp("m") / "run", steps=30, hidden_size=8, embedding_size=4, sequence=8
    )


def test_the_model_alone_has_the_figures_of_evaluate(run: Run) -> None:
    alone = evaluate_mixtures(run)
    assert list(alone) == ["model"]
    # the first token, which `evaluate` doesn't count, has a chance of 1/V here
    tokenizer = load_tokenizer(run.path / "tokenizer.json")
    nats = ifog.evaluate(run)["loss"] * (alone["model"].tokens - 1) + math.log(tokenizer.vocabulary_size)
    assert alone["model"].nats == pytest.approx(nats, rel=1e-4)
    assert alone["model"].characters == alone["model"].tokens


def test_each_thing_mixed_in_helps_on_the_text_it_was_fitted_on(run: Run, tmp_path: Path) -> None:
    found = evaluate_mixtures(run, cache=True, ngram=4)
    assert list(found) == ["model", "+ cache", "+ 4-gram"]
    nats = [figures.nats_per_token for figures in found.values()]
    assert nats == sorted(nats, reverse=True)
    other = tmp_path / "other.txt"
    other.write_text("9 green bottles on the wall\n" * 5)
    assert evaluate_mixtures(run, other, ngram=4)["+ 4-gram"].characters == 28 * 5


def test_the_shares_are_those_that_em_finds(run: Run) -> None:
    from ifog.evaluation import RecurrentScorer, fit_weights, interpolate
    from ifog.ngrams import count_ngrams, discounts, estimate

    tokenizer = load_tokenizer(run.path / "tokenizer.json")
    ids = encode_corpus(Corpus.from_text(TEXT), tokenizer, run.path / "all.ids")
    train, validation = ids[: int(len(ids) * 0.9)], ids[int(len(ids) * 0.9) :]
    counts = count_ngrams(train, 3, tokenizer.vocabulary_size)
    counted = estimate(counts, discounts(counts, "modified", fallback=(0.5, 1.0, 1.5)))
    both = [RecurrentScorer(ifog.load(run)).log_prob(validation), counted.log_prob(validation)]
    wanted = -np.mean(interpolate(both, fit_weights(both)))
    assert evaluate_mixtures(run, ngram=3)["+ 3-gram"].nats_per_token == pytest.approx(wanted, rel=1e-6)


def test_an_order_out_of_range_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="2 to 8"):
        evaluate_mixtures(run, ngram=1)
