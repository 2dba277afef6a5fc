"""Cell by cell against torchrecurrent, given the same weights: values of several steps and all gradients.

Where its equation is not the paper's, the cell that has ITS equation is written out here and agrees with it, and ours
does not. `docs/cells.md` lists these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cells.running import Sequence, assert_same, sequence
from ifog.cells import Cell, affine, cell, get, relu, sigmoid, tanh

torchrecurrent = pytest.importorskip("torchrecurrent")


@dataclass
class Pair:
    """How one of its cells is made from ours.

    Each of its tensors is a stack of our parameters, named in its order with spaces between; `-` is a block of zeros.
    """

    ours: str
    theirs: str
    tensors: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    sizes: tuple[int, int] = (3, 4)
    tolerance: float = 1e-9


def gates(names: str, prefix: str) -> str:
    return " ".join(prefix + name for name in names.split())


def usual(ours: str, theirs: str, x: str, h: str, b: str, b_h: str = "", **more: Any) -> Pair:
    """Stacked gates: `x` and `h` name those that read input and state, `b` the biases on the input's side."""
    tensors = {"weight_ih": gates(x, "W_x"), "weight_hh": gates(h, "W_h"), "bias_ih": b, "bias_hh": b_h}
    return Pair(ours, theirs, tensors | more.pop("tensors", {}), **more)


SINGLE = 1e-5  # PyTorch's derivative of the hard sigmoid has 1/6 in single precision
LSTM = ("i f g o", "i f g o", "b_i b_f b_g b_o")
PAIRS = [
    Pair("antisymmetric_rnn", "AntisymmetricRNNCell", {"weight_ih": "W_xh", "weight_hh": "W", "bias_ih": "b_h"},
         arguments={"epsilon": 0.1, "gamma": 0.01}),
    Pair("gated_antisymmetric_rnn", "GatedAntisymmetricRNNCell",
         {"weight_ih": "W_xz W_xh", "weight_hh": "W", "bias_ih": "b_z b_h"}, arguments={"epsilon": 0.1, "gamma": 0.01}),
    usual("atr", "ATRCell", "p", "q", "b_p"),
    Pair("brc", "BRCell", {"weight_ih": "W_xa W_xc W_xh", "weight_hh": "w_a w_c"}),
    usual("nbrc", "NBRCell", "a c h", "a c", ""),
    usual("cfn", "CFNCell", "f i g", "f i", "b_f b_i -"),
    Pair("cornn", "coRNNCell", {"weight_ih": "W_xz", "weight_hh": "W_hz", "weight_ch": "W_zz", "bias_ih": "b_z"},
         options={"step": 0.2, "gamma": 0.7, "epsilon": 1.3}, arguments={"dt": 0.2, "gamma": 0.7, "epsilon": 1.3}),
    usual("fastrnn", "FastRNNCell", "h", "h", "b_h", tensors={"alpha": "b_alpha", "beta": "b_beta"}),
    usual("fastgrnn", "FastGRNNCell", "p", "p", "b_z b_g", tensors={"zeta": "b_zeta", "nu": "b_nu"},
          arguments={"nonlinearity": "sigmoid"}),
    Pair("indrnn", "IndRNNCell", {"weight_ih": "W_xh", "vector_u": "u", "bias_ih": "b_h"},
         arguments={"nonlinearity": "relu"}),
    usual("janet", "JANETCell", "f g", "f g", "b_f b_g"),
    usual("lightru", "LightRUCell", "n f", "f", "b_n b_f"),
    usual("ligru", "LiGRUCell", "z n", "z n", "b_z b_n"),
    Pair("mclstm", "MCLSTMCell", {"weight_ih": gates("f i o m g", "W_x"), "weight_hh": gates("f i o m g", "W_v"),
                                  "bias_ih": gates("f i o m g", "b_")}),
    usual("mgu", "MGUCell", "f n", "f n", "b_f b_n"),
    usual("minimal_rnn", "MinimalRNNCell", "z", "u", "b_z", "b_u", tensors={"weight_mm": "W_zu"}),
    usual("miru1", "MiRU1Cell", "r n", "r n", "b_r b_n", options={"update": 0.3},
          arguments={"update_coefficient": 0.3}),
    usual("miru2", "MiRU2Cell", "n", "n", "b_n", options={"update": 0.3, "reset": 0.6},
          arguments={"update_coefficient": 0.3, "reset_coefficient": 0.6}),
    usual("multiplicative_lstm", "MultiplicativeLSTMCell", "m i f g o", "m", "- b_i b_f b_g b_o",
          tensors={"weight_mh": gates("i f g o", "W_m")}),
    usual("mut1", "MUT1Cell", "z r h", "r h", "b_z b_r -", "- b_h"),
    usual("mut2", "MUT2Cell", "z r h", "z r h", "b_z b_r b_h"),
    usual("mut3", "MUT3Cell", "z r h", "z r h", "b_z b_r b_h", sizes=(4, 4)),
    usual("lstm_peephole", "PeepholeLSTMCell", *LSTM, tensors={"weight_ph": "p_i p_f p_o"}),
    usual("ran", "RANCell", "c i f", "i f", "b_i b_f"),
    usual("residual_lstm", "ResLSTMCell", *LSTM,
          tensors={"weight_ph": "p_i p_f p_o", "weight_proj": "W_cm", "weight_res": "W_xr"}),
    usual("sgrn", "SGRNCell", "f", "f", "b_f"),
    usual("sgu", "SGUCell", "u z", "g z", "b_u b_z", "b_g -", tolerance=SINGLE),
    usual("dsgu", "DSGUCell", "u z", "g z", "b_u b_z", "b_g -", tensors={"weight_ho": "W_ho"}, tolerance=SINGLE),
    usual("star", "STARCell", "z k", "k", "b_z b_k"),
    Pair("trnn", "TRNNCell", {"weight_ih": "W_xz W_xf", "bias_ih": "- b_f"}),
    Pair("tgru", "TGRUCell", {"weight_ih": gates("z f o", "W_x"), "weight_hh": gates("z f o", "W_p"),
                              "bias_ih": "b_z b_f b_o"}),
    Pair("tlstm", "TLSTMCell", {"weight_ih": gates("z f o", "W_x"), "weight_hh": gates("z f o", "W_p"),
                                "bias_ih": "b_z b_f b_o"}),
    usual("ugrnn", "UGRNNCell", "n g", "n g", "b_n b_g"),
    Pair("unicornn", "UnICORNNCell", {"weight_ih": "W_xh", "weight_hh": "w", "weight_ch": "c", "bias_ih": "b_h"},
         options={"step": 0.2, "alpha": 0.6}, arguments={"dt": 0.2, "alpha": 0.6}),
    usual("wmclstm", "WMCLSTMCell", *LSTM, tensors={"weight_mh": "W_ci W_cf W_co"}),
    usual("intersection_rnn", "IntersectionRNNCell", "y n u g", "y n u g", "b_y b_n b_u b_g", sizes=(4, 4)),
]  # fmt: skip


