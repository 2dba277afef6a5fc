"""Translation from tables to texts: the encoding, learning a little language, figures, predictions, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ifog.errors import ConfigError, DataError, RunError
from ifog.examples import ExampleBatches, Ragged, Table
from ifog.examples.made_pairs import made_pairs
from ifog.models.translator import Translator
from ifog.tasks.translation import TRANSLATE, TranslationEncoding, attention_map
from ifog.tasks.translation_options import TranslationOptions

SMALL = {"hidden_size": 24, "embedding_size": 16, "vocabulary_size": 300, "dropout": 0.0, "cell": "gru"}


def options(**chosen: Any) -> TranslationOptions:
    return TranslationOptions.given(**{**SMALL, **chosen})


def table(*pairs: tuple[str, str]) -> Table:
    columns = {"source": [source for source, _ in pairs], "target": [target for _, target in pairs]}
    return Table(columns, [("pairs.tsv", n) for n in range(2, 2 + len(pairs))])


WORDS = table(("one", "eins"), ("two", "zwei"), ("three", "drei"), ("four", "vier"), ("one two", "eins zwei"))


@pytest.fixture(scope="module")
def learned() -> tuple[Translator, TranslationEncoding]:
    """A model that knows five pairs by heart."""
    torch.manual_seed(0)
    encoding = TRANSLATE.encoding(WORDS, options(label_smoothing=0.0))
    model = TRANSLATE.build(encoding, options(label_smoothing=0.0), None)
    batches = ExampleBatches(encoding.encode(WORDS), 5, by=TRANSLATE.batched_by())
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(100):
        loss, _ = model.loss(next(batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), encoding


@pytest.mark.parametrize("joint", [True, False])
def test_any_text_comes_back_from_its_tokens(joint: bool) -> None:
    encoding = TRANSLATE.encoding(made_pairs("numbers", 50), options(joint=joint))
    texts = ["4,207", 'Ein "Mädchen", ach!', "日本", "a"]
    examples = encoding.encode(table(*((text, text) for text in texts)))
    for name, tokenizer in (("source", encoding.source), ("target", encoding.target)):
        column = examples.columns[name]
        assert isinstance(column, Ragged)
        assert all(column[row][-1] == tokenizer.vocabulary_size for row in range(len(texts)))
        if name == "target":
            assert [encoding.text(column[row].tolist()) for row in range(len(texts))] == texts
    assert encoding.joint == joint
    assert (encoding.source is encoding.target) == joint


def test_a_reversed_source_is_read_from_its_end_but_for_the_ends_token() -> None:
    straight = TRANSLATE.encoding(WORDS, options())
    turned = TRANSLATE.encoding(WORDS, options(reversed_source=True))
    one, other = (e.encode(WORDS, labelled=False).columns["source"] for e in (straight, turned))
    assert isinstance(one, Ragged)
    assert isinstance(other, Ragged)
    for row in range(len(WORDS)):
        assert other[row].tolist() == [*one[row][-2::-1], one[row][-1]]


@pytest.mark.parametrize("joint", [True, False])
def test_an_encoding_survives_json(joint: bool) -> None:
    encoding = TRANSLATE.encoding(WORDS, options(joint=joint, beam=3, reversed_source=True))
    again = TRANSLATE.restore(json.loads(json.dumps(encoding.to_dict())))
    one, other = encoding.encode(WORDS), again.encode(WORDS)
    for name in ("source", "target"):
        assert one.batch(range(5))[name].tolist() == other.batch(range(5))[name].tolist()  # type: ignore[arg-type]
    assert (again.beam, again.reversed_source, again.joint) == (encoding.beam, True, joint)
    with pytest.raises(RunError, match="describes no translation"):
        TRANSLATE.restore({"source": {}})


def test_what_was_learned_is_said_and_judged(learned: Any) -> None:
    model, encoding = learned
    predicted = TRANSLATE.predict([model], encoding, WORDS)
    assert predicted.columns["translation"] == WORDS.columns["target"]
    quick = TRANSLATE.figures([model], encoding, encoding.encode(WORDS))
    assert quick["loss"] < 0.1
    assert quick["chrf"] == pytest.approx(100.0)
    whole = TRANSLATE.figures([model, model], encoding, encoding.encode(WORDS), WORDS)
    assert whole["loss"] == pytest.approx(quick["loss"], rel=1e-4)
    assert {"bleu", "bleu 1-10", "perplexity"} <= set(whole)
    assert "one two" in TRANSLATE.show(predicted.take([4]))


def test_the_loss_of_an_ensemble_is_that_of_the_mean_probability() -> None:
    encoding = TRANSLATE.encoding(WORDS, options())
    models = [TRANSLATE.build(encoding, options(), None).eval() for _ in range(2)]
    batch = encoding.encode(WORDS).batch(torch.arange(5).numpy())
    each = []
    for model in models:
        start = model.begin(batch["source"], batch["source_lengths"])
        each.append(model.decoder.log_prob(start, batch["target"], batch["target_lengths"]).detach().exp())
    wanted = -((each[0] + each[1]) / 2).log().sum() / batch["target_lengths"].sum()
    found = TRANSLATE.figures(models, encoding, encoding.encode(WORDS))
    assert found["loss"] == pytest.approx(float(wanted), rel=1e-4)


def test_rows_come_back_in_their_order_and_are_written(learned: Any, tmp_path: Path) -> None:
    model, encoding = learned
    rows = WORDS.take([4, 2, 0])  # of different lengths: batches are in another order
    predicted = TRANSLATE.predict([model], encoding, rows)
    TRANSLATE.write(predicted, tmp_path / "out.de")
    assert (tmp_path / "out.de").read_text() == "eins zwei\ndrei\neins\n"
    TRANSLATE.write(predicted, tmp_path / "out.tsv")
    again = TRANSLATE.read([str(tmp_path / "out.tsv")], options())
    assert again.columns == predicted.columns


def test_attention_is_drawn_in_the_order_that_people_read(learned: Any) -> None:
    model, encoding = learned
    figure = attention_map(model, encoding, "one two", "eins zwei")
    axes = figure.axes[0]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert "".join(columns) == "onetwoEND"
    drawn = axes.images[0].get_array()
    rows = encoding.encode(table(("one two", "eins zwei"))).batch(torch.arange(1).numpy())
    wanted = model.alignment(rows["source"], rows["source_lengths"], rows["target"])[:, 0]
    torch.testing.assert_close(torch.as_tensor(drawn.data), wanted)
    turned = TranslationEncoding(encoding.source, encoding.target, reversed_source=True)
    figure = attention_map(model, turned, "one two", "eins zwei")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == columns
    rows = turned.encode(table(("one two", "eins zwei"))).batch(torch.arange(1).numpy())
    backwards = model.alignment(rows["source"], rows["source_lengths"], rows["target"])[:, 0]
    found = torch.as_tensor(figure.axes[0].images[0].get_array().data)
    torch.testing.assert_close(found[:, 0], backwards[:, len(columns) - 2])
    assert attention_map(model, encoding, "two").axes
    with pytest.raises(ConfigError, match="text is empty"):
        attention_map(model, encoding, " ")


def test_rows_without_a_text_are_named() -> None:
    encoding = TRANSLATE.encoding(WORDS, options())
    with pytest.raises(DataError, match=r"pairs\.tsv:3: the source is ' '"):
        encoding.encode(table(("one", "eins"), (" ", "zwei")), labelled=False)
    with pytest.raises(DataError, match=r"pairs\.tsv:2: the target is None"):
        encoding.encode(Table({"source": ["one"], "target": [None]}, [("pairs.tsv", 2)]))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="attention is 'soft'; give one of general"):
        options(attention="soft")
    with pytest.raises(ConfigError, match="coverage_penalty counts"):
        options(attention="none", coverage_penalty=0.1)
    with pytest.raises(ConfigError, match="beam is 0"):
        options(beam=0)
    with pytest.raises(ConfigError, match="did you mean 'attention'"):
        options(atention="dot")


def test_real_pairs_are_read_and_come_back(data: Path) -> None:
    folder = data / "multi30k"
    rows = TRANSLATE.read([str(folder / "val.en"), str(folder / "val.de")], options())
    assert len(rows) == 1014
    encoding = TRANSLATE.encoding(rows.take(range(200)), options(vocabulary_size=1000))
    column = encoding.encode(rows).columns["target"]
    assert isinstance(column, Ragged)
    assert [encoding.text(column[row].tolist()) for row in range(1014)] == list(rows.columns["target"])
