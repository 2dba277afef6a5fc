"""Judge a trained model together with what can be had beside it: a cache of its own past, and counted n-grams.

Owns the fitting of their shares on the run's validation text. Takes a run and a text, gives figures for each mixture.
Never trains.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ifog.data import encode_corpus
from ifog.errors import ConfigError
from ifog.evaluation import (
    ContinuousCache,
    Figures,
    RecurrentScorer,
    decoded,
    figures,
    fit_weights,
    interpolate,
    measure,
)
from ifog.tasks.building import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ifog.data import Corpus
    from ifog.runs import RunDirectory

__all__ = ["judge_mixtures"]

Scores = dict[str, "NDArray[np.float64]"]  # log-probabilities of the "fitting" and the "judged" text


def judge_mixtures(
    model: Any, run: RunDirectory, corpus: Corpus | None, *, cache: bool = False, ngram: int = 0
) -> Mapping[str, Figures]:
    """The model alone, then with each thing more.

    Shares, and the cache's sharpness, are fitted on the run's validation text; so a validation text that is judged is
    judged a little too well.

    Args:
        model: The run's.
        run: With its text.
        corpus: What to judge it on; None: the validation text.
        cache: Mix in a continuous cache over the hidden states of the last 500 tokens (Grave et al. 2017,
            arXiv:1612.04426).
        ngram: Mix in a modified Kneser-Ney model of this order, counted on the run's training text; 0 for none.

    Returns:
        Figures by what was mixed: "model", "+ cache", "+ 5-gram".

    Raises:
        ConfigError: An order below 2 (but 0), or above 8.
    """
    if ngram and not 2 <= ngram <= 8:
        raise ConfigError(f"eval: the n-gram's order is {ngram}; give 2 to 8, or 0 for none.")
    data = text_of(run)
    with tempfile.TemporaryDirectory() as folder:
        judged = data.validation
        if corpus is not None:
            judged = encode_corpus(corpus, data.tokenizer, Path(folder) / "text.ids")
        texts = {"fitting": data.validation, "judged": judged}
        scorer = RecurrentScorer(model)
        scores: Scores = {use: scorer.log_prob(ids) for use, ids in texts.items()}
        found = {"model": scores["judged"]}
        if cache:
            scores = _with_cache(scorer, texts, scores)
            found["+ cache"] = scores["judged"]
        if ngram:
            scores = _with_ngrams(ngram, data.train, data.tokenizer.vocabulary_size, texts, scores)
            found[f"+ {ngram}-gram"] = scores["judged"]
        size = measure(decoded(data.tokenizer, judged))
        return {name: figures(log_prob, size) for name, log_prob in found.items()}


def _with_cache(scorer: RecurrentScorer, texts: Mapping[str, Any], scores: Scores) -> Scores:
    hidden = {use: scorer.hidden(ids) for use, ids in texts.items()}
    cache = ContinuousCache.fit(hidden["fitting"], texts["fitting"], scores["fitting"])
    return {use: cache.log_prob(hidden[use], ids, scores[use]) for use, ids in texts.items()}


def _with_ngrams(order: int, train: Any, vocabulary_size: int, texts: Mapping[str, Any], scores: Scores) -> Scores:
    from ifog.ngrams import count_ngrams, discounts, estimate

    counts = count_ngrams(train, order, vocabulary_size)
    counted = estimate(counts, discounts(counts, "modified", fallback=(0.5, 1.0, 1.5)))
    beside = {use: counted.log_prob(ids) for use, ids in texts.items()}
    weights = fit_weights([scores["fitting"], beside["fitting"]])
    return {use: interpolate([scores[use], beside[use]], weights) for use in texts}