# the cells as torchrecurrent has them, where that is not as their papers have them


@cell
def lem(x: Any, h: Any, z: Any) -> Any:  # the output reads z of the step before
    s = sigmoid(affine("s", x, h))
    t = sigmoid(affine("t", x, h))
    return (1 - t) * h + t * tanh(affine("h", x, z)), (1 - s) * z + s * tanh(affine("z", x, h))


@cell
def nas(x: Any, h: Any, c: Any) -> Any:  # the fourth leaf adds
    g = [affine(f"{k}", x, h, bias=None) for k in range(8)]
    a = tanh(sigmoid(g[0]) * relu(g[1]))
    b = tanh(sigmoid(g[2]) + relu(g[3]))
    c = tanh(a + c) * b
    return tanh(c * tanh(tanh(tanh(g[4]) * sigmoid(g[5])) + sigmoid(tanh(g[6]) + sigmoid(g[7])))), c


@cell
def lstm_original(x: Any, h: Any, c: Any) -> Any:  # both squashing functions are tanh
    c = c + sigmoid(affine("i", x, h)) * tanh(affine("g", x, h))
    return sigmoid(affine("o", x, h)) * tanh(c), c


@cell
def scrn(x: Any, h: Any, s: Any) -> Any:  # a layer more, whose result is the state
    s = 0.05 * affine("s", x, bias=None) + 0.95 * s
    return tanh(affine("y", bias=None, s=s, h=sigmoid(affine("h", x, h, bias=None, s=s)))), s


DIFFERENT = [
    (lem, usual("lem", "LEMCell", "t s z h", "t s z", "b_t b_s b_z b_h", tensors={"weight_ch": "W_zh"})),
    (nas, usual("nas", "NASCell", "0 1 2 3 4 5 6 7", "0 1 2 3 4 5 6 7", "")),
    (lstm_original, usual("lstm_original", "OriginalLSTMCell", "i g o", "i g o", "b_i b_g b_o")),
    (scrn, usual("scrn", "SCRNCell", "s h", "h y", "", tensors={"weight_ch": "W_sh W_sy"}, arguments={"alpha": 0.95})),
]  # fmt: skip


