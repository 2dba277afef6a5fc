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
    refused("train", tmp_path, "--out", tmp_path / "run", *TINY, words="is a directory")


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
