"""Records of a title and its text: their form, where pairs come from, and a model that writes for a title."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import ifog
from ifog.data import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer
from ifog.data.documented import END, SEPARATOR, Pair, documented_functions, opening, read_pairs, record, write_pairs
from ifog.errors import ConfigError, DataError
from ifog.generation import Sampling
from ifog.models import LanguageModel
from ifog.tasks.conditional import complete, prompt_of, use_of_titles

PAIR = Pair('def area(r):\n    """Of a circle."""', "    return 3 * r * r")
SOURCE = '''
import os

class Shape:
    @property
    def area(self, *, exact=False):  # a comment
        """How large it is.

        In square metres.
        """
        # a reason

        text = """
        kept
        """
        return len(text)

    def nothing(self):
        """Only this."""

    def undocumented(self):
        return 1

    async def later(self): "On one line."; return 2

async def wait(seconds):
    'Wait.'
    def inner():
        """Inside."""
        return 5
    return inner

def hanging():
    """A text that hangs out of its block."""
    return """
out
"""
'''


# --- records ----------------------------------------------------------------------------------------------------------


def tokenizers() -> list[Any]:
    text = record(PAIR) * 50
    bpe = BPETokenizer.from_chunks([text], vocabulary_size=300)
    return [CharTokenizer.from_chunks([text]), ByteTokenizer(), bpe, WordTokenizer.from_chunks([text])]


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda t: t.kind)
def test_each_mark_is_one_token_wherever_it_stands_and_a_prompt_is_encoded_as_in_training(tokenizer: Any) -> None:
    pairs = [PAIR, Pair("(", "(1)"), Pair("x y", ""), Pair('"""', "\n    - indented\n"), Pair("é…", "é")]
    for pair in [p for p in pairs if tokenizer.kind in ("bpe", "byte")] or pairs[:1]:
        whole = tokenizer.encode(f"{END}\n{record(pair)}").tolist()
        begin = tokenizer.encode(opening(pair.prompt)).tolist()
        separator, end = (tokenizer.encode(mark).tolist() for mark in (SEPARATOR, END))
        assert len(separator) == len(end) == 1
        assert whole.count(separator[0]) == 1
        assert whole.count(end[0]) == 2
        assert whole[: len(begin)] == begin
        assert begin[-1:] == separator


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (Pair("", "text"), "prompt is empty"),
        (Pair(" \n ", "text"), "prompt is empty"),
        (Pair(f"a{SEPARATOR}b", "text"), r"prompt holds the character U\+0002.*position 1"),
        (Pair("a", f"te{END}xt"), r"completion holds the character U\+0003.*position 2"),
    ],
)
def test_what_would_break_a_record_is_refused(pair: Pair, words: str) -> None:
    with pytest.raises(DataError, match=words):
        record(pair)


# --- where pairs come from --------------------------------------------------------------------------------------------


def test_functions_are_cut_after_their_docstring_and_moved_to_the_margin(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(SOURCE)
    (tmp_path / "again.py").write_text(SOURCE)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "other.py").write_text('def f():\n    "Of a test."\n    return 1\n')
    (tmp_path / "broken.py").write_text("def f(:\n")
    found = {pair.prompt.split("(")[0]: pair for pair in documented_functions(tmp_path)}
    assert sorted(found) == ["async def wait", "def area", "def hanging", "def inner"]
    area = found["def area"]
    assert area.prompt == (
        'def area(self, *, exact=False):  # a comment\n    """How large it is.\n\n    In square metres.\n    """'
    )
    assert area.completion == '    # a reason\n\n    text = """\n    kept\n    """\n    return len(text)'
    assert found["def inner"] == Pair('def inner():\n    """Inside."""', "    return 5")
    assert not [pair for pair in documented_functions(tmp_path, longest=100) if "area" in pair.prompt]


def test_the_standard_library_gives_thousands_of_functions_that_parse_in_an_order_that_stays(tmp_path: Path) -> None:
    import sysconfig

    folder = Path(sysconfig.get_path("stdlib")) / "json"
    pairs = documented_functions(folder, longest=5000)
    assert len(pairs) > 10
    assert pairs == documented_functions(folder, longest=5000) != sorted(pairs)
    for pair in pairs:
        (function,) = ast.parse("\n".join(pair)).body
        assert isinstance(function, ast.FunctionDef)
        assert ast.get_docstring(function)


def test_a_folder_without_functions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no documented Python function"):
        documented_functions(tmp_path)