def their_cell(pair: Pair, run: Sequence) -> tuple[nn.Module, dict[str, Tensor]]:
    """Its cell, and its tensors as functions of ours, so that gradients flow through."""
    arguments = dict(pair.arguments)
    alpha = arguments["alpha"] if pair.theirs == "SCRNCell" else None
    module = getattr(torchrecurrent, pair.theirs)(*pair.sizes, dtype=torch.float64, **arguments)
    stacked: dict[str, Tensor] = {}
    for name, old in [*module.named_parameters(), *module.named_buffers()]:
        names = pair.tensors.get(name, "").split()
        if names:
            rows = old.shape[0] // len(names)
            zeros = torch.zeros(rows, *old.shape[1:], dtype=torch.float64)
            stacked[name] = torch.cat([run.parameters[n] if n != "-" else zeros for n in names])
            assert stacked[name].shape == old.shape, name
        elif name.startswith("bias"):
            stacked[name] = torch.zeros_like(old)
        else:  # janet's beta and SCRN's alpha are trained there and constants in the papers
            assert name in ("beta", "alpha"), name
            stacked[name] = torch.tensor(1.0 if alpha is None else alpha, dtype=torch.float64)
    assert set(pair.tensors) - {n for n, blocks in pair.tensors.items() if not blocks} <= set(stacked)
    return module, stacked


def their_results(pair: Pair, run: Sequence) -> tuple[Tensor, ...]:
    module, stacked = their_cell(pair, run)
    states: Any = run.states
    outputs: list[Tensor] = []
    for x in run.x.unbind(0):
        state = (states[0], states[0]) if pair.ours == "janet" else states if len(states) > 1 else states[0]
        found = torch.func.functional_call(module, stacked, (x, state))
        if not isinstance(found, tuple):
            states, output = (found,), found
        elif isinstance(found[1], tuple):  # an output, and states apart from it
            output, states = found
        elif pair.ours in ("intersection_rnn", "janet"):
            output, states = found[0], (found[1],)
        else:
            output, states = found[0], found
        outputs.append(output)
    return torch.stack(outputs), *states


def assert_agreement(cell: Cell, pair: Pair) -> None:
    run = sequence(cell, *pair.sizes, steps=5, **pair.options)
    ours, theirs = run.results(), their_results(pair, run)
    assert_same(ours, theirs)
    cotangents = [torch.randn_like(r) for r in ours]
    found, wanted = (torch.autograd.grad(results, run.leaves, cotangents) for results in (ours, theirs))
    torch.testing.assert_close(found, wanted, rtol=pair.tolerance, atol=pair.tolerance)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.theirs)
def test_values_and_gradients_agree(pair: Pair) -> None:
    assert_agreement(get(pair.ours), pair)


@pytest.mark.parametrize(("theirs", "pair"), DIFFERENT, ids=lambda p: getattr(p, "theirs", ""))
def test_an_equation_that_is_not_the_papers_is_the_one_the_documentation_names(theirs: Cell, pair: Pair) -> None:
    assert_agreement(theirs, pair)
    run = sequence(get(pair.ours), *pair.sizes)
    same_weights = sequence(theirs, *pair.sizes)
    shared = run.parameters.keys() & same_weights.parameters.keys()
    same_weights.parameters |= {name: run.parameters[name] for name in shared}
    same_weights.x, same_weights.states = run.x, run.states
    ours, others = run.results(), same_weights.results()
    assert not torch.allclose(ours[1], others[1], atol=1e-3)


@pytest.mark.parametrize("name", ["mut1", "mut2", "residual_lstm"])
def test_where_sizes_allow_the_input_needs_no_matrix_as_in_the_papers(name: str) -> None:
    pair = next(p for p in PAIRS if p.ours == name)
    matrix = {"mut1": "W_xh", "mut2": "W_xr", "residual_lstm": "W_xr"}[name]
    run = sequence(get(name), 4, 4)
    assert matrix not in run.parameters
    run.parameters[matrix] = torch.eye(4, dtype=torch.float64)
    wanted = their_results(Pair(pair.ours, pair.theirs, pair.tensors, sizes=(4, 4)), run)
    del run.parameters[matrix]
    assert_same(run.results(), wanted)


def test_the_delayed_gru_reads_a_state_two_steps_further_back() -> None:
    run = sequence(get("taugru"), steps=5, delay=2)
    names = "u z g a"
    pair = usual("taugru", "tauGRUCell", names, names, "b_u b_z b_g b_a")
    module, stacked = their_cell(pair, run)
    h, past = run.states
    history = [past[:, :4], past[:, 4:], h]
    for x in run.x.unbind(0):
        history.append(torch.func.functional_call(module, stacked, (x, history[-1], history[-3])))
    wanted = (torch.stack(history[3:]), history[-1], torch.cat(history[-3:-1], 1))
    assert_same(run.results(), wanted)


def test_every_cell_of_torchrecurrent_is_compared() -> None:
    theirs = {name for name in dir(torchrecurrent) if name.endswith("Cell")}
    compared = {p.theirs for p in PAIRS} | {p.theirs for _, p in DIFFERENT} | {"tauGRUCell"}
    assert theirs == compared
