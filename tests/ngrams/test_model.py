"""Asking an n-gram model, letting it write, keeping it, and exchanging it as an ARPA file."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ifog.cli.ngram import ngram
from ifog.errors import ConfigError, DataError, RunError
from ifog.ngrams import NgramModel, Vocabulary, count_ngrams, estimate, fit_text, read_arpa, write_arpa

WORDS = ["<unk>", "<s>", "</s>", "a", "b", "c", "d", "é"]


def model_of(order: int = 4, words: list[str] = WORDS, length: int = 400) -> NgramModel:
    vocabulary = Vocabulary(words)
    generator = np.random.default_rng(7)
    ids = generator.integers(3, 7, length)
    ids[generator.random(length) < 0.2] = 2
    counts = count_ngrams(ids, order, len(vocabulary), sentences=vocabulary.sentences)
    return estimate(counts, fallback=(0.5, 1.0, 1.5), vocabulary=vocabulary)


def text_of(model: NgramModel, tmp_path: Path) -> list[str]:
    write_arpa(model, tmp_path / "model.arpa")
    return (tmp_path / "model.arpa").read_text().split("\n")


@pytest.mark.parametrize("words", [WORDS, ["<unk>", "x", "</s>", *WORDS[3:]]], ids=["sentences", "stream"])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_distribution_of_the_next_word_is_one_and_agrees_with_log_prob(order: int, words: list[str]):
    model = model_of(order, words)
    ids = np.array([3, 4, 7, 0, 0, 5, 2, 2, 6, 3, 3, 3, 4, 5, 6, 2, 7], np.uint8)
    log_probs = model.log_prob(ids)
    for at, token in enumerate(ids):
        probabilities = model.next_distribution(ids[:at])
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-9)
        assert np.log(probabilities[token]) == pytest.approx(log_probs[at], abs=1e-12)
        assert (probabilities > 0).sum() == len(words) - (model.sentences is not None)
    assert model.perplexity(ids) == pytest.approx(np.exp(-log_probs.mean()))


def test_no_tokens_have_no_perplexity():
    assert model_of().log_prob(np.empty(0, np.uint8)).shape == (0,)
    with pytest.raises(DataError, match="no tokens"):
        model_of().perplexity(np.empty(0, np.uint8))


def test_what_the_model_writes_has_its_own_frequencies():
    model = model_of(2)
    written = model.generate(3000, seed=1)
    assert written.tolist() == model.generate(3000, seed=1).tolist()
    after = written[1:][written[:-1] == 3]
    shares = np.bincount(after, minlength=8) / len(after)
    np.testing.assert_allclose(shares, model.next_distribution([3]), atol=0.06)
    assert set(model.generate(50, [3], temperature=0.01, seed=2)[:1]) == {model.next_distribution([3]).argmax()}
    with pytest.raises(ConfigError, match="temperature 0"):
        model.generate(3, temperature=0.0)


def test_a_saved_model_is_the_same_and_a_damaged_one_is_refused(tmp_path: Path):
    model, path = model_of(), tmp_path / "model.npz"
    model.save(path)
    loaded = NgramModel.load(path)
    ids = np.array([3, 4, 5, 2, 6, 7, 0])
    assert loaded.log_prob(ids).tolist() == model.log_prob(ids).tolist()
    assert loaded.vocabulary is not None
    assert loaded.vocabulary.words == tuple(WORDS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match=r"model.npz is no n-gram model or is damaged"):
        NgramModel.load(path)
    with pytest.raises(RunError, match="doesn't exist"):
        NgramModel.load(tmp_path / "none")


# --- ARPA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_an_arpa_file_brings_the_model_back(tmp_path: Path, name: str, order: int):
    model, path = model_of(order), tmp_path / name
    write_arpa(model, path)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    read = read_arpa(path)
    ids = np.array([3, 4, 5, 2, 6, 7, 0, 2, 2, 3])
    np.testing.assert_allclose(read.log_prob(ids), model.log_prob(ids), rtol=1e-7)
    assert read.trie.sizes == model.trie.sizes
    assert os.listdir(tmp_path) == [name]


def test_missing_backoffs_are_zero_and_the_order_of_lines_is_free(tmp_path: Path):
    path = tmp_path / "model.arpa"
    path.write_text(
        "written by hand\n\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-0.5 b\n-99 <s> -0.25\n-1 </s>\n-0.3 a -0.125\n"
        "\n\\2-grams:\n-0.2 a b\n-0.75 <s> b\n\n\\end\\\n"
    )
    model = read_arpa(path)
    assert model.vocabulary is not None
    decimal = model.log_prob(model.vocabulary.encode(["a", "b", "b", "a", "</s>", "b"])) / np.log(10)
    np.testing.assert_allclose(decimal, [-0.3 - 0.25, -0.2, -0.5, -0.3, -1 - 0.125, -0.75])


@pytest.mark.parametrize(
    ("line", "new", "wanted"),
    [
        (1, "ngram 1=9", r"line \d+: 8 1-grams were listed, but .* declares 9"),
        (1, "ngram 2=9", r"line 2: 'ngram 2=9' stands where `ngram 1=NUMBER`"),
        (5, "\\3-grams:", r"line 6: '\\\\3-grams:' stands where \\1-grams:"),
        (6, "0.5\t<unk>\t0", r"line 7: '0.5' is no logarithm of a probability"),
        (6, "nan\t<unk>\t0", r"line 7: 'nan'"),
        (6, "-1\t<unk>\tx", r"line 7: 'x' is no logarithm of a back-off weight"),
        (6, "-1", r"line 7: a 1-gram's line has 2 or 3 fields, this one 1"),
        (6, "-1\ta\t0", r"line 10: the word 'a' is listed a second time"),
        (16, "-1\ta zebra\t0", r"line 17: the word 'zebra' isn't listed"),
        (18, "-1\t<s> a\t0", r"line 19: the 2-gram is listed a second time"),
    ],
)
def test_a_damaged_arpa_file_is_refused_with_the_line(tmp_path: Path, line: int, new: str, wanted: str):
    lines = text_of(model_of(3), tmp_path)
    lines[line] = new
    (tmp_path / "bad.arpa").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"bad.arpa, " + wanted):
        read_arpa(tmp_path / "bad.arpa")


def test_an_ngram_whose_context_is_missing_is_refused_with_the_line(tmp_path: Path):
    lines = text_of(model_of(3), tmp_path)
    at = lines.index("\\3-grams:") + 3
    lines[at] = "-1\té é a"
    (tmp_path / "bad.arpa").write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"line {at + 1}: the 3-gram's first 2 words aren't listed"):
        read_arpa(tmp_path / "bad.arpa")


def test_an_arpa_file_that_was_cut_off_is_refused(tmp_path: Path):
    lines = text_of(model_of(3), tmp_path)
    for kept in (0, 1, 3, 9, len(lines) - 2):
        (tmp_path / "cut.arpa").write_text("".join(f"{line}\n" for line in lines[:kept]))
        with pytest.raises(DataError, match=rf"line {kept}: the file ends|line {kept}: "):
            read_arpa(tmp_path / "cut.arpa")
    (tmp_path / "cut.arpa.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-30])
    with pytest.raises(DataError, match="the compressed data end or are damaged"):
        read_arpa(tmp_path / "cut.arpa.gz")


# --- words ------------------------------------------------------------------------------------------------------------


def test_unknown_words_become_unk_where_there_is_one_and_are_named_where_not(tmp_path: Path):
    (tmp_path / "text").write_text("a b a\n\nb c\n")
    (tmp_path / "other").write_text("a\nb zebra\n")
    vocabulary = Vocabulary.from_files([tmp_path / "text"])
    assert vocabulary.words == ("<unk>", "<s>", "</s>", "a", "b", "c")
    assert vocabulary.encode_file(tmp_path / "text").tolist() == [3, 4, 3, 2, 2, 4, 5, 2]
    assert vocabulary.encode_file(tmp_path / "other").tolist() == [3, 2, 4, 0, 2]
    assert vocabulary.decode([3, 0]) == ["a", "<unk>"]
    closed = Vocabulary.from_files([tmp_path / "text"], sentences=False, closed=True)
    assert closed.words == ("<eos>", "a", "b", "c")
    with pytest.raises(DataError, match=r"other, line 2: the word 'zebra'.*no <unk>"):
        closed.encode_file(tmp_path / "other")


def test_special_words_in_a_text_and_words_given_twice_are_refused(tmp_path: Path):
    (tmp_path / "text").write_text("a\n<s> b\n")
    with pytest.raises(DataError, match=r"text, line 2: holds one of <s>, </s>"):
        Vocabulary.from_files([tmp_path / "text"])
    with pytest.raises(DataError, match="'a' twice"):
        Vocabulary(["a", "b", "a"])
    with pytest.raises(DataError, match="no white space"):
        Vocabulary(["a b"])


# --- the command, and the figure that was published -------------------------------------------------------------------


def test_the_command_prints_perplexities_and_writes_an_arpa_file(tmp_path: Path):
    (tmp_path / "train").write_text("the cat sat\nthe dog sat\na cat ran\n" * 3 + "one more dog\n")
    (tmp_path / "test").write_text("the zebra sat\n")
    application = typer.Typer()
    application.command()(ngram)
    arguments = [str(tmp_path / "train"), "--test", str(tmp_path / "test"), "--order", "2", "--fallback"]
    result = CliRunner().invoke(application, [*arguments, "--arpa", str(tmp_path / "it.arpa")])
    model = fit_text(tmp_path / "train", order=2, fallback=(0.5, 1.0, 1.5)).model
    assert model.vocabulary is not None
    perplexity = model.perplexity(model.vocabulary.encode_file(tmp_path / "test"))
    assert f"test perplexity: {perplexity:.2f}" in result.output
    assert "1-grams: 11 · discounts" in result.output
    assert read_arpa(tmp_path / "it.arpa").trie.sizes == model.trie.sizes


@pytest.mark.skipif("IFOG_DATA" not in os.environ, reason="IFOG_DATA names no directory of corpora")
@pytest.mark.parametrize(("stream", "wanted"), [(False, 141.2), (True, 141.1)])
def test_the_penn_treebank_has_its_published_perplexity(stream: bool, wanted: float):
    folder = Path(os.environ["IFOG_DATA"]) / "ptb_word"
    if not folder.is_dir():
        pytest.skip(f"{folder} isn't there")
    model = fit_text(folder / "ptb.train.txt", stream=stream).model
    assert model.vocabulary is not None
    assert model.perplexity(model.vocabulary.encode_file(folder / "ptb.test.txt")) == pytest.approx(wanted, abs=0.06)
