"""Gates over a text: counted in pieces as at once, by any cell, with their picture."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ifog
from ifog.cells import affine, cell, sigmoid, tanh
from ifog.cli.application import app
from ifog.data import CharTokenizer
from ifog.errors import ConfigError, DataError, RunError
from ifog.inspection.activations import inspect
from ifog.inspection.gates import Gate, Gates, draw_gates, gate_statistics, gates_of
from ifog.models import LanguageModel

TEXT = "the gate that would not close, " * 40


def model_of(cell: Any = "lstm", **options: Any) -> LanguageModel:
    tokenizer = CharTokenizer.from_chunks([TEXT])
    model = LanguageModel(tokenizer.vocabulary_size, cell=cell, hidden_size=5, **options)
    model.tokenizer = tokenizer
    with torch.no_grad():
        for parameter in model.recurrent.parameters():
            parameter *= 6  # so that gates saturate
    return model.eval()


@pytest.mark.parametrize("chunk", [7, 300, 100_000])
def test_figures_are_those_of_all_activations_however_the_text_is_cut(chunk: int):
    model = model_of(num_layers=2)
    found = gate_statistics(model, TEXT, chunk=chunk, exact=True)
    trace = inspect(model, TEXT, exact=True)
    assert found.steps == len(TEXT)
    assert [gate.name for gate in found.gates] == [f"layer{k}.{g}" for k in (0, 1) for g in "ifo"]
    for gate in found.gates:
        values = trace[gate.name].astype(np.float64)
        np.testing.assert_allclose(gate.open, (values > 0.9).mean(0))
        np.testing.assert_allclose(gate.shut, (values < 0.1).mean(0))
        if gate.name.endswith("f"):
            assert gate.keeps == "c"
            np.testing.assert_allclose(gate.half_life, np.log(0.5) / np.log(values).mean(0), rtol=1e-4)
        else:
            assert (gate.keeps, gate.half_life) == ("", None)


def test_a_forget_gate_of_one_half_forgets_half_in_one_step():
    model = model_of()
    weights = dict(model.recurrent.named_parameters())
    with torch.no_grad():
        for name in ("W_xf_l0", "W_hf_l0", "b_f_l0"):
            weights[name].zero_()
        weights["b_f_l0"][1] = np.log(0.9 / 0.1)
        weights["b_f_l0"][2] = 200.0
        weights["b_f_l0"][3] = -200.0
    life = gate_statistics(model, TEXT)["layer0.f"].half_life
    assert life is not None
    np.testing.assert_allclose(life[[0, 1]], [1.0, np.log(0.5) / np.log(0.9)], rtol=1e-4)
    assert np.isinf(life[2])
    assert 0 < life[3] < 0.05


@cell
def keeps_when_shut(x: Any, h: Any) -> Any:
    """A gate that lets the new in."""
    u = sigmoid(affine("u", x, h))
    new = tanh(affine("n", x, h))
    return u * new + (1 - u) * h


def test_what_a_gate_keeps_is_read_from_the_equations():
    assert gates_of(model_of("gru")) == {"layer0.r": ("", False), "layer0.z": ("h", False)}
    assert gates_of(model_of(keeps_when_shut)) == {"layer0.u": ("h", True)}
    model = model_of(keeps_when_shut)
    found = gate_statistics(model, TEXT)["layer0.u"]
    values = inspect(model, TEXT)["layer0.u"].astype(np.float64)
    kept = np.log(np.maximum(1 - values, 1e-12))  # some units shut to the last bit
    np.testing.assert_allclose(found.half_life, np.log(0.5) / kept.mean(0), rtol=1e-3)


def test_units_that_never_change_are_dead():
    model = model_of()
    with torch.no_grad():
        dict(model.recurrent.named_parameters())["b_o_l0"][3] = -1000.0
    found = gate_statistics(model, TEXT)
    assert np.flatnonzero(found.dead["layer0.h"]).tolist() == [3]
    assert not found.dead["layer0.c"].any()
    assert "1 of 5 in layer0.h" in str(found)


def test_a_model_without_gates_or_with_broken_weights_is_told():
    with pytest.raises(ConfigError, match=r"no sigmoid gates \(its cell is elman\)"):
        gate_statistics(model_of("elman"), TEXT)
    with pytest.raises(DataError, match="empty"):
        gate_statistics(model_of(), "")
    model = model_of()
    with torch.no_grad():
        next(model.recurrent.parameters())[0, 0] = np.nan
    with pytest.raises(RunError, match="NaN"):
        gate_statistics(model, TEXT)


def test_the_picture_has_a_panel_for_each_gate_and_refuses_strange_formats(tmp_path: Path):
    found = gate_statistics(model_of(num_layers=2), TEXT)
    assert draw_gates(found, tmp_path / "gates.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="kind 'doc'"):
        draw_gates(found, tmp_path / "gates.doc")


def test_the_table_tells_medians_and_json_has_every_unit():
    share = np.array([0.95, 0.5])
    gate = Gate("layer0.f", "c", share, 1 - share, np.array([1.0, np.inf]))
    made = Gates((gate,), {"layer0.h": np.array([False, True])}, 1234)
    assert "layer0.f    c" in str(made)
    assert "1,234 steps" in str(made)
    record = json.loads(json.dumps(made.to_dict()))
    assert record["gates"]["layer0.f"]["half_life"] == [1.0, None]
    assert record["dead"] == {"layer0.h": [1]}
    with pytest.raises(KeyError):
        made["layer1.f"]


def test_the_command_prints_draws_and_writes(tmp_path: Path):
    run, text = tmp_path / "run", tmp_path / "text.txt"
    text.write_text(TEXT)
    ifog.train(text=TEXT, out=run, steps=1, hidden_size=4, embedding_size=2, batch_size=2, sequence=8)
    names = SimpleNamespace(png=tmp_path / "gates.png", json=tmp_path / "gates.json")
    done = CliRunner().invoke(
        app, ["gates", str(run), "--text", str(text), "--png", str(names.png), "--json", str(names.json)]
    )
    assert done.exit_code == 0, done.output
    assert "layer0.f" in done.output
    assert names.png.stat().st_size > 1000
    assert len(json.loads(names.json.read_text())["gates"]["layer0.f"]["open"]) == 4
    done = CliRunner().invoke(app, ["gates", str(run), "--text", str(tmp_path / "none.txt")])
    assert done.exit_code == 2
