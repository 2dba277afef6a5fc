"""The page of mistakes: its cases, its matrix, and that nothing in a text gets out of its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError
from ifog.examples import Table
from ifog.inspection.mistakes import cases_of, confusion, draw_confusion, render_mistakes

PLACES = [("f.csv", i) for i in (2, 3, 4)]
CLASSES = Table(
    {"text": ["</script><b>", "dull", "fine"], "label": ["good", "poor", "good"], "predicted": ["poor", "poor", "good"],
     "probability": [0.9, 0.8, 0.6]}, PLACES,
)  # fmt: skip
TAGS = Table(
    {"words": [["a", "b", "c"], [], ["d"]], "tags": [["X", "Y", "X"], [], ["Y"]],
     "predicted": [["X", "X", "X"], [], ["Y"]]}, PLACES,
)  # fmt: skip


def test_the_matrix_counts_truth_by_row() -> None:
    labels, matrix = confusion(list(cases_of("classify", CLASSES, "text", "label")))
    assert labels == ["good", "poor"]
    assert matrix.tolist() == [[1, 1], [0, 1]]
    labels, matrix = confusion(list(cases_of("tag", TAGS, "words", "tags")))
    assert matrix.tolist() == [[2, 0], [1, 1]]


def test_a_tag_is_shown_in_its_sentence() -> None:
    case = list(cases_of("tag", TAGS, "words", "tags"))[1]
    assert (case.text, case.where) == ("a \1b\1 c", "f.csv:2")


def test_the_page_holds_the_cases_and_mistakes_come_first() -> None:
    page = render_mistakes(list(cases_of("classify", CLASSES, "text", "label")), {"accuracy": 2 / 3}, "a <title>")
    assert "<title>a &lt;title&gt;</title>" in page
    assert page.count("</script>") == 1
    data = json.loads(re.search(r"const data = (.*);\n", page).group(1))  # type: ignore[union-attr]
    assert data["figures"] == "accuracy 0.6667"
    assert data["cases"][0] == [0, 1, 0.9, "</script><b>", "f.csv:2"]
    assert [case[0] == case[1] for case in data["cases"]] == [False, True, True]


def test_a_picture_and_what_has_no_mistakes(tmp_path: Path) -> None:
    draw_confusion(list(cases_of("classify", CLASSES, "text", "label")), tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match="classify and tag"):
        list(cases_of("forecast", CLASSES, "text", "label"))
    with pytest.raises(DataError, match="no column 'label'"):
        list(cases_of("classify", Table({"text": [], "predicted": []}, []), "text", "label"))


def test_series_are_named_by_their_length() -> None:
    table = Table({"series": [np.zeros((7, 2))], "label": ["a"], "predicted": ["a"]}, [("f", 1)])
    assert next(cases_of("classify", table, "series", "label")).text == "a series of 7 steps"
