"""The search over units: choosing, judging, the bars, and the words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ifog
from ifog.cli.application import app
from ifog.errors import ConfigError, DataError
from ifog.inspection.controls import detect, shuffled
from ifog.inspection.detectors import DETECTORS
from ifog.inspection.labels import Source
from ifog.inspection.search import Search, search
from ifog.inspection.statistics import association, readable, recent_prediction
from ifog.models import LanguageModel

LINE = 'name = read("the first line", 12)  # what it says\n'
TEXT = "".join(f"{'if x:' if k % 3 else 'y = (3, [a])'}\n    {LINE[: 10 + k % 39]}\n" for k in range(60))


BOTTLES = "".join(f"{number} green bottles hanging on the wall,\n" for number in range(40))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    run = tmp_path_factory.mktemp("trained") / "run"
    ifog.train(text=BOTTLES, out=run, steps=2, hidden_size=6, embedding_size=4, batch_size=4, sequence=10)
    return run


class Arrays:
    """Arrays by name, as a trace gives them."""

    def __init__(self, tokens: list[str], **arrays: np.ndarray) -> None:
        self.tokens, self.arrays = tokens, {name.replace("_", "."): array for name, array in arrays.items()}
        self.names = tuple(self.arrays)
        self.states = tuple(name for name in self.names if name[-1] in "hc")

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]


def noise(steps: int, units: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, units)).astype(np.float32)


def test_the_unit_is_chosen_on_the_first_half_and_judged_on_the_second():
    labels = DETECTORS["line_position"](Source(TEXT, "prose"))
    half = len(TEXT) // 2
    values = noise(len(TEXT), 5)
    values[:half, 2] = -labels[:half]  # falls with the label, then forgets it
    values[half:, 4] = labels[half:]  # which nobody can know in the first half
    finding = search(Arrays(list(TEXT), layer0_h=values), "prose", detectors=["line_position"])["line_position"]
    assert (finding.name, finding.unit, finding.rises) == ("layer0.h", 2, False)
    assert finding.value == pytest.approx(-association(values[half:, 2], labels[half:]), abs=2e-3)
    assert not finding.found
    assert finding.verdict.startswith("not found: the position in the line. The best, unit 2 of layer 0 (h), has")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_unit_is_found_in_either_direction(sign: int):
    labels = DETECTORS["quotes"](Source(TEXT, "python"))
    values = noise(len(TEXT), 130)
    values[:, 100] = sign * (labels + 0.1 * values[:, 100])
    made = search(Arrays(list(TEXT), layer0_h=noise(len(TEXT), 3, 1), layer1_f=values), "python")
    finding = made["quotes"]
    assert finding.found
    assert (finding.name, finding.unit, finding.rises) == ("layer1.f", 100, sign > 0)
    assert finding.value == pytest.approx(1.0, abs=1e-3)
    assert finding.lower <= finding.value <= finding.upper
    assert finding.clearing == 1
    does = "is inside quotes" if sign > 0 else "is low inside quotes"
    assert finding.verdict.startswith(f"unit 100 of layer 1 (f) {does}: AUC 1.00 (")
    assert made.interpretable["layer1.f"][100]
    assert str(made).count("\n") == len(made.findings) + bool(made.absent)
    assert json.loads(json.dumps(made.to_dict()))["findings"][0]["detector"] == "quotes"


def test_a_label_that_the_last_characters_tell_needs_controls_to_be_found():
    labels = DETECTORS["digit"](Source(TEXT, "prose"))
    values = labels[:, None] + 0.2 * noise(len(TEXT), 1)
    trace = Arrays(list(TEXT), layer0_h=values)
    controls = [Arrays(list(TEXT), layer0_h=noise(len(TEXT), 4, seed)) for seed in range(1, 6)]
    alone = search(trace, "prose", detectors=["digit"])["digit"]
    assert alone.controls is None
    assert alone.recent == alone.bar == pytest.approx(1.0)
    assert not alone.found
    beside = search(trace, "prose", detectors=["digit"], controls=controls)["digit"]
    assert beside.controls is not None
    assert beside.controls <= beside.bar < 0.9
    assert beside.found
    assert "shuffled weights 0." in beside.verdict


def test_a_unit_that_controls_have_too_is_not_found():
    labels = DETECTORS["digit"](Source(TEXT, "prose"))
    traces = [Arrays(list(TEXT), layer0_c=labels[:, None] + noise(len(TEXT), 2, seed)) for seed in range(6)]
    found = search(traces[0], "prose", detectors=["digit"], controls=traces[1:])["digit"]
    assert found.lower > found.chance
    assert not found.found
    assert found.bar > found.value


def test_where_a_label_is_not_known_a_unit_may_do_as_it_likes():
    text = "".join(f"if a:\n    if b:\n        c = {k}\n\n    d = {k}\n" for k in range(40))
    source = Source(text, "python")
    detector = DETECTORS["indentation_depth"]
    assert detector.known
    labels, known = detector(source), detector.known(source)
    wanted = [bool(c.strip()) for c in text]  # here no line holds a space after its first character but `if a`, `c = 1`
    assert all(known[i] for i, visible in enumerate(wanted) if visible)
    assert not any(known[i] for i, c in enumerate(text) if c == "\n" or text[: i + 1].rpartition("\n")[2].isspace())
    values = noise(len(text), 4)
    values[known, 1] = labels[known]  # elsewhere it is noise
    values[:, 3] = np.random.default_rng(5).permutation(labels)
    found = search(Arrays(list(text), layer0_c=values), "python", detectors=["indentation_depth", "line_position"])
    finding = found["indentation_depth"]
    assert (finding.unit, finding.found) == (1, True)
    assert finding.value == pytest.approx(1.0, abs=1e-3)
    assert finding.auc == pytest.approx(1.0, abs=1e-3)
    assert finding.probe > 0.9  # three units of noise blur it
    assert finding.recent < 0.9


def test_the_last_characters_are_asked_only_where_the_label_is_known():
    codes = np.array([7, 8] * 50, dtype=np.uint32)
    labels = np.array([0, 1] * 50)
    lies = np.where(np.arange(100) % 4 == 1, 9, labels)  # every other 8 carries a label that isn't meant
    known = np.arange(100) % 4 != 1
    said = recent_prediction(codes, lies, 60, known=known)
    assert said[::2] == pytest.approx(0.0, abs=0.05)
    assert said[1::2] == pytest.approx(1.0, abs=0.05)


def test_labels_belong_to_the_last_character_of_each_token():
    tokens = [TEXT[begin : begin + 2] for begin in range(0, len(TEXT), 2)]
    tokens[3:4] = ["", tokens[3]]  # a byte within a character
    ready = Search(tokens, "python", detectors=["quotes"])
    whole = DETECTORS["quotes"](Source(TEXT, "python"))
    assert len(ready.labels[0]) == len(tokens)
    np.testing.assert_array_equal(
        np.delete(ready.labels[0], 3), whole[np.minimum(np.arange(1, len(TEXT) + 1, 2), len(TEXT) - 1)]
    )


def test_labels_that_do_not_vary_are_named():
    made = search(Arrays(list("word " * 200), layer0_h=noise(1000, 2)), "prose")
    assert set(made.absent) >= {"quotes", "comment", "digit", "upper_case"}
    assert "too little of: quotes" in str(made)
    with pytest.raises(KeyError):
        made["quotes"]
    none = search(Arrays(list("a" * 500), layer0_h=noise(500, 2)), "prose", detectors=["digit"])
    assert none.findings == ()
    assert none.share == 0.0


def test_the_probe_reads_all_states_together():
    labels = DETECTORS["bracket_depth"](Source(TEXT, "python"))
    mixed = 20 * noise(len(TEXT), 6)
    mixed[:, 5] = labels - mixed[:, :5].sum(1)  # the sum of all units is the depth, no unit is
    finding = search(Arrays(list(TEXT), layer0_h=mixed), "python", detectors=["bracket_depth"])["bracket_depth"]
    assert finding.probe > 0.8
    assert finding.value < 0.5


@pytest.mark.parametrize(
    ("trace", "match"),
    [
        (Arrays(list("short"), layer0_h=noise(5, 2)), "has 5 tokens.*at least 400"),
        (Arrays(list(TEXT)), "holds no state and no gate"),
        (Arrays(list(TEXT), layer0_h=np.full((len(TEXT), 2), np.nan)), "layer0.h holds values that are not finite"),
    ],
)
def test_what_cannot_be_searched_is_told(trace: Arrays, match: str):
    with pytest.raises(DataError, match=match):
        search(trace)


def test_controls_must_have_read_the_same_text():
    trace = Arrays(list(TEXT), layer0_h=noise(len(TEXT), 2))
    with pytest.raises(DataError, match="the same text"):
        search(trace, controls=[Arrays(list(TEXT * 2), layer0_h=noise(2 * len(TEXT), 2))])
    with pytest.raises(ConfigError, match="no detector 'quote'; there are quotes"):
        search(trace, detectors=["quote"])


def test_shuffled_weights_are_the_same_in_other_places():
    model = LanguageModel(9, cell="lstm", hidden_size=8, embedding_size=3)
    made, again, other = shuffled(model, 1), shuffled(model, 1), shuffled(model, 2)
    for (name, a), b, c, d in zip(
        model.named_parameters(), made.parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert (a.flatten().sort().values == b.flatten().sort().values).all()
        assert (b == c).all()
        assert ".b_" in name or name == "b_y" or ((a != b).any() and (b != d).any())
    with pytest.raises(ConfigError, match="controls is -1"):
        detect(model, TEXT, controls=-1)


def test_the_command_searches_ablates_and_writes_json(trained: Path, tmp_path: Path):
    (tmp_path / "wall.txt").write_text(BOTTLES)
    (tmp_path / "mine.py").write_text(
        "from ifog.inspection.detectors import detector\n@detector('at an l', local=True)\ndef letter_l(source):\n"
        "    return source.codes == ord('l')\n"
    )
    arguments = [
        "detect", trained, "--text", tmp_path / "wall.txt", "--define", tmp_path / "mine.py", "--controls", 3,
        "--detector", "digit", "--detector", "line_position", "--detector", "letter_l", "--ablate", "letter_l",
        "--length", 5, "--json", tmp_path / "found.json", "--characters", 1200,
    ]  # fmt: skip
    try:
        done = CliRunner().invoke(app, list(map(str, arguments)))
    finally:
        DETECTORS.pop("letter_l", None)
    assert done.exit_code == 0, done.output
    assert "1,200 characters of prose, read by the model and 3 copies" in done.output
    assert "at an l" in done.output
    assert "clamped:" in done.output
    record = json.loads((tmp_path / "found.json").read_text())
    assert [finding["detector"] for finding in record["findings"]] == ["digit", "line_position", "letter_l"]
    assert record["controls"] == 3
    first, second = record["ablations"][0]["nats"]
    assert first != second
    finding = record["findings"][2]
    assert readable(2 * finding["value"] - 1, True) == pytest.approx(finding["value"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--value", "much"], "value is 'much'"),
        (["--detector", "digit", "--ablate", "quotes", "--controls", "0"], "'quotes' has found no unit"),
        (["--language", "klingon"], "Pygments knows"),
        (["--characters", "0"], "characters is 0"),
    ],
)
def test_the_command_tells_what_to_mend(trained: Path, tmp_path: Path, options: list[str], match: str):
    (tmp_path / "wall.txt").write_text(BOTTLES)
    done = CliRunner().invoke(app, ["detect", str(trained), "--text", str(tmp_path / "wall.txt"), *options])
    assert done.exit_code == 2
    assert match in done.output
