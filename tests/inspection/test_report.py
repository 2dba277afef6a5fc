"""The page and the picture: what stands in the file is what was recorded, within a rounding step."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from ifog.data import ByteTokenizer, CharTokenizer
from ifog.errors import ConfigError
from ifog.inspection import draw, inspect, render_report, report
from ifog.inspection.tracks import ranked, track_of
from ifog.models import LanguageModel

LETTERS = "abcdefghiprst .\n<>&/"
TEXT = "a bad cab.\n<b>deaf hag & </script>\n"


def made(hidden_size: int = 5, num_layers: int = 2) -> Any:
    model = LanguageModel(len(LETTERS), hidden_size=hidden_size, num_layers=num_layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.9, 0.9)
    model.tokenizer = CharTokenizer(LETTERS)
    return model.eval()


def noise(length: int) -> str:
    return "".join(np.random.default_rng(0).choice(list(LETTERS), length))


class Page:
    """What a browser would read out of the file."""

    def __init__(self, content: str) -> None:
        self.meta = json.loads(re.search(r'id="meta">(.*?)</script>', content, re.DOTALL).group(1))  # type: ignore[union-attr]
        self.blocks = dict(re.findall(r'id="block-([^"]+)">([^<]*)</script>', content))

    def bytes(self, name: str) -> bytes:
        return zlib.decompress(base64.b64decode(self.blocks[name]))

    def numbers(self, name: str) -> Any:
        return np.frombuffer(self.bytes(name), np.uint8)

    def units(self) -> dict[str, tuple[float, float, Any]]:
        """Low, high and levels of every unit."""
        return {
            f"{self.meta['values'][value]}:{unit}": (low, high, self.numbers(f"track-{k}"))
            for k, (value, unit, low, high, *_) in enumerate(self.meta["tracks"])
        }


def test_every_unit_of_a_short_text_is_on_the_page_within_half_a_level() -> None:
    model = made()
    page, trace = Page(render_report(model, TEXT)), inspect(model, TEXT)
    units = page.units()
    assert set(units) == {f"{name}:{k}" for name in trace.names for k in range(5)}
    assert page.meta["levels"] == 255
    for name, (low, high, levels) in units.items():
        values = trace[name]
        if name.split(".")[1][0] in "ifo":
            assert (low, high) == (0.0, 1.0)
        else:
            assert low == -high
        shown = low + (high - low) * levels / 254
        assert_allclose(shown, np.clip(values, low, high), atol=(high - low) * 0.51 / 254 + 1e-4)


def test_text_surprise_and_candidates_are_those_of_the_trace() -> None:
    model = made()
    page, trace = Page(render_report(model, TEXT, candidates=3)), inspect(model, TEXT, candidates=3)
    assert page.bytes("text").decode() == TEXT
    words = np.array(page.meta["vocabulary"])
    best = words[page.numbers("best").reshape(3, -1)].T
    assert_array_equal(best, np.array(list(LETTERS))[trace.candidates.ids])
    assert_allclose(page.numbers("chances").reshape(3, -1).T / 255, trace.candidates.probabilities, atol=0.51 / 255)
    bits = -trace.log_prob[1:] / np.log(2)
    assert_allclose(page.numbers("surprise")[1:] / 16, bits, atol=0.51 / 16)
    assert page.numbers("surprise")[0] == 0


def test_a_page_is_whole_without_a_network_and_nothing_in_it_ends_it() -> None:
    content = render_report(made(), TEXT, title="</title><script>alert(1)</script>")
    assert "</title><script>" not in content
    assert not re.search(r"(src|href)\s*=|https?://|@import|url\(", content)
    assert "default-src 'none'" in content
    assert content.count("<script") == content.count("</script>")
    assert "{{" not in content


def test_what_does_not_fit_is_left_out_and_the_page_says_so() -> None:
    model, text = made(hidden_size=60), noise(6000)
    content = render_report(model, text, megabytes=0.25, units=["layer1.f:59"])
    page = Page(content)
    assert 0.2e6 < len(content.encode()) < 0.25e6
    assert page.meta["levels"] == 21
    kept = list(page.units())
    assert kept[:2] == ["layer1.f:59", "layer1.h:59"]
    assert page.meta["values"] == [f"layer{k}.{name}" for k in (0, 1) for name in "hcifog"]
    assert f"{len(kept)} of 720 units are here" in page.meta["notes"][0]
    assert {name.split(":")[0] for name in kept} == set(page.meta["values"])
    assert all(f"layer{k}.{v}" in page.meta["notes"][0] for k in (0, 1) for v in "hcifog")
    low, high, levels = page.units()["layer1.f:59"]
    trace = inspect(model, text, values=["layer1.f:59"])
    assert_allclose(low + (high - low) * levels / 20, trace["layer1.f:59"], atol=0.51 / 20)


def test_a_page_says_how_a_text_in_pieces_was_read() -> None:
    notes = Page(render_report(made(3, 1), noise(10_000))).meta["notes"]
    assert any("2 pieces side by side" in note and "1,024 tokens" in note for note in notes)
    notes = Page(render_report(made(3, 1), noise(10_000), exact=True)).meta["notes"]
    assert any("in one piece" in note for note in notes)


def test_a_page_too_small_for_its_text_is_refused() -> None:
    model = made()
    blocks = Page(render_report(model, noise(4000))).blocks
    others = sum(len(content) for name, content in blocks.items() if not name.startswith("track"))
    with pytest.raises(ConfigError, match=r"has no room for a unit: 4,000 tokens and their candidates take"):
        render_report(model, noise(4000), megabytes=(60_000 + others + 100) / 1e6)


def test_a_text_that_fits_on_no_page_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def watched(model: Any, text: str, **options: Any) -> Any:
        read.append(len(text))
        return inspect(model, text, **options)

    monkeypatch.setattr(report, "inspect", watched)
    with pytest.raises(ConfigError, match=r"no room for 400,000 tokens .* ([1-9]0*,000) characters") as refused:
        render_report(made(), noise(400_000), megabytes=0.3)
    assert read == [1 << 14]
    fitting = re.search(r"([\d,]+) characters", str(refused.value))
    assert fitting
    assert Page(render_report(made(), noise(int(fitting[1].replace(",", ""))), megabytes=0.3)).units()


@pytest.mark.parametrize("units", [["layer0.h"], ["layer0.h:5"], ["layer7.h:0"]])
def test_units_that_are_none_are_refused(units: list[str]) -> None:
    with pytest.raises(ConfigError):
        render_report(made(), TEXT, units=units)


def test_tokens_of_several_or_no_characters_have_their_lengths_on_the_page() -> None:
    model = LanguageModel(256, hidden_size=3)
    model.tokenizer = ByteTokenizer()
    page = Page(render_report(model, "né!"))
    assert np.frombuffer(page.bytes("lengths"), "<u2").tolist() == [1, 0, 1, 1]
    assert page.bytes("text").decode() == "né!"


def test_the_units_that_hold_different_values_for_long_come_first() -> None:
    trace = inspect(made(hidden_size=4, num_layers=1), noise(800))
    h = np.zeros((800, 4), np.float32)
    h[:, 1] = np.tile([1, -1], 400)  # flickers
    h[:, 2] = np.repeat([1, -1], 400)  # holds
    h[:, 3] = np.repeat([0.5, -0.5], 400)
    object.__setattr__(trace, "arrays", {**{name: np.zeros_like(h) for name in trace.names}, "layer0.h": h})
    order = [name for name in ranked(trace) if name.startswith("layer0.h")]
    assert order[:2] == ["layer0.h:2", "layer0.h:3"]
    assert ranked(trace, ["layer0.f:0"])[:3] == ["layer0.f:0", "layer0.h:0", "layer0.c:0"]
    assert len(ranked(trace)) == len(set(ranked(trace))) == 6 * 4


def test_a_constant_unit_and_a_gate_have_sound_scales() -> None:
    zero = track_of("layer0.h:0", np.zeros(9, np.float32), False, 21)
    assert (zero.low, zero.high, set(zero.levels.tolist())) == (-1.0, 1.0, {10})
    shut = track_of("layer0.f:0", np.zeros(9, np.float32), True, 21)
    assert (shut.low, shut.high, set(shut.levels.tolist())) == (0.0, 1.0, {0})
    spike = np.ones(1000, np.float32)
    spike[3] = 50
    assert track_of("layer0.c:0", spike, False, 21).high == 1.0


def test_the_picture_shows_the_colours_of_the_values() -> None:
    from PIL import Image

    model = made(num_layers=1)
    trace = inspect(model, TEXT, values=["layer0.h:2"])
    figure = draw(trace, "layer0.h:2", rows=2, columns=30)
    patches = figure.axes[0].patches
    assert len(patches) == len(TEXT)
    for patch, value in zip(patches, trace["layer0.h:2"], strict=True):
        red, _, blue, _ = patch.get_facecolor()
        assert value == pytest.approx(0, abs=0.02) or (red > blue) == (value > 0)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100)
    assert Image.open(stream).size[0] > 250
    with pytest.raises(ConfigError, match="not a single unit"):
        draw(inspect(model, TEXT), "layer0.h")
    with pytest.raises(ConfigError, match="nothing to draw"):
        draw(trace, "layer0.h:2", start=len(TEXT))


def test_long_lines_of_a_picture_are_broken_and_rows_are_counted() -> None:
    trace = inspect(made(num_layers=1), "abc\nabcdefgh\na", values=["layer0.h:0"])
    patches = draw(trace, "layer0.h:0", rows=3, columns=4).axes[0].patches
    assert [tuple(map(int, p.get_xy())) for p in patches] == [
        *[(k, 0) for k in range(4)], *[(k, 1) for k in range(4)], *[(k, 2) for k in range(4)],
    ]  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_page_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    import ifog
    from ifog.cli.application import app

    run = ifog.train(text="a bad cab. " * 30, steps=1, hidden_size=4, out=tmp_path / "run", sequence=5, batch_size=2)
    (tmp_path / "text.txt").write_text("a bad cab")
    call = ["inspect", str(run.path), "--text", str(tmp_path / "text.txt")]
    done = CliRunner().invoke(app, [*call, "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.bytes("text") == b"a bad cab"
    done = CliRunner().invoke(app, [*call, "--png", str(tmp_path / "unit.png"), "--unit", "layer0.c:3"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "unit.png").read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(app, [*call, "--png", str(tmp_path / "unit.png")])
    assert done.exit_code == 2
    done = CliRunner().invoke(app, [*call, "--out", str(tmp_path / "page.html"), "--characters", "3"])
    assert Page((tmp_path / "page.html").read_text(encoding="utf-8")).bytes("text") == b"a b"
    monkeypatch.setattr("ifog.cli.inspect.LONGEST", 8)
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 2
    assert "more than 8 characters" in done.output
    monkeypatch.undo()
    (tmp_path / "text.txt").write_text("a bad Zebra")
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 2
    assert "'Z' (U+005A" in done.output
    done = CliRunner().invoke(app, [*call, "--unknown", "skip", "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
