"""Every mistake a user can make is one red paragraph with a remedy and exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ifog.cli.application import app

TINY = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--sequence", "10", "--steps", "2"]


@pytest.fixture
def refused(ifog, tmp_path: Path):
    """Run a command that must fail with these words, in one paragraph, without a traceback or a file left behind."""

    def run(*arguments: Any, words: str, stdin: str | bytes | None = None) -> str:
        before = set(tmp_path.rglob("*"))
        result = ifog(*arguments, code=2, stdin=stdin)
        message = result.stderr.strip()
        assert words in message
        assert "\n" not in message
        assert "Traceback" not in result.output
        assert set(tmp_path.rglob("*")) == before
        return message

    return run


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"text\0\1\2" * 900, "is binary"),
        (b"\xff\xfe" * 3000, "offset 0"),
        ("café ".encode() * 1000 + b"caf\xe9 au lait" + b" " * 900, "offset 6003"),
        (b"too short" * 4, "--batch-size"),
    ],
    ids=["empty", "binary", "not UTF-8", "bad UTF-8 far in", "shorter than one batch"],
)
def test_a_text_that_cannot_be_used(refused, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    refused("train", path, "--out", tmp_path / "run", *TINY, words=words)


def test_a_missing_text_and_a_directory_in_its_place(refused, tmp_path: Path) -> None:
    refused("train", tmp_path / "nowhere.txt", "--out", tmp_path / "run", *TINY, words="doesn't exist")
    refused("train", tmp_path, "--task", "language", "--out", tmp_path / "run", *TINY, words="is a directory")


def test_empty_standard_input(refused, tmp_path: Path) -> None:
    refused("train", "-", "--out", tmp_path / "run", *TINY, words="standard input is empty", stdin="")


def test_bad_utf8_is_fine_as_bytes(ifog, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"caf\xe9 " * 400)
    ifog("train", path, "--out", tmp_path / "run", *TINY, "--tokenizer", "byte")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hidden-size", "0"], "hidden_size is 0"),
        (["--num-layers", "-1"], "num_layers is -1"),
        (["--dropout", "1.0"], "dropout is 1.0"),
        (["--batch-size", "0"], "batch_size is 0"),
        (["--sequence", "0"], "sequence is 0"),
        (["--learning-rate", "0"], "learning_rate is 0"),
        (["--budget", "soon"], "'soon'"),
        (["--budget", "90s"], "both of steps and budget"),
        (["--validation-fraction", "1.5"], "validation_fraction is 1.5"),
        (["--tokenizer", "words"], "'words'"),
        (["--cell", "lstn"], "lstn"),
        (["--cell-option", "peephole"], "NAME=VALUE"),
        (["--cell-option", "colour=3"], "colour"),
        (["--optimizer", "magic"], "'magic'"),
        (["--device", "cuda"], "GPU"),
        (["--tied"], "tied"),
        (["--min-char-rnn", "--batch-size", "4"], "one stream"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_out_of_its_range(refused, text: Path, tmp_path: Path, options: list[str], words: str) -> None:
    refused("train", text, "--out", tmp_path / "run", *TINY, *options, words=words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--temperature", "0"], "temperature is 0"),
        (["--top-k", "0"], "top-k is 0"),
        (["--top-p", "2"], "top-p is 2"),
        (["--length", "-1"], "length is -1"),
        (["--prime", "Ω"], "'Ω'"),
    ],
)
def test_sampling_that_cannot_be(refused, trained: Path, options: list[str], words: str) -> None:
    refused("sample", trained, *options, words=words)


def test_evaluation_on_a_text_with_an_unknown_character(refused, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("green Ω bottles")
    refused("eval", trained, tmp_path / "other.txt", words="'Ω'")


def test_a_text_of_one_character_cannot_be_judged(refused, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("g")
    refused("eval", trained, tmp_path / "other.txt", words="1 tokens")


@pytest.mark.parametrize("command", ["sample", "eval", "resume", "compare"])
def test_a_directory_that_is_no_run(refused, tmp_path: Path, command: str) -> None:
    refused(command, tmp_path / "nowhere", words="doesn't exist")
    (tmp_path / "folder").mkdir()
    refused(command, tmp_path / "folder", words="is not a run")


def test_a_run_directory_in_use_is_never_overwritten(refused, trained: Path, text: Path) -> None:
    before = (trained / "config.json").read_bytes()
    message = refused("train", text, "--out", trained, *TINY, words="already holds a run")
    assert f"ifog resume {trained}" in message
    assert (trained / "config.json").read_bytes() == before


def test_a_directory_with_other_files_is_left_alone(refused, text: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    refused("train", text, "--out", tmp_path / "mine", *TINY, words="thesis.tex")


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A run that may be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.mark.parametrize("command", ["sample", "eval", "resume"])
def test_a_truncated_checkpoint(refused, copy: Path, command: str) -> None:
    for path in copy.glob("checkpoints/*/model.safetensors"):
        os.truncate(path, path.stat().st_size // 2)
    refused(command, copy, words="model.safetensors")


@pytest.mark.parametrize("command", ["sample", "eval", "resume"])
def test_a_checkpoint_of_another_architecture(refused, copy: Path, command: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["model"]["hidden_size"] = 9
    (copy / "config.json").write_text(json.dumps(config))
    refused(command, copy, words="another architecture")


def test_a_damaged_configuration(refused, copy: Path) -> None:
    (copy / "config.json").write_text("{")
    refused("sample", copy, words="config.json")
    (copy / "config.json").write_text("{}")
    refused("sample", copy, words="no language model")


def test_a_disk_that_is_full_keeps_the_run_and_says_how_to_go_on(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "ifog.cli", "train", str(text), "--out", str(out), *TINY[:-2], "--steps", "20"]

    def small_disk() -> None:  # room for the text's ids, not for a checkpoint of 200 units
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command += ["--hidden-size", "200", "--evaluate-every", "20"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, preexec_fn=small_disk)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"ifog resume {out}" in done.stderr
    assert not list(out.glob("checkpoints/*temporary*"))
    subprocess.run([sys.executable, "-m", "ifog.cli", "resume", str(out)], check=True, capture_output=True)


def test_a_loss_that_explodes_stops_with_a_diagnosis(ifog, text: Path, tmp_path: Path) -> None:
    wild = ["--learning-rate", "1e38", "--optimizer", "sgd", "--clipping", "none", "--warmup", "0"]
    result = ifog("train", text, "--out", tmp_path / "run", *TINY[:-2], "--steps", 50, *wild, code=2)
    assert "learning rate" in result.stderr
    assert "Traceback" not in result.output


def test_a_directory_without_permission(refused, text: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    refused("train", text, "--out", tmp_path / "locked" / "run", *TINY, words="can't be made")


# --- tasks that learn from examples -----------------------------------------------------------------------------------

FILMS = "text,label\n" + "".join(f"a {word} film {k},{word}\n" for k in range(12) for word in ("good", "bad"))
SMALL = ["--steps", "2", "--hidden-size", "4", "--batch-size", "4"]


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that classifies films; tests only read it."""
    folder = tmp_path_factory.mktemp("judge")
    (folder / "films.csv").write_text(FILMS)
    command = ["train", str(folder / "films.csv"), "--task", "classify", "--out", str(folder / "run"), *SMALL]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return folder / "run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["colours"], "no 'colours' to make"),
        (["reviews", "a.csv", "--count", "0"], "count is 0"),
        (["reviews", "a.csv", "--count", "-3"], "count is -3"),
        (["tags", "a.conll", "--count", "0"], "count is 0"),
        (["dates", "a.tsv", "--count", "0"], "count is 0"),
        (["numbers", "a.tsv", "--count", "-1"], "count is -1"),
        (["series", "a.csv", "--count", "0"], "steps is 0"),
        (["adding", "a.ts", "--count", "0"], "count is 0"),
        (["adding", "a.ts", "--steps", "1"], "give 2 or more"),
        (["copying", "a.conll", "--steps", "0"], "give 1 or more"),
        (["reviews", "a.parquet"], ".csv, .tsv or .jsonl"),
        (["dates", "a"], ".csv, .tsv or .jsonl"),
        (["reviews", "there.csv"], "exists already"),
        (["reviews", "folder.csv"], "exists already"),
        (["reviews", "there.csv/in/a/file.csv"], "there.csv"),
    ],
    ids=str,
)
def test_examples_that_cannot_be_made(refused, tmp_path: Path, monkeypatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("precious")
    (tmp_path / "folder.csv").mkdir()
    refused("make", *arguments, words=words)
    assert (tmp_path / "there.csv").read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a.csv is empty"),
        (b"text,label\n", "a.csv:1"),
        (b"label\ngood\nbad\n", "a.csv"),
        (b"text,label\na,good\n,bad\nb,good\nc,bad\n", "a.csv:3"),
        (b"text,label\na,good\nb,bad,c\n", "a.csv:3"),
        (b"text,label\na,good\n\xff,bad\n", "a.csv:3: this is not UTF-8"),
        (b'text,label\na,good\n"b,bad\n', "a.csv:3: quotes"),
        (b"text,text\na,good\n", "two columns are called 'text'"),
    ],
    ids=["empty", "no rows", "no column", "no text", "ragged", "not UTF-8", "open quotes", "two columns"],
)
def test_examples_that_cannot_be_used(refused, judge: Path, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    page, said = tmp_path / "page.html", tmp_path / "said.csv"
    refused("train", tmp_path / "a.csv", "--task", "classify", "--out", tmp_path / "run", *SMALL, words=words)
    refused("eval", judge, tmp_path / "a.csv", "--report", page, words=words)
    refused("predict", judge, tmp_path / "a.csv", "--out", said, words=words)


def test_an_unknown_label_is_refused_where_it_is_to_be_judged(refused, judge: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nso,good\nla,average\n")
    refused("eval", judge, tmp_path / "a.csv", "--report", tmp_path / "page.html", words="a.csv:3")


def test_predictions_that_cannot_be_made(refused, judge: Path, tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text(FILMS)
    refused("predict", tmp_path / "nowhere", films, words="is no run")
    refused("predict", judge, words="--text")
    refused("predict", judge, films, "--text", "good", words="--text")
    refused("predict", judge, "--text", " ", words="example:1")
    refused("predict", judge, tmp_path / "nowhere.csv", words="nowhere.csv can't be read")
    refused("predict", judge, films, "--out", tmp_path / "said.parquet", words=".csv, .tsv or .jsonl")
    refused("predict", judge, films, "--out", films / "in" / "said.csv", words="films.csv")
    refused("predict", judge, films, "--picture", tmp_path / "x.png", words="picture")
    assert films.read_text() == FILMS


def test_reports_that_cannot_be_drawn(refused, judge: Path, trained: Path, text: Path, tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text(FILMS)
    refused("eval", judge, "--report", tmp_path / "page.html", words="needs their file")
    refused("eval", judge, films, "--report", tmp_path / "page.parquet", words=".html")
    refused("eval", judge, films, "--report", films / "page.html", words="films.csv")
    refused("eval", trained, text, "--report", tmp_path / "page.html", words="language model")


@pytest.mark.parametrize("command", ["predict", "eval", "resume"])
@pytest.mark.parametrize("name", ["config.json", "encoding.json"])
def test_a_damaged_run_of_examples(refused, judge: Path, tmp_path: Path, command: str, name: str) -> None:
    run = Path(shutil.copytree(judge, tmp_path / "run"))
    more = {"predict": ["--text", "good"], "eval": [], "resume": []}[command]
    for content in ("", "{", "[]"):
        (run / name).write_text(content)
        refused(command, run, *more, words=name)
    whole = json.loads((judge / name).read_text())
    whole["another"] = 1
    (run / name).write_text(json.dumps(whole))
    refused(command, run, *more, words=name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trials", "0"], "trials is 0"),
        (["--search", "colour=1..2"], "colour"),
        (["--search", "hidden_size"], "search"),
        (["--search", "hidden_size=9..2"], "search"),
        (["--search", "learning_rate=a..b"], "search"),
        (["--storage", "nothing://x"], "storage"),
        (["--search", "hidden_size=0..8"], "hidden_size is 0"),
        (["--hidden-size", "0"], "hidden_size"),
    ],
    ids=str,
)
def test_a_search_that_cannot_be_made(refused, tmp_path: Path, options: list[str], words: str) -> None:
    (tmp_path / "films.csv").write_text(FILMS)
    search = ["tune", tmp_path / "films.csv", "--task", "classify", "--out", tmp_path / "search", "--trials", "1"]
    refused(*search, "--steps", "2", *options, words=words)
    refused("tune", tmp_path / "none.csv", "--task", "classify", "--out", tmp_path / "search", words="none.csv")
