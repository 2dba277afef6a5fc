"""Beam search of many sources against the best of all sequences, against greedy choice, and against a slow search."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ifog.errors import ConfigError
from ifog.generation.translating import BeamOptions, Hypothesis, translate, write_vectors
from ifog.models.translator import Translator, TranslatorConfig, VectorDecoder, VectorDecoderConfig

V, S = 4, 5
END = V - 1
SOURCE = torch.tensor([[1, 3, 0], [2, 0, 1], [4, 0, 2]])
LENGTHS = torch.tensor([3, 1, 2])


def made(seed: int = 0, **options: Any) -> Translator:
    torch.manual_seed(seed)
    model = Translator(TranslatorConfig(V, source_vocabulary=S, embedding_size=6, hidden_size=8, **options))
    for parameter in model.parameters():
        parameter.data.mul_(2.5)
    return model.eval()


@torch.no_grad()
def judged(model: Translator, b: int, ids: tuple[int, ...]) -> tuple[float, Tensor]:
    """The log-probability of a sequence for source b, and how much was looked at each place."""
    source, length = SOURCE[: LENGTHS[b], b : b + 1], LENGTHS[b : b + 1]
    target = torch.tensor(ids).unsqueeze(1)
    found = model.decoder.log_prob(model.begin(source, length), target, torch.tensor([len(ids)]))
    return float(found.sum()), model.alignment(source, length, target)[:, 0].sum(0)


def score(log_prob: float, looked: Tensor, length: int, options: BeamOptions) -> float:
    normalised = log_prob / ((5 + length) / 6) ** options.length_penalty
    return normalised + options.coverage_penalty * float(looked.clamp(max=1).log().sum())


def every(limit: int) -> list[tuple[int, ...]]:
    """All sequences that end within the limit, and all that reach it without an end."""
    words = range(V - 1)
    ended = [(*ids, END) for n in range(limit) for ids in itertools.product(words, repeat=n)]
    return ended + list(itertools.product(words, repeat=limit))


@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (1.0, 0.0), (0.6, 0.4)])
def test_a_wide_beam_finds_the_best_of_all_sequences(alpha: float, beta: float) -> None:
    model, limit = made(), 3
    options = BeamOptions(len(every(limit)) + 1, alpha, beta, ratio=0.0, extra=limit)
    found = translate([model], SOURCE, LENGTHS, options)
    for b, hypotheses in enumerate(found):
        wanted: list[tuple[float, float, tuple[int, ...]]] = []
        for ids in every(limit):
            log_prob, looked = judged(model, b, ids)
            wanted.append((score(log_prob, looked, len(ids), options), log_prob, ids))
        wanted.sort(reverse=True)
        assert len(hypotheses) == len(wanted)
        assert [h.score for h in hypotheses] == pytest.approx([one[0] for one in wanted], rel=1e-4, abs=1e-4)
        best, (_, log_prob, ids) = hypotheses[0], wanted[0]
        assert (*best.ids, *([END] if best.ended else [])) == ids
        assert best.log_prob == pytest.approx(log_prob, rel=1e-4, abs=1e-4)
        assert {(tuple(h.ids), h.ended) for h in hypotheses} == {
            (ids[:-1] if ids[-1] == END else ids, ids[-1] == END) for ids in every(limit)
        }


def test_a_beam_of_one_is_greedy() -> None:
    model = made(1)
    for b, (best,) in enumerate(translate([model], SOURCE, LENGTHS, BeamOptions(1, ratio=0.0, extra=6))):
        ids: tuple[int, ...] = ()
        while len(ids) < 6 and END not in ids:
            ids = (*ids, max(range(V), key=lambda token: judged(model, b, (*ids, token))[0]))
        assert (*best.ids, *([END] if best.ended else [])) == ids


def slow(model: Translator, b: int, limit: int, options: BeamOptions) -> list[Hypothesis]:
    """The same search with lists, each hypothesis judged anew from its beginning."""
    kept: list[tuple[int, ...]] = [()]
    done: list[Hypothesis] = []
    for length in range(1, limit + 1):
        grown = sorted(((judged(model, b, (*ids, t)), (*ids, t)) for ids in kept for t in range(V)),
                       key=lambda one: -one[0][0])  # fmt: skip
        for (log_prob, looked), ids in grown[: options.width]:
            ended = ids[-1] == END
            if ended or length == limit:
                value = score(log_prob, looked, length, options)
                done.append(Hypothesis(list(ids[:-1] if ended else ids), log_prob, value, ended))
        if len(done) >= options.width:
            break
        kept = [ids for _, ids in grown if ids[-1] != END][: options.width]
    return sorted(done, key=lambda h: -h.score)[: options.width]


@pytest.mark.parametrize(
    ("seed", "options"), [(0, BeamOptions(2, 1.0)), (1, BeamOptions(3, 0.0)), (2, BeamOptions(3, 0.8, 0.3))]
)
def test_a_narrow_beam_keeps_what_a_slow_search_keeps(seed: int, options: BeamOptions) -> None:
    model, options = made(seed, input_feeding=seed == 1), replace(options, ratio=1.0, extra=3)
    for b, hypotheses in enumerate(translate([model], SOURCE, LENGTHS, options)):
        wanted = slow(model, b, int(LENGTHS[b]) + 3, options)
        assert [(h.ids, h.ended) for h in hypotheses] == [(h.ids, h.ended) for h in wanted]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in wanted], rel=1e-4, abs=1e-4)


def test_a_source_is_translated_as_if_it_were_alone() -> None:
    model = made(2)
    together = translate([model], SOURCE, LENGTHS)
    for b in range(3):
        (alone,) = translate([model], SOURCE[: LENGTHS[b], b : b + 1], LENGTHS[b : b + 1])
        assert [h.ids for h in alone] == [h.ids for h in together[b]]
        assert [h.score for h in alone] == pytest.approx([h.score for h in together[b]], rel=1e-4, abs=1e-4)


def test_models_together_are_judged_by_the_mean_of_their_probabilities() -> None:
    models = [made(1), made(2)]
    (best,) = translate(models, SOURCE[:, :1], LENGTHS[:1], BeamOptions(60, 0.0, ratio=0.0, extra=2))[0][:1]
    wanted = {}
    for ids in every(2):
        total = 0.0
        for n in range(len(ids)):
            steps = [judged(m, 0, ids[: n + 1])[0] - (judged(m, 0, ids[:n])[0] if n else 0.0) for m in models]
            total += math.log(sum(map(math.exp, steps)) / 2)
        wanted[ids] = total
    ids = max(wanted, key=lambda one: wanted[one])
    assert (*best.ids, *([END] if best.ended else [])) == ids
    assert best.log_prob == pytest.approx(wanted[ids], rel=1e-4)


def test_vectors_are_written_as_sequences() -> None:
    config = VectorDecoderConfig(V, vector_size=3, embedding_size=4, hidden_size=5)
    found = write_vectors([VectorDecoder(config).eval()], torch.eye(3), 4, BeamOptions(2))
    assert [len(hypotheses) for hypotheses in found] == [2, 2, 2]
    assert all(len(h.ids) <= 4 for hypotheses in found for h in hypotheses)


def test_no_sources_give_no_hypotheses() -> None:
    assert translate([made()], torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, dtype=torch.long)) == []


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one model"):
        translate([], SOURCE, LENGTHS)
    with pytest.raises(ConfigError, match="coverage_penalty needs attention"):
        translate([made(attention="none")], SOURCE, LENGTHS, BeamOptions(coverage_penalty=0.1))
    with pytest.raises(ConfigError, match="width is 0"):
        BeamOptions(0)
    with pytest.raises(ConfigError, match="length_penalty is -1"):
        BeamOptions(length_penalty=-1)