def test_pairs_of_a_file_become_a_text(tmp_path: Path) -> None:
    source, text = tmp_path / "pairs.jsonl", tmp_path / "pairs.txt"
    lines = [
        json.dumps({"prompt": "Pancakes", "completion": "Beat\n3 eggs.", "more": 1}),
        "",
        json.dumps(PAIR._asdict()),
    ]
    source.write_text("\n".join(lines))
    assert write_pairs(read_pairs(source), text) == 2
    assert text.read_text() == f"Pancakes\n{SEPARATOR}\nBeat\n3 eggs.\n{END}\n" + record(PAIR)
    with pytest.raises(DataError, match="exists already"):
        write_pairs([PAIR], text)
    with pytest.raises(DataError, match="no pair"):
        write_pairs([], tmp_path / "none.txt")
    assert not (tmp_path / "none.txt").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2 lacks the strings"),
        ('{"prompt": "a"}', "line 2 lacks the strings"),
        ('{"prompt": "a", "completion": 3}', "line 2 lacks the strings"),
        ('{"prompt": "", "completion": "b"}', "line 2: the prompt is empty"),
        ('{"prompt": "a\\u0002", "completion": "b"}', r"line 2: the prompt holds the character U\+0002"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str, words: str) -> None:
    source = tmp_path / "pairs.jsonl"
    source.write_text('{"prompt": "a", "completion": "b"}\n' + line + "\n")
    with pytest.raises(DataError, match=words):
        list(read_pairs(source))


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl can't be read"):
        list(read_pairs(tmp_path / "none.jsonl"))
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xe9"}')
    with pytest.raises(DataError, match="not UTF-8"):
        list(read_pairs(tmp_path / "latin.jsonl"))


# --- writing for a title ----------------------------------------------------------------------------------------------


def test_a_trained_run_writes_the_text_of_each_title_and_ends(tmp_path: Path) -> None:
    pairs = [Pair("one", "a\nb"), Pair("two", "  cc")]
    write_pairs(pairs * 40, tmp_path / "pairs.txt")
    sizes = {"hidden_size": 32, "embedding_size": 8, "batch_size": 4, "sequence": 20, "learning_rate": 0.02}
    run = ifog.train(tmp_path / "pairs.txt", out=tmp_path / "run", steps=150, validation_fraction=0, **sizes)
    model = ifog.load(run)
    greedy = Sampling(greedy=True)
    for pair in pairs:
        assert complete(model, pair.prompt, 50, sampling=greedy) == pair.completion
        assert complete(model, f"\n{pair.prompt}\n", 50, sampling=greedy) == pair.completion
    assert complete(model, "one", 50, begin="a", sampling=greedy) == "a\nb"
    assert complete(model, "one", 50, sampling=greedy, stop=["\nb"]) == "a"
    assert prompt_of(model, "one\n", "a").shown == "one\na"
    own, others = use_of_titles(model, pairs)
    assert own < 0.1 < 1 < others  # each text is likely after its own title alone
    with pytest.raises(DataError, match="1 pairs"):
        use_of_titles(model, pairs[:1])


def test_a_title_that_can_not_be_read_is_refused() -> None:
    model = LanguageModel(256, hidden_size=2).eval()
    with pytest.raises(ConfigError, match="no tokenizer"):
        complete(model, "one")
    model.tokenizer = ByteTokenizer()
    for title, begin, words in (("", "", "prompt is empty"), (SEPARATOR, "", r"U\+0002"), ("a", END, "beginning")):
        with pytest.raises(DataError, match=words):
            complete(model, title, begin=begin)
    for tokenizer in (CharTokenizer("abc"), WordTokenizer(["<unk>", "<eos>", "one"])):
        model = LanguageModel(3, hidden_size=2).eval()
        model.tokenizer = tokenizer
        with pytest.raises(ConfigError, match="make-pairs"):
            complete(model, "a")
    model.tokenizer = CharTokenizer(f"a\n{SEPARATOR}{END}")
    with pytest.raises(DataError, match="'z'"):
        complete(model, "z")


@torch.no_grad()
def test_the_use_of_titles_is_the_mean_over_the_tokens_of_texts() -> None:
    torch.manual_seed(0)
    model = LanguageModel(256, hidden_size=5).eval()
    model.tokenizer = ByteTokenizer()
    pairs = [Pair("one", "ab"), Pair("three", "c")]
    for found, titles in zip(use_of_titles(model, pairs), (["one", "three"], ["three", "one"]), strict=True):
        nats = 0.0
        for title, pair in zip(titles, pairs, strict=True):
            ids = torch.tensor(list(f"\x03\n{title}\n\x02\n{pair.completion}\n\x03\n".encode())).unsqueeze(1)
            shares = model(ids)[0].log_softmax(-1)[:-1].gather(-1, ids[1:].unsqueeze(-1))
            nats -= float(shares[len(title) + 3 :].sum())  # the marks and line breaks before: 4, less 1
        assert found == pytest.approx(nats / (6 + 5), rel=1e-5)


def test_torch_is_left_as_it_was() -> None:
    model = LanguageModel(256, hidden_size=2).eval()
    model.tokenizer = ByteTokenizer()
    before = torch.get_rng_state()
    complete(model, "one", 5)
    assert torch.equal(before, torch.get_rng_state())
