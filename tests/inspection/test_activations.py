"""What is recorded of a model that reads a text, compared with equations written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import ifog
from ifog.data import ByteTokenizer, CharTokenizer
from ifog.errors import ConfigError, DataError, RunError
from ifog.inspection import activations, arrays, inspect, stream
from ifog.models import (
    LanguageModel,
    MogrifierConfig,
    MogrifierModel,
    ProjectedConfig,
    ProjectedModel,
    RegularisedConfig,
    RegularisedModel,
    WindowConfig,
    WindowModel,
)

LETTERS = "abcdefgh ."
TEXT = "a bad cab. deaf hag. "


@pytest.fixture(autouse=True)
def floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are compared with the whole text, whatever this CPU multiplies fastest."""
    monkeypatch.setattr(activations, "fastest_products", lambda: "fp32")


def made(cell: str = "lstm", hidden_size: int = 7, num_layers: int = 1, **options: Any) -> Any:
    """A model of ten letters whose weights are large enough to do something."""
    model = LanguageModel(len(LETTERS), cell=cell, hidden_size=hidden_size, num_layers=num_layers, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.9, 0.9)
    model.tokenizer = CharTokenizer(LETTERS)
    return model.eval()


def forgetful() -> Any:
    """h' = tanh(W x + b): nothing is remembered, so it doesn't matter where reading began."""
    model = made("elman", 3)
    with torch.no_grad():
        model.recurrent.W_hh_l0.zero_()
    return model


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(model: Any, layer: int, inputs: Any) -> dict[str, Any]:
    """One layer of the lectures' LSTM, a step at a time in float64; `inputs` are vectors (T, D)."""
    w = {n: p.detach().double().numpy() for n, p in model.recurrent.named_parameters() if n.endswith(f"_l{layer}")}
    h = c = np.zeros(model.config.hidden_size)
    rows: dict[str, list[Any]] = {name: [] for name in "hcifog"}
    for x in inputs:
        i, f, o, g = (w[f"W_x{k}_l{layer}"] @ x + w[f"W_h{k}_l{layer}"] @ h + w[f"b_{k}_l{layer}"] for k in "ifog")
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in zip("hcifog", (h, c, i, f, o, g), strict=True):
            rows[name].append(value)
    return {name: np.array(value) for name, value in rows.items()}


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 17])
def test_states_and_gates_of_two_layers_are_those_of_the_equations(length: int) -> None:
    model = made(num_layers=2)
    trace = inspect(model, TEXT[:length])
    assert trace.gates == tuple(f"layer{k}.{name}" for k in (0, 1) for name in "ifo")
    assert trace.names == tuple(f"layer{k}.{name}" for k in (0, 1) for name in "hcifog")
    below: Any = np.eye(len(LETTERS))[[LETTERS.index(letter) for letter in TEXT[:length]]]
    for layer in (0, 1):
        wanted = lstm_by_hand(model, layer, below)
        for name, value in wanted.items():
            found = trace[f"layer{layer}.{name}"]
            assert found.dtype == np.float32
            assert_allclose(found, value, atol=2e-6)
        below = wanted["h"]


def test_probabilities_and_candidates_are_the_softmax_of_the_scores() -> None:
    model = made(num_layers=2)
    trace = inspect(model, TEXT, candidates=3)
    h = lstm_by_hand(model, 1, lstm_by_hand(model, 0, np.eye(len(LETTERS))[trace.ids])["h"])["h"]
    scores = h @ model.W_hy.detach().double().numpy().T + model.b_y.detach().double().numpy()
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.isnan(trace.log_prob[0])
    assert_allclose(trace.log_prob[1:], np.log(p[np.arange(len(TEXT) - 1), trace.ids[1:]]), atol=3e-6)
    order = np.argsort(-p, 1)[:, :3]
    assert_array_equal(trace.candidates.ids, order)
    assert_allclose(trace.candidates.probabilities, np.take_along_axis(p, order, 1), atol=3e-6)
    assert "".join(trace.tokens) == TEXT


