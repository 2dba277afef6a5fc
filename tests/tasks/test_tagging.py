"""The kind of task "tag": what is encoded, how it is judged, what is given back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ifog.errors import ConfigError, DataError, RunError
from ifog.examples import Ragged, Table
from ifog.examples.made_tags import made_tags
from ifog.examples.tagged import read_tagged
from ifog.tasks.tagging import TAG
from ifog.tasks.tagging_encoding import TaggingEncoding
from tasks.tagging_toys import SMALL, encoding_of, model_of, options_of, table_of

IOB1 = "EU I-ORG\nsaid O\nUS I-ORG\nUN B-ORG\n\nPeter I-PER\nsaid O\n2003 O\n"
PARTS = table_of([["The", "cat", "sat"], ["A", "cat", "2019"]], [["DET", "NOUN", "VERB"], ["DET", "NOUN", "NUM"]])


def saying(monkeypatch: pytest.MonkeyPatch, encoding: TaggingEncoding, tags: list[list[str]]) -> None:
    ids = [np.array([encoding.tags.index(tag) for tag in row], dtype=np.int64) for row in tags]
    monkeypatch.setattr("ifog.tasks.tagging._answers", lambda models, examples: (ids, 0.25))


# --- encoding ---------------------------------------------------------------------------------------------------------


def test_words_are_known_by_frequency_and_without_case_and_digits():
    encoding = encoding_of(PARTS)
    assert encoding.words == ("cat", "0000", "a", "sat", "the")
    assert (encoding.seen, encoding.frequent) == (5, 1)
    assert encoding.tags == ("DET", "NOUN", "NUM", "VERB")
    assert encoding.scheme is None
    examples = encoding.encode(table_of([["THE", "1999", "dog"]]), labelled=False)
    words = examples.columns["words"]
    assert isinstance(words, Ragged)
    assert words[0].tolist() == [5, 2, 0]
    exact = encoding_of(PARTS, lower=False, zero_digits=False)
    assert set(exact.words) == {"cat", "2019", "A", "sat", "The"}
    assert encoding_of(PARTS, minimum_count=2).words == ("cat",)


def test_words_are_spelled_with_their_case_and_an_unknown_letter():
    encoding = encoding_of(PARTS, longest_word=5)
    examples = encoding.encode(table_of([["cat", "The", "Z!", "abcdefgh"]]), labelled=False)
    spellings = examples.columns["spellings"]
    assert isinstance(spellings, Ragged)
    letters = {letter: number for number, letter in enumerate(encoding.characters, 2)}
    assert spellings[0].tolist() == [
        [letters["c"], letters["a"], letters["t"], 0, 0],
        [letters["T"], letters["h"], letters["e"], 0, 0],
        [1, 1, 0, 0, 0],
        [letters["a"], 1, letters["c"], 1, letters["h"]],  # the first three letters and the last two
    ]
    assert "spellings" not in encoding_of(PARTS, character_hidden_size=0).encode(PARTS).columns


def test_iob1_is_learned_as_iob2_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.txt").write_text(IOB1)
    table = TAG.read([str(tmp_path / "a.txt")], options_of())
    encoding = encoding_of(table)
    assert encoding.scheme == "IOB1"
    assert "IOB2" in encoding.notes[0]
    assert encoding.tags == ("B-ORG", "B-PER", "O")
    tags = encoding.encode(table).columns["tags"]
    assert isinstance(tags, Ragged)
    made = [[encoding.tags[number] for number in tags[row]] for row in range(2)]
    assert made == [["B-ORG", "O", "B-ORG", "B-ORG"], ["B-PER", "O", "O"]]
    saying(monkeypatch, encoding, made)
    predicted = TAG.predict([], encoding, table)
    assert predicted.columns["predicted"] == table.columns["tags"]
    TAG.write(predicted, tmp_path / "b.txt")
    lines = [f"{line} {line.split()[1]}" if line else "" for line in IOB1.splitlines()]
    assert (tmp_path / "b.txt").read_text().splitlines() == lines


def test_an_encoding_survives_json():
    for encoding in (encoding_of(PARTS), encoding_of(made_tags(20))):
        again = TAG.restore(json.loads(json.dumps(encoding.to_dict())))
        assert again == encoding
    with pytest.raises(RunError, match="damaged"):
        TAG.restore({"words": []})


def test_an_unknown_tag_is_refused_with_its_line(tmp_path: Path):
    (tmp_path / "a.txt").write_text(IOB1)
    encoding = encoding_of(read_tagged(tmp_path / "a.txt"))
    (tmp_path / "b.txt").write_text("EU I-ORG\n\nsaid O\nParis I-LOC\n")
    with pytest.raises(
        DataError, match=r"b\.txt:4: the tag 'I-LOC' of 'Paris' never occurs in training; known are B-ORG"
    ):
        encoding.encode(read_tagged(tmp_path / "b.txt"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (table_of([["a"], ["b", "c"]], [["X"], ["Y"]]), "made:2: 1 tags for 2 words"),
        (table_of([["a"], ["b"]], [["X"], "Y"]), "made:2: 'tags' is 'Y'; give a list of strings"),  # type: ignore[list-item]
        (table_of([["a"], [3]], [["X"], ["Y"]]), r"made:2: 'words' is '\[3\]'"),  # type: ignore[list-item]
        (table_of([["a"]]), "no column 'tags'"),
        (table_of([["a"]], [["X"]]), "'X' is the only tag"),
        (table_of([[]], [[]]), "there is no tag"),
    ],
)
def test_rows_that_cannot_be_learned_are_refused_with_their_place(table: Table, message: str):
    with pytest.raises(DataError, match=message):
        encoding_of(table).encode(table)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"output": "hmm"}, "output is 'hmm'"),
        ({"longest_word": 0}, "longest_word is 0"),
        ({"wrods": "1"}, "did you mean 'words'"),
    ],
)
def test_options_out_of_their_range_are_refused(chosen: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        options_of(**chosen)


# --- the model --------------------------------------------------------------------------------------------------------


def test_the_output_is_chosen_by_the_tags():
    spans = encoding_of(made_tags(20))
    assert model_of(spans).crf is not None
    assert model_of(spans, output="softmax").crf is None
    assert model_of(encoding_of(PARTS)).crf is None
    assert model_of(encoding_of(PARTS), output="crf").crf is not None


def test_the_rare_words_are_those_that_occur_once():
    encoding = encoding_of(PARTS)
    first, end = model_of(encoding).config.rare
    assert {encoding.words[number - 1] for number in range(first, end)} == {"0000", "a", "sat", "the"}


def test_pretrained_vectors_fill_and_widen_the_vocabulary(tmp_path: Path):
    (tmp_path / "v.txt").write_text("Cat 1 2\nTHE 3 4\nthe 5 6\ndog 9 9.5\nDog 7 8\n")
    chosen = {"vectors": str(tmp_path / "v.txt"), "embedding_size": 2}
    encoding = encoding_of(PARTS, **chosen)
    assert encoding.words == ("cat", "0000", "a", "sat", "the", "dog")
    assert encoding.seen == 5
    model = model_of(encoding, **chosen)
    weight = model.embedding.weight
    assert weight[[1, 5, 6]].tolist() == [[1, 2], [5, 6], [9, 9.5]]
    assert model.config.rare == (2, 6)
    dogs = encoding.encode(table_of([["dog", "cat", "Dog"]], [["DET"] * 3]))
    said = TAG.predict([model], encoding, table_of([["dog", "cat", "Dog"]])).columns["predicted"][0]
    figures = TAG.figures([model], encoding, dogs)
    assert figures["accuracy"] == pytest.approx(said.count("DET") / 3)
    assert figures["accuracy_unknown"] == said[::2].count("DET") / 2  # a vector is no lesson
    with pytest.raises(ConfigError, match="vectors of 2 numbers, but embedding_size is 3"):
        encoding_of(PARTS, **{**chosen, "embedding_size": 3})


def test_a_run_needs_its_pretrained_vectors_only_to_begin(tmp_path: Path):
    import ifog

    vectors = tmp_path / "v.txt"
    vectors.write_text("cat 1 2\nsat 3 4\n")
    table = table_of([["the", "cat", "sat"], ["cat"]], [["DET", "NOUN", "VERB"], ["NOUN"]])
    chosen = {"vectors": str(vectors), "embedding_size": 2, "character_hidden_size": 0, "hidden_size": 2}
    run = ifog.train(table, task="tag", validation=table, out=tmp_path / "run", steps=2, batch_size=2, **chosen)
    before = ifog.evaluate(run)
    vectors.write_text("cat one two\n")  # whoever reads it now finds that it has no numbers
    assert ifog.evaluate(run) == before
    assert ifog.resume(run.path).step == 2


# --- judging ----------------------------------------------------------------------------------------------------------


def test_figures_of_spans_are_those_of_whole_spans(monkeypatch: pytest.MonkeyPatch):
    words = [["a", "b", "c", "d"], ["e", "f"]]
    table = table_of(words, [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]])
    encoding = encoding_of(table)
    saying(monkeypatch, encoding, [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "B-LOC"]])
    figures = TAG.figures([], encoding, encoding.encode(table))
    assert figures["loss"] == 0.25
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert (figures["precision"], figures["recall"]) == (pytest.approx(2 / 4), pytest.approx(2 / 3))
    assert figures["f1"] == pytest.approx(2 * 2 / (4 + 3))
    assert "accuracy_unknown" not in figures


def test_figures_without_any_span_are_zero_in_silence(monkeypatch: pytest.MonkeyPatch):
    encoding, table = encoding_of(made_tags(20)), table_of([["a"]], [["O"]])
    saying(monkeypatch, encoding, [["O"]])
    figures = TAG.figures([], encoding, encoding.encode(table))
    assert (figures["f1"], figures["accuracy"]) == (0.0, 1.0)


def test_figures_of_other_tags_are_accuracy_and_the_mean_over_tags(monkeypatch: pytest.MonkeyPatch):
    encoding = encoding_of(PARTS)
    table = table_of([["the", "dog"], ["A", "cat"]], [["DET", "NOUN"], ["DET", "NOUN"]])
    examples = encoding.encode(table)
    saying(monkeypatch, encoding, [["DET", "VERB"], ["DET", "NOUN"]])
    figures = TAG.figures([], encoding, examples)
    assert figures["accuracy"] == 0.75
    assert figures["accuracy_unknown"] == 0.0  # of "dog"
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)  # DET, NOUN, VERB: those that occur or are said


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_sentences_are_judged_in_their_own_order_whatever_stands_beside_them(output: str):
    table = made_tags(200)
    encoding = encoding_of(table)
    models = [model_of(encoding, output=output) for _ in range(2)]
    for model in models:
        torch.nn.init.normal_(model.output.weight)
    together = TAG.predict(models, encoding, table).columns["predicted"]
    for row in (0, 17, 199):
        assert TAG.predict(models, encoding, table.take([row])).columns["predicted"][0] == together[row]
    examples = encoding.encode(table)
    words = examples.lengths("words")
    alone = [TAG.figures(models, encoding, encoding.encode(table.take([row])))["loss"] for row in range(5)]
    figures = TAG.figures(models, encoding, encoding.encode(table.take(range(5))))
    assert figures["loss"] == pytest.approx(float(np.average(alone, weights=words[:5])), rel=1e-5)


@pytest.mark.parametrize("chosen", [{"output": "crf"}, {"output": "softmax"}, {"output": "softmax", "chunk": 3}])
def test_each_tag_has_the_probability_that_the_models_give_it(
    chosen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if "chunk" in chosen:
        monkeypatch.setattr("ifog.tasks.tagging.STEPS", 3)
        chosen = {**chosen, "bidirectional": False}
    table = made_tags(20)
    encoding = encoding_of(table)
    model = model_of(encoding, **chosen)
    torch.nn.init.normal_(model.output.weight)
    predicted = TAG.predict([model, model], encoding, table, probabilities=True)
    for row in range(20):
        batch = encoding.encode(table).batch(np.array([row]))
        scores = model(batch)
        every = scores.softmax(-1) if model.crf is None else model.crf.marginals(scores)
        tags = [encoding.tags.index(tag) for tag in predicted.columns["predicted"][row]]
        wanted = every[range(len(tags)), 0, tags].tolist()
        assert predicted.columns["probability"][row] == pytest.approx(wanted, abs=1e-5)
    TAG.write(predicted, tmp_path / "said.jsonl")
    first = json.loads((tmp_path / "said.jsonl").read_text().splitlines()[0])
    assert first["probability"] == predicted.columns["probability"][0]
    with pytest.raises(ConfigError, match=r"ends in \.jsonl"):
        TAG.write(predicted, tmp_path / "said.txt")


# --- predictions ------------------------------------------------------------------------------------------------------


def test_texts_are_split_into_words():
    encoding = encoding_of(PARTS)
    predicted = TAG.predict([model_of(encoding)], encoding, Table({"words": ["The cat, too."]}, [("example", 1)]))
    assert predicted.columns["words"] == [["The", "cat", ",", "too", "."]]
    assert len(predicted.columns["predicted"][0]) == 5


def test_what_is_shown_tells_right_from_wrong():
    table = PARTS.with_columns({"predicted": [["DET", "NOUN", "NOUN"], ["DET", "NOUN", "NUM"]]})
    assert TAG.show(table) == "The/DET cat/NOUN sat/NOUN (not VERB)\nA/DET cat/NOUN 2019/NUM"
    plain = table_of([["a"]]).with_columns({"predicted": [["X"]]})
    assert TAG.show(plain) == "a/X"
    sure = table.take([0]).with_columns({"probability": [[1.0, 0.75, 0.5]]})
    assert TAG.show(sure) == "The/DET 1.00 cat/NOUN 0.75 sat/NOUN 0.50 (not VERB)"


# --- learning ---------------------------------------------------------------------------------------------------------


def test_names_never_seen_are_found_by_their_letters_and_neighbours(tmp_path: Path):
    import ifog

    run = ifog.train(
        made_tags(600), task="tag", validation=made_tags(100, seed=1), out=tmp_path / "run", steps=200,
        learning_rate=1e-2, dropout=0.2, evaluate_every=200, device="cpu", precision="32-true",
        **{name: value * 3 for name, value in SMALL.items() if name not in ("steps", "num_layers")},
    )  # fmt: skip
    test = made_tags(200, seed=2)
    figures = ifog.evaluate(run, test)
    assert figures["f1"] > 0.9
    assert figures["accuracy_unknown"] > 0.9
    predicted = ifog.predict(run, test, tmp_path / "out.txt")
    assert read_tagged(tmp_path / "out.txt").columns["tags"] == predicted.columns["predicted"]
    assert ifog.evaluate([run, run], test) == pytest.approx(figures)


def test_the_kind_has_what_the_common_work_asks_for():
    assert (TAG.name, TAG.input, TAG.batched_by()) == ("tag", "words", "words")
    assert dataclasses.is_dataclass(TAG.options)
