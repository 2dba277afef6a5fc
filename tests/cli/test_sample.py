"""`ifog sample` with each of its ways to write, and the two commands beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ifog.cli.pairs import make_pairs
from ifog.data.documented import END, SEPARATOR

RECIPES = [{"prompt": name, "completion": f"take {number}\nand stir"} for number, name in enumerate(["tea", "soup"])]


@pytest.fixture(scope="session")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on pairs; tests only read it."""
    import ifog

    folder = tmp_path_factory.mktemp("conditional")
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(pair) for pair in RECIPES * 30))
    app = typer.Typer()
    app.command()(make_pairs)
    done = CliRunner().invoke(app, [str(folder / "pairs.txt"), "--from", str(folder / "pairs.jsonl")])
    assert done.exit_code == 0, done.output
    assert "60 pairs" in done.stdout
    ifog.train(folder / "pairs.txt", out=folder / "run", steps=2, hidden_size=8, embedding_size=4, sequence=10)
    return folder / "run"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_prompt_and_prime_are_one_and_escapes_are_read(ifog: Any, trained: Path) -> None:
    written = ifog("sample", trained, "--prompt", r"10 green\n", "--length", 20, "--seed", 5).stdout
    assert written.startswith("10 green\n")
    assert written == ifog("sample", trained, "--prime", "10 green\n", "--length", 20, "--seed", 5).stdout
    assert "'\\\\'" in ifog("sample", trained, "--prompt", r"a\\n", code=2).stderr  # the text has no backslash


def test_a_stop_text_ends_the_writing(ifog: Any, trained: Path) -> None:
    whole = ifog("sample", trained, "--length", 200, "--seed", 1).stdout
    stop = whole[50:53]
    cut = ifog("sample", trained, "--length", 200, "--seed", 1, "--stop", "\n\n\n\n", "--stop", stop).stdout
    assert cut == whole[: whole.index(stop)] + "\n"


def test_a_beam_of_one_is_greedy_and_a_wider_one_writes_as_much(ifog: Any, trained: Path) -> None:
    prompt = ["sample", trained, "--prompt", "1", "--length", 15]
    assert ifog(*prompt, "--beam", 1).stdout == ifog(*prompt, "--greedy").stdout
    assert len(ifog(*prompt, "--beam", 3).stdout) == 17


def test_three_ways_of_choosing_stand_side_by_side(ifog: Any, trained: Path) -> None:
    shown = ifog("sample", trained, "--prompt", "1", "--length", 12, "--compare", "--seed", 2).stdout
    head, *_ = (line for line in shown.splitlines() if "softmax" in line)
    assert head.split() == ["softmax", "argmax", "beam"]
    assert flat(shown).count("nats,") == 3


def test_feedback_is_drawn_and_told(ifog: Any, trained: Path, tmp_path: Path) -> None:
    picture = tmp_path / "entropy.png"
    shown = ifog("sample", trained, "--prompt", "1", "--length", 30, "--feedback", picture).stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert rows["step"] == ["sample", "argmax", "softmax"]
    assert len(set(rows["1"])) == 1
    assert {"1", "2", "20", "30", "mean"} <= set(rows)
    refused = ifog("sample", trained, "--length", 3, "--feedback", tmp_path / "entropy.text", code=2).stderr
    assert "Name a picture" in flat(refused)


def test_a_title_is_shown_with_the_text_and_without_the_marks(ifog: Any, conditional: Path) -> None:
    for options in ([], ["--beam", 2], ["--compare"], ["--prompt", "take"]):
        shown = ifog("sample", conditional, "--title", r"tea\n", "--length", 30, "--seed", 1, *options).stdout
        assert shown.startswith("tea")
        assert END not in shown
    assert "tea\ntake" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--greedy", "--beam", 3], "give one of them"),
        (["--compare", "--feedback", "a.png"], "give one of them"),
        (["--stop", ""], "stop text is empty"),
        (["--stop", "§"], "'§'"),
        (["--prompt", "§"], "'§'"),
        (["--title", "tea"], "ifog make-pairs"),
        (["--title", ""], "prompt is empty"),
        (["--title", f"a{SEPARATOR}"], "U+0002"),
        (["--beam", 0], "width 0"),
    ],
)
def test_what_makes_no_sense_is_one_paragraph(ifog: Any, trained: Path, options: list[Any], words: str) -> None:
    assert words in flat(ifog("sample", trained, *options, code=2).stderr)