def regularised() -> Any:
    return RegularisedModel(RegularisedConfig(len(LETTERS), embedding_size=4, sizes=(6, 5), layer_dropout=0.5))


def mogrifier() -> Any:
    return MogrifierModel(MogrifierConfig(len(LETTERS), embedding_size=4, sizes=(4, 4)))


def projected() -> Any:
    config = ProjectedConfig(len(LETTERS), embedding_size=4, hidden_size=6, projection_size=3, softmax="full")
    return ProjectedModel(config)


@pytest.mark.parametrize(
    ("model", "h"),
    [
        (regularised(), {"layer0.h": 6, "layer1.h": 5}),
        (mogrifier(), {"layer0.h": 4, "layer1.h": 4}),
        (projected(), {"layer0.h": 3}),
        (made("gru", 5, 2), {"layer0.h": 5, "layer1.h": 5}),
        (made("mingru", 5, embedding_size=3), {"layer0.h": 5}),
        (made("fastrnn", 5), {"layer0.h": 5, "layer0.alpha": 1}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_any_model_with_recurrent_layers_ends_in_the_state_that_it_returns(model: Any, h: dict[str, int]) -> None:
    model.tokenizer = CharTokenizer(LETTERS)
    trace = inspect(model, TEXT)
    assert {name: trace[name].shape[1] for name in h} == h
    with torch.no_grad():
        _, state = model.eval()(torch.from_numpy(trace.ids.astype(np.int64))[:, None])
    states = state if isinstance(model, RegularisedModel) else [state]
    last = np.concatenate([one.h[k, 0].numpy() for one in states for k in range(len(one.h))])
    assert_allclose(np.concatenate([trace[name][-1] for name in h if name.endswith(".h")]), last, atol=1e-6)


def test_an_output_that_is_no_state_is_seen_too() -> None:
    model = made("sru", 5, embedding_size=5)
    trace = inspect(model, TEXT)
    with torch.no_grad():
        y, _ = model.recurrent(model.embedding(torch.from_numpy(trace.ids.astype(np.int64))[:, None]))
    assert trace.names[0] == "layer0.c"
    assert trace.states == ("layer0.c",)
    assert_allclose(trace["layer0.y"], y[:, 0].numpy(), atol=1e-6)


def test_single_units_are_the_columns_of_the_whole() -> None:
    model = made(num_layers=2)
    whole, some = inspect(model, TEXT), inspect(model, TEXT, values=["layer1.c:5", "layer0.f", "layer1.c:2"])
    assert (some.names, some.units) == (("layer0.f",), ("layer1.c:5", "layer1.c:2"))
    for name in ("layer1.c:5", "layer1.c:2", "layer0.f", "layer0.f:3"):
        assert_array_equal(some[name], whole[name])
    with pytest.raises(ConfigError, match=r"'layer0.h' is not in this trace.*values="):
        some["layer0.h"]


def test_arrays_are_views_of_what_was_recorded() -> None:
    trace = inspect(made(), TEXT)
    assert trace["layer0.h"] is trace["layer0.h"]
    assert np.shares_memory(trace["layer0.h:3"], trace["layer0.h"])
    assert not trace["layer0.h"].flags.writeable


def test_the_model_is_left_as_it_was() -> None:
    model = regularised()
    model.tokenizer = CharTokenizer(LETTERS)
    before = [layer.plans for layer in model.layers]
    model.train()
    model.layers[0].eval()
    inspect(model, TEXT)
    assert all(layer.plans is plans for layer, plans in zip(model.layers, before, strict=True))
    assert model.training
    assert not model.layers[0].training
    assert len(model(torch.zeros(3, 2, dtype=torch.long))) == 2
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.layers)


# --- pieces and streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [170, 171, 401])
def test_pieces_come_back_in_the_order_of_the_text(length: int) -> None:
    model, text = forgetful(), (TEXT * 30)[:length]
    exact, cut = inspect(model, text, exact=True), inspect(model, text, warm_up=13)
    assert (exact.pieces, exact.warm_up) == (1, 0)
    assert cut.pieces == (length - 13) // 52 >= 3
    assert_array_equal(cut["layer0.h"], exact["layer0.h"])
    assert_array_equal(cut.log_prob, exact.log_prob)
    assert_array_equal(cut.candidates.ids, exact.candidates.ids)
    assert cut.discrepancy == {"layer0.h": 0.0}


@pytest.mark.parametrize(("precision", "off"), [("fp32", 1e-6), ("int16", 1e-3), ("bf16", 2e-2)])
def test_pieces_multiply_what_is_fastest_and_say_so(
    monkeypatch: pytest.MonkeyPatch, precision: str, off: float
) -> None:
    monkeypatch.setattr(activations, "fastest_products", lambda: precision)
    model, text = made("lstm", 6), TEXT * 20
    exact, cut = inspect(model, text, exact=True), inspect(model, text, warm_up=8)
    assert (exact.precision, cut.precision) == ("fp32", precision)
    first = cut.warm_up + -(-(len(text) - cut.warm_up) // cut.pieces)
    found = np.abs(cut["layer0.h"][:first] - exact["layer0.h"][:first]).max()
    assert off / 1000 < found < off or (precision == "fp32" and found == 0)


def test_what_pieces_forget_is_measured() -> None:
    model, text = made("elman", 6), TEXT * 20
    with torch.no_grad():
        model.recurrent.W_hh_l0.mul_(0.3)
    exact, cut = inspect(model, text, exact=True), inspect(model, text, warm_up=8)
    first = cut.warm_up + -(-(len(text) - cut.warm_up) // cut.pieces)
    assert_array_equal(cut["layer0.h"][:first], exact["layer0.h"][:first])
    assert_allclose(cut["layer0.h"], exact["layer0.h"], atol=0.05)
    assert 0 < cut.discrepancy["layer0.h"] < 0.02
    with torch.no_grad():  # f = 1: the cell adds up all that it ever read
        counter = made("lstm", 4)
        counter.recurrent.b_f_l0.fill_(30.0)
    assert inspect(counter, text, warm_up=8).discrepancy["layer0.c"] > 0.2


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_an_exact_stream_is_the_whole_text_in_parts(chunk: int) -> None:
    model, text = made(num_layers=2), TEXT * 5
    whole = inspect(model, text, exact=True)
    parts = list(stream(model, text, chunk=chunk, exact=True))
    assert [p.begin for p in parts] == list(range(0, len(text), chunk))
    assert "".join(token for p in parts for token in p.tokens) == text
    for name in ("layer0.h", "layer1.c", "layer1.f"):
        assert_allclose(np.concatenate([p[name] for p in parts]), whole[name], atol=1e-6)
    assert_allclose(np.concatenate([p.log_prob for p in parts]), whole.log_prob, atol=2e-6)


def test_a_stream_of_a_file_warms_up_on_the_part_before(tmp_path: Path) -> None:
    model, text = forgetful(), TEXT * 40
    file = tmp_path / "text.txt"
    file.write_text(text)
    parts = list(stream(model, file, chunk=300, warm_up=11, values=["layer0.h:1"]))
    whole = inspect(model, text, exact=True)
    assert len(parts) == 3
    assert_array_equal(np.concatenate([p["layer0.h:1"] for p in parts]), whole["layer0.h:1"])
    assert_array_equal(np.concatenate([p.log_prob for p in parts]), whole.log_prob)


def test_an_array_too_large_for_memory_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    model, text = made(), TEXT * 20
    wanted = inspect(model, text, warm_up=9)
    monkeypatch.setattr(arrays, "_IN_MEMORY", 0)
    found = inspect(model, text, warm_up=9)
    assert found.pieces > 1
    assert_array_equal(found["layer0.c"], wanted["layer0.c"])


def test_a_character_of_several_bytes_is_the_token_that_ends_it() -> None:
    model = LanguageModel(256, hidden_size=3)
    model.tokenizer = ByteTokenizer()
    assert inspect(model, "né").tokens == ["n", "", "é"]
    assert [t.tokens for t in stream(model, "né", chunk=2)] == [["n", ""], ["é"]]


def test_a_run_directory_is_enough(tmp_path: Path) -> None:
    run = ifog.train(text=TEXT * 20, steps=1, hidden_size=5, out=tmp_path / "run", sequence=5, batch_size=2)
    trace = ifog.inspect(run.path, "a bad cab")
    assert trace["layer0.h"].shape == (9, 5)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_unknown_characters_are_named_and_can_be_left_out_or_replaced() -> None:
    model = made()
    with pytest.raises(DataError, match=r"'é' \(U\+00E9, 2 times\), 'Z' \(U\+005A, 1 times\); the first is at .* 1"):
        inspect(model, "aéZé")
    assert "".join(inspect(model, "aéZéb", unknown="").tokens) == "ab"
    assert "".join(inspect(model, "aéZéb", unknown=".").tokens) == "a...b"
    with pytest.raises(ConfigError, match="one character that the model knows"):
        inspect(model, "aé", unknown="?")
    with pytest.raises(DataError, match="is empty"):
        inspect(model, "é", unknown="")


def test_one_character_is_a_text() -> None:
    trace = inspect(made(), "a")
    assert trace["layer0.h"].shape == (1, 7)
    assert np.isnan(trace.log_prob).all()
    assert trace.candidates.ids.shape == (1, 5)


@pytest.mark.parametrize("read", [lambda m: inspect(m, ""), lambda m: list(stream(m, ""))])
def test_an_empty_text_is_refused(read: Any) -> None:
    with pytest.raises(DataError, match="the text is empty"):
        read(made())


def test_a_model_without_recurrent_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="WindowModel has no recurrent layers"):
        inspect(WindowModel(WindowConfig(len(LETTERS))), TEXT)


def test_a_model_that_reads_backwards_is_refused() -> None:
    model = made()
    model.recurrent = ifog.LSTM(3, 4, bidirectional=True)
    with pytest.raises(ConfigError, match="one direction"):
        inspect(model, TEXT)


def test_a_model_with_nan_among_its_weights_is_refused() -> None:
    model = made()
    with torch.no_grad():
        model.recurrent.W_hf_l0[1, 2] = torch.nan
    with pytest.raises(RunError, match=r"recurrent\.W_hf_l0 holds NaN"):
        inspect(model, TEXT)


def test_a_model_and_a_tokenizer_that_do_not_belong_together_are_refused() -> None:
    model = made()
    model.tokenizer = ByteTokenizer()
    with pytest.raises(ConfigError, match="256 tokens and the model 10"):
        inspect(model, TEXT)
    model.tokenizer = None
    with pytest.raises(ConfigError, match="no tokenizer"):
        inspect(model, TEXT)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["layer0.x"], r"no value of this model; .*It has layer0.h, layer0.c"),
        (["layer0.h:7"], "7 units, counted from 0 to 6"),
        (["layer0.h:x"], "counts units from 0"),
        ("layer0.h", "give a list"),
    ],
)
def test_values_that_the_model_lacks_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        inspect(made(), TEXT, values=values)


def test_more_values_than_the_memory_holds_are_refused_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_MEMORY", 1000)
    with pytest.raises(ConfigError, match=r"all values of 21 tokens take .* GiB; name those wanted"):
        inspect(made(), TEXT)
    assert inspect(made(), TEXT, values=()).names == ()


def test_numbers_out_of_range_are_refused() -> None:
    for options in ({"warm_up": 0}, {"candidates": -1}):
        with pytest.raises(ConfigError, match="give 1 or more"):
            inspect(made(), TEXT, **options)
    with pytest.raises(ConfigError, match="chunk is 0"):
        next(stream(made(), TEXT, chunk=0))


def test_no_candidates_are_an_empty_array() -> None:
    assert inspect(made(), TEXT, candidates=0).candidates.ids.shape == (len(TEXT), 0)
