"""Models from texts on disk, against those from texts in memory."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ifog.cli.application import app
from ifog.data import Corpus, WordTokenizer, encode_shards
from ifog.errors import DataError
from ifog.ngrams import NgramModel, fit_ids, fit_text, open_mapped

pytest.importorskip("duckdb")

FALLBACK = (0.5, 1.0, 1.5)
LINES = ["a rose is a rose", "", "is a cat a cat", "  the rose\tis red  ", "a cat is not red"] * 7


def probabilities(model: NgramModel, text: str) -> np.ndarray:
    assert model.vocabulary is not None
    end = "<eos>" if model.sentences is None else "</s>"
    return model.log_prob(model.vocabulary.encode(text.replace("\n", f" {end} ").split()))


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_of_ids_on_disk_is_that_of_the_text(tmp_path: Path, stream: bool) -> None:
    text = "\n".join(LINES) + "\n"
    (tmp_path / "text").write_text(text)
    corpus = Corpus.from_files([tmp_path / "text"])
    tokenizer = WordTokenizer.from_chunks([text])
    ids = encode_shards(corpus, tokenizer, tmp_path / "ids", shard_bytes=100)
    steps: list[str] = []
    found = fit_ids(ids, tokenizer.words, tmp_path, order=3, stream=stream, fallback=FALLBACK, watch=steps.append)
    wanted = fit_text(tmp_path / "text", order=3, stream=stream, fallback=FALLBACK)
    assert found.tokens == wanted.tokens == len(text.split()) + len(LINES)
    assert found.model.trie.sizes == wanted.model.trie.sizes
    np.testing.assert_allclose(found.discounts.amounts, wanted.discounts.amounts, rtol=1e-12)
    for asked in (text, "the cat is a red window\n\nrose rose\n"):
        np.testing.assert_allclose(probabilities(found.model, asked), probabilities(wanted.model, asked), rtol=1e-9)
    assert steps[0].startswith("counting, 1 of")
    assert steps[-1] == "estimating, 100%"


def test_words_that_are_put_there_later_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hold <s>"):
        fit_ids(np.array([1]), ["<unk>", "<eos>", "<s>"], tmp_path)
    with pytest.raises(DataError, match="lack <eos>"):
        fit_ids(np.array([1]), ["<unk>", "a"], tmp_path)


def test_the_command_on_disk_prints_what_the_one_in_memory_does(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("\n".join(LINES) + "\n")
    (tmp_path / "test").write_text("a red cat is a window\n")
    base = ["ngram", str(tmp_path / "text"), "--test", str(tmp_path / "test"), "--order", "3", "--fallback"]
    usual = CliRunner().invoke(app, base)
    ran = CliRunner().invoke(app, [*base, "--on-disk", str(tmp_path / "work"), "--arpa", str(tmp_path / "m.arpa.gz")])
    assert ran.exit_code == usual.exit_code == 0, ran.output
    facts = re.compile(r"^(\d-grams.*|test perplexity.*)$", re.MULTILINE)
    assert facts.findall(ran.output) == facts.findall(usual.output)
    assert len(facts.findall(ran.output)) == 4
    assert open_mapped(tmp_path / "work" / "model").order == 3
    small = CliRunner().invoke(app, [*base, "--on-disk", str(tmp_path / "small"), "--vocabulary-size", "4"])
    assert "1-grams: 5 " in small.output  # <s> among them
    for options in (["--on-disk", str(tmp_path), "--closed"], ["--vocabulary-size", "4"]):
        assert CliRunner().invoke(app, [*base, *options]).exit_code != 0
