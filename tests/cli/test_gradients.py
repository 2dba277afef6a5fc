"""`ifog gradients`: its table, its JSON, its picture, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SMALL = ["--steps", "12", "--hidden-size", "6", "--sequences", "3"]


def test_a_table_has_a_row_for_each_cell(ifog) -> None:
    shown = ifog("gradients", "--cells", "elman, lstm", *SMALL).output
    for word in ("elman", "lstm", "slope", "half-life", "predicted", "exponent", "last of 12 steps"):
        assert word in shown


def test_json_holds_figures_and_curves(ifog) -> None:
    found = json.loads(ifog("gradients", "--cells", "irnn", *SMALL, "--json").output)
    irnn = found["gradients"]["irnn"]
    assert irnn["matrices"]["layer0.W_hh"] == {"radius": 1.0, "norm": 1.0}
    assert irnn["lags"] == list(range(1, 12))
    assert len(irnn["norms"]["layer0.h"]["median"]) == 11
    assert found["memory"] == {}


def test_a_run_is_measured_on_its_text_and_drawn(ifog, trained: Path, tmp_path: Path) -> None:
    picture = tmp_path / "flow.png"
    shown = ifog("gradients", "--run", trained, "--cells", "gru", *SMALL, "--tokens", "40", "--out", picture).output
    assert "memory length" in shown
    assert "40 tokens judged" in shown or "32 tokens judged" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_run_reads_the_text_it_is_given(ifog, trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "walls.txt"
    text.write_text("7 green walls hanging on the bottles,\n" * 30)
    arguments = ["gradients", "--run", trained, *SMALL, "--no-memory", "--json"]
    own = json.loads(ifog(*arguments).output)["gradients"][str(trained)]
    other = json.loads(ifog(*arguments, "--text", text).output)["gradients"][str(trained)]
    assert own["slope"] != other["slope"]
    text.write_text("7 green ☃ walls" * 30)
    assert "U+2603" in ifog(*arguments, "--text", text, code=2).output
    ifog(*arguments, "--text", text, "--unknown", "skip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to measure"),
        (["--cells", "lsmt"], "did you mean"),
        (["--cells", "elman", "--steps", "1"], "steps is 1"),
        (["--cells", "elman", "--sequences", "0"], "sequences is 0"),
        (["--cells", "elman", *SMALL, "--out", "curve.nonsense"], "curve.nonsense"),
        (["--run", "nowhere"], "nowhere doesn't exist"),
    ],
)
def test_mistakes_are_one_paragraph(ifog, arguments: list[str], message: str) -> None:
    shown = ifog("gradients", *arguments, code=2).output
    assert message in " ".join(shown.split())
    assert "Traceback" not in shown


def test_a_text_too_short_is_refused(ifog, trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("on")
    assert "2 tokens" in ifog("gradients", "--run", trained, "--text", text, code=2).output


def test_help_explains_the_columns(ifog) -> None:
    shown = ifog("gradients", "--help").output
    for word in ("slope", "half-life", "exponent", "spectral radius"):
        assert word in shown
