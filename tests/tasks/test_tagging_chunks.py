"""Taggers that read long sequences in chunks: the state goes on, answers are those of the whole."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ifog.errors import ConfigError, DataError
from ifog.examples import Table
from ifog.examples.made_tags import made_tags
from ifog.tasks import supervised
from ifog.tasks.tagging import TAG, TagStream
from ifog.training.progress import SilentProgress, Status
from tasks.tagging_toys import SMALL, encoding_of, model_of, options_of, table_of

CHUNKED: dict[str, Any] = {"chunk": 5, "bidirectional": False, "output": "softmax", "character_hidden_size": 0}


def marked(steps: int, seed: int) -> tuple[list[str], list[str]]:
    """Mostly dots, and at each step the last letter: of steps in a chunk of 5, three in four need what was before."""
    random = np.random.default_rng(seed)
    symbols: list[str] = random.choice(list(".ab"), size=steps, p=[0.9, 0.05, 0.05]).tolist()
    said = list(itertools.accumulate(symbols, lambda last, symbol: last if symbol == "." else symbol))
    return symbols, [letter if letter != "." else "a" for letter in said]


def marked_table(lengths: list[int], seed: int = 0) -> Table:
    pairs = [marked(length, seed + row) for row, length in enumerate(lengths)]
    return table_of([words for words, _ in pairs], [tags for _, tags in pairs])


def test_chunks_are_refused_where_tags_need_the_whole_sentence():
    with pytest.raises(ConfigError, match="--no-bidirectional"):
        options_of(chunk=5)
    with pytest.raises(ConfigError, match="--output softmax"):
        options_of(chunk=5, bidirectional=False, output="crf")
    with pytest.raises(ConfigError, match="counts steps"):
        options_of(chunk=-1)
    spans = made_tags(20)
    assert encoding_of(spans).scheme is not None
    chosen = options_of(chunk=5, bidirectional=False)
    with pytest.raises(ConfigError, match="--output softmax"):
        TAG.build(TAG.encoding(spans, chosen), chosen, None)


def test_answers_in_chunks_are_those_of_whole_sentences(monkeypatch: pytest.MonkeyPatch):
    table = marked_table([40, 3, 1, 23])
    encoding = encoding_of(table, **CHUNKED)
    models = [model_of(encoding, **CHUNKED), model_of(encoding, **{**CHUNKED, "cell": "gru"})]
    examples = encoding.encode(table)
    monkeypatch.setattr("ifog.tasks.tagging.WIDTH", 2)
    said: list[Any] = []
    for steps in (1000, 7, 1):
        monkeypatch.setattr("ifog.tasks.tagging.STEPS", steps)
        said.append(
            (TAG.predict(models, encoding, table).columns["predicted"], TAG.figures(models, encoding, examples))
        )
    assert said[0][0] == said[1][0] == said[2][0]
    assert [len(row) for row in said[0][0]] == [40, 3, 1, 23]
    for _, figures in said[1:]:
        assert figures == pytest.approx(said[0][1], rel=1e-5)
    # and of each sentence alone, by the mean of the models' probabilities
    for row, length in enumerate([40, 3, 1, 23]):
        batch = examples.batch(np.array([row]))
        with torch.no_grad():
            best = torch.stack([model(batch).softmax(-1) for model in models]).mean(0).argmax(-1)[:length, 0]
        assert said[0][0][row] == [encoding.tags[number] for number in best]


def test_words_as_they_come_get_what_the_whole_sentence_gives_them():
    chosen = {**CHUNKED, "character_hidden_size": 4}
    table = marked_table([30])
    encoding = encoding_of(table, **chosen)
    model: Any = model_of(encoding, **chosen)
    model.encoding = encoding
    with torch.no_grad():
        wanted = model(encoding.encode(table).batch(np.array([0]))).softmax(-1)[:, 0]
    stream, state = TagStream(model), None
    for step, word in enumerate(table.columns["words"][0]):
        found, state = stream.step(word, state)
        assert tuple(found) == encoding.tags
        assert list(found.values()) == pytest.approx(wanted[step].tolist(), abs=1e-6)


def test_what_is_carried_over_chunks_is_learned_and_a_resumed_run_ends_the_same(tmp_path: Path):
    train, held_out = marked_table([3000]), marked_table([400, 7], seed=9)
    chosen: dict[str, Any] = {
        **SMALL,
        **CHUNKED,
        "batch_size": 16,
        "steps": 120,
        "dropout": 0.0,
        "word_dropout": 0.0,
        "learning_rate": 0.02,
        "save_every": 11,
        "precision": "32-true",
    }
    run = supervised.train(train, task="tag", validation=held_out, out=tmp_path / "whole", **chosen)
    assert run.metrics["accuracy"] > 0.9  # without a state, no more than 0.63 can be had
    stopped = tmp_path / "stopped"

    class Stop(SilentProgress):
        def saved(self, status: Status, path: Path) -> None:
            if status.step >= 65:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        supervised.train(train, task="tag", validation=held_out, out=stopped, progress=Stop(), **chosen)
    again = supervised.resume(stopped)
    assert again.step == 120
    assert again.metrics == run.metrics
    one, other = (supervised.load(path, "last").state_dict() for path in (run.path, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_end_of_a_sequence_that_is_alone_is_held_back():
    table = marked_table([10])
    learned, judged = TAG.split(table, 0.2, seed=0)
    for name in ("words", "tags"):
        assert [*learned.column(name)[0], *judged.column(name)[0]] == list(table.column(name)[0])
        assert len(judged.column(name)[0]) == 2
    assert [len(part) for part in TAG.split(marked_table([10, 4, 3]), 0.3, seed=0)] == [2, 1]
    with pytest.raises(DataError, match="one sequence of 1 steps is too short"):
        TAG.split(marked_table([1]), 0.2, seed=0)


def test_epochs_of_chunks_are_counted(tmp_path: Path):
    chosen: dict[str, Any] = {**SMALL, **CHUNKED, "steps": None, "epochs": 2, "batch_size": 3}
    run = supervised.train(marked_table([50, 11]), task="tag", out=tmp_path / "a", validation_fraction=0.0, **chosen)
    assert run.step == 2 * 4  # 61 steps in 3 lanes of 20, by chunks of 5
