"""The catalogue: names, citations, counts, initial values, figures, and how little there is to read."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

import ifog.cells
from ifog.cells import CATALOGUE, affine, catalogue, cell, get, sigmoid, tanh
from ifog.compiler import language
from ifog.compiler.graph import Parameter
from ifog.compiler.initialisers import fill
from ifog.compiler.printing import equations, latex
from ifog.errors import CellError
from ifog.kernels import aten

FOLDER = Path(ifog.cells.__file__).parent
NOT_CELLS = {"__init__.py", "catalogue.py", "transforms.py"}


def initial(parameter: Parameter, hidden_size: int) -> torch.Tensor:
    tensor = torch.empty(parameter.shape)
    fill(tensor, parameter.initial, hidden_size)
    return tensor


def starts(name: str, parameter: str, input_size: int = 3, hidden_size: int = 5) -> torch.Tensor:
    graph = get(name).trace(input_size, hidden_size)
    return initial(next(p for p in graph.parameters if p.name == parameter), hidden_size)


def test_there_are_sixty_cells_and_more_in_under_a_thousand_lines() -> None:
    files = [path for path in FOLDER.glob("*.py") if path.name not in NOT_CELLS]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    assert len(CATALOGUE) >= 60
    assert lines < 1000


def test_no_cell_lives_outside_the_catalogue_and_names_are_those_of_the_functions() -> None:
    decorated = [
        name
        for path in FOLDER.glob("*.py")
        for name in re.findall(r"^@cell\b[^\n]*\ndef (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(decorated) == sorted(CATALOGUE)
    assert all(c.name == c.function.__name__ == name for name, c in CATALOGUE.items())


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_cell_has_a_title_of_one_line_and_a_citation_with_its_year(name: str) -> None:
    title, citation = inspect.cleandoc(CATALOGUE[name].__doc__ or "").split("\n\n")
    assert title.endswith(".")
    assert "\n" not in title
    assert re.search(r"\((19|20)\d\d\)", citation)
    assert citation.endswith(".")


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.parametrize(("input_size", "hidden_size"), [(1, 1), (3, 4), (4, 4), (17, 5)])
def test_every_cell_can_be_traced_at_any_sizes(name: str, input_size: int, hidden_size: int) -> None:
    graph = CATALOGUE[name].trace(input_size, hidden_size)
    assert len(graph.states) == len(CATALOGUE[name].states)
    assert [s.name for s in graph.states] == list(CATALOGUE[name].states)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_named_value_has_its_equation_in_text_and_in_latex(name: str) -> None:
    graph = CATALOGUE[name].trace(3, 4)
    named = [n for n, _ in graph.names]
    assert [left for left, _ in equations(graph) if left in named] == named
    text = latex(graph)
    assert text.startswith("\\begin{aligned}")
    assert text.count(" &= ") == len(equations(graph))
    depth = 0
    for character in re.sub(r"\\[{}]", "", text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\left(") == text.count(r"\right)")
    for symbol in ("%", "None", "Symbol"):
        assert symbol not in text


def test_the_lstms_equations_are_those_of_the_slide() -> None:
    assert dict(equations(get("lstm").trace(3, 4))) == {
        "i": "σ(W_xi x + W_hi h' + b_i)",
        "f": "σ(W_xf x + W_hf h' + b_f)",
        "o": "σ(W_xo x + W_ho h' + b_o)",
        "g": "tanh(W_xg x + W_hg h' + b_g)",
        "c": "f * c' + i * g",
        "h": "o * tanh(c)",
    }


@pytest.mark.parametrize(("m", "n"), [(3, 4), (128, 256), (1, 1)])
def test_parameter_counts_are_the_lectures(m: int, n: int) -> None:
    def count(name: str) -> int:
        return get(name).trace(m, n).parameter_count

    assert count("elman") == n * (m + n + 1)
    assert count("lstm") == 4 * n * (m + n + 1)
    assert count("gru_cho") == 3 * n * (m + n + 1)
    assert count("gru_colah") == 3 * n * (m + n)
    assert count("gru") == 3 * n * (m + n + 1) + n
    assert count("odyssey") == 4 * n * (m + n + 1) + 3 * n
    assert count("odyssey_fgr") == count("odyssey") + 9 * n * n
    assert count("nas") == 8 * n * (m + n)
    assert count("mingru") == 2 * n * (m + 1)


def test_the_forget_gate_starts_open() -> None:
    for name in ("lstm", "lstm_peephole", "lstm_projected", "odyssey", "slstm", "ran"):
        assert (starts(name, "b_f") == 1.0).all()
    assert (starts("lstm", "b_i") == 0.0).all()


def test_the_irnn_starts_as_the_identity_with_zero_bias() -> None:
    torch.testing.assert_close(starts("irnn", "W_hh"), torch.eye(5))
    assert (starts("irnn", "b_h") == 0.0).all()


def test_the_orthogonal_rnn_starts_orthogonal() -> None:
    W = starts("orthogonal_rnn", "W_hh")
    torch.testing.assert_close(W @ W.T, torch.eye(5))


def test_only_the_bias_of_the_chrono_initialiser_spreads_over_time_scales() -> None:
    b = starts("janet", "b_f", hidden_size=1000)
    assert float(b.min()) >= 0.0
    assert float(b.max()) <= torch.log(torch.tensor(99.0))
    assert float(b.std()) > 0.5


def test_pytorchs_own_recurrences_are_recognised() -> None:
    kinds = {"elman": "rnn_tanh", "relu_rnn": "rnn_relu", "gru": "gru", "lstm": "lstm", "lstm_projected": "lstm"}
    for name in CATALOGUE:
        options = {"proj_size": 3} if name == "lstm_projected" else {}
        found = aten.recognise(CATALOGUE[name].trace(3, 4, **options))
        same_graph = {"irnn": "rnn_relu", "orthogonal_rnn": "rnn_relu", "odyssey_np": "lstm"}
        assert (found.kind if found else None) == (kinds | same_graph).get(name), name


def test_which_recurrences_have_no_matrix_in_the_loop() -> None:
    kinds = {name: catalogue.summary(name, 3, 4).kind for name in CATALOGUE}
    assert {n for n, k in kinds.items() if k == "linear"} == {"mingru", "minlstm", "trnn", "rg_lru", "delta_net"}
    assert {n for n, k in kinds.items() if k == "elementwise"} == {"indrnn", "sru", "brc", "unicornn", "matrix_lstm"}


def test_a_summary_has_the_figures_of_the_plan() -> None:
    found = catalogue.summary("gru_cho", 3, 4)
    assert found.parameters == 3 * 4 * (3 + 4 + 1)
    assert found.states == {"h": 4}
    assert found.stages == 2
    assert found.kind == "matrix"
    assert 2 * 3 * 4 * (3 + 4) < found.flops < 4 * 3 * 4 * (3 + 4)


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(CellError, match=r"'ltsm': not in the catalogue of \d+; did you mean lstm"):
        get("ltsm")
    with pytest.raises(CellError, match="did you mean gru"):
        get("GRU")
    with pytest.raises(CellError, match="no name comes near it"):
        get("qqqqqqqq")
    with pytest.raises(CellError, match="mut1"):
        catalogue.summary("mut4", 3, 4)


def test_the_vocabulary_is_whole_and_sorted() -> None:
    assert ifog.cells.__all__ == sorted(ifog.cells.__all__)
    assert set(language.__all__) <= set(ifog.cells.__all__)
    assert all(hasattr(ifog.cells, name) for name in ifog.cells.__all__)


def test_a_new_cell_takes_ten_lines_and_needs_no_registration() -> None:
    @cell
    def slow_gru(x, h, *, pace=0.5):  # type: ignore[no-untyped-def]
        """A GRU that never moves all the way."""
        z = pace * sigmoid(affine("z", x, h))
        n = tanh(affine("n", x, h))
        return (1 - z) * h + z * n

    assert len(inspect.getsource(slow_gru.function).splitlines()) <= 10
    assert slow_gru.trace(3, 4, pace=0.1).parameter_count == 2 * 4 * (3 + 4 + 1)


def test_options_change_the_equation() -> None:
    assert get("recurrent_highway").trace(3, 4, depth=1).parameter_count == 2 * 4 * (3 + 4 + 1)
    assert get("recurrent_highway").trace(3, 4, depth=2).parameter_count == 2 * 4 * (3 + 4 + 1) + 2 * 4 * (4 + 1)
    assert get("mogrifier_lstm").trace(3, 4, rounds=0).parameter_count == get("lstm").trace(3, 4).parameter_count
    assert get("lstm_projected").trace(3, 4, proj_size=2).state_sizes == (2, 4)
    assert get("scrn").trace(3, 4, context_size=2).state_sizes == (4, 2)
    assert get("taugru").trace(3, 4, delay=3).state_sizes == (4, 12)
    assert get("qrnn").trace(3, 4).state_sizes == (4, 3)
    assert get("matrix_lstm").trace(3, 4).state_sizes == (16, 4, 1)
