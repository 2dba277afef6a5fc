"""Lists of pitches become piano rolls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import DataError
from ifog.examples.pitches import read_pitches


def written(folder: Path, text: str) -> str:
    path = folder / "music.json"
    path.write_text(text)
    return str(path)


def test_pitches_become_a_piano_roll(tmp_path: Path):
    path = written(tmp_path, json.dumps({"train": [[[21, 108], [], [60]]], "test": [[[22]], [[21]]]}))
    (piece,) = read_pitches(path + "[train]").column("series")
    assert piece.shape == (3, 88)
    assert [np.flatnonzero(step).tolist() for step in piece] == [[0, 87], [], [39]]
    table = read_pitches(path + "[test]")
    assert len(table) == 2
    assert table.where(1).endswith("music.json[test]:2")
    with pytest.raises(DataError, match=r"train, test; name one of them"):
        read_pitches(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([[[20]]], "piece 1, step 1: 20 is no pitch"),
        ([[[109]]], "piece 1, step 1: 109 is no pitch"),
        ([[[21]], [[60], [60.5]]], "piece 2, step 2: 60.5"),
        ([[]], "piece 1 has no steps"),
        ([], "no pieces"),
        ([["C"]], "piece 1, step 1: 'C'"),
    ],
)
def test_what_is_no_pitch_is_refused_with_its_place(tmp_path: Path, content: object, said: str):
    with pytest.raises(DataError, match=said):
        read_pitches(written(tmp_path, json.dumps(content)))


def test_a_broken_json_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="music.json: this is no JSON"):
        read_pitches(written(tmp_path, "[[[60]"))


def test_the_chorales_are_read(data: Path):
    path = str(data / "jsb_chorales" / "jsb-chorales-quarter.json")
    assert [len(read_pitches(f"{path}[{part}]")) for part in ("train", "valid", "test")] == [229, 76, 77]
