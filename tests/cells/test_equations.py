"""Cells against their equations written by hand with tensors, and against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cells.running import Sequence, assert_same, follow, sequence
from ifog.cells import get

sigma, tanh, relu = torch.sigmoid, torch.tanh, torch.relu


def torch_module(kind: str, run: Sequence, gates: str, **arguments: int | str) -> nn.Module:
    """PyTorch's layer with this run's weights."""
    hidden = run.plan.graph.hidden_size
    module = getattr(nn, kind)(run.x.shape[2], hidden, dtype=torch.float64, **arguments)
    p = run.parameters
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.cat([p[f"W_x{g}"] for g in gates]))
        module.weight_hh_l0.copy_(torch.cat([p[f"W_h{g}"] for g in gates]))
        module.bias_ih_l0.copy_(torch.cat([p[f"b_{g}"] for g in gates]))
        module.bias_hh_l0.zero_()
        if "b_hn" in p:
            module.bias_hh_l0[-hidden:].copy_(p["b_hn"])
        if "proj_size" in arguments:
            module.weight_hr_l0.copy_(p["W_hr"])
    return module


@pytest.mark.parametrize(
    ("name", "kind", "gates"), [("elman", "RNN", "h"), ("gru", "GRU", "rzn")], ids=["elman", "gru"]
)
def test_one_state_recurrences_are_pytorchs(name: str, kind: str, gates: str) -> None:
    run = sequence(get(name), steps=5)
    output, last = torch_module(kind, run, gates)(run.x, run.states[0].unsqueeze(0))
    assert_same(run.results(), (output, last[0]))


def test_the_relu_network_is_pytorchs() -> None:
    run = sequence(get("relu_rnn"), steps=5)
    module = torch_module("RNN", run, "h", nonlinearity="relu")
    output, last = module(run.x, run.states[0].unsqueeze(0))
    assert_same(run.results(), (output, last[0]))


def test_the_lstm_is_pytorchs() -> None:
    run = sequence(get("lstm"), steps=5)
    output, last = torch_module("LSTM", run, "ifgo")(run.x, tuple(s.unsqueeze(0) for s in run.states))
    assert_same(run.results(), (output, *(s[0] for s in last)))


def test_the_projected_lstm_is_pytorchs() -> None:
    run = sequence(get("lstm_projected"), steps=5, proj_size=2)
    output, last = torch_module("LSTM", run, "ifgo", proj_size=2)(run.x, tuple(s.unsqueeze(0) for s in run.states))
    assert_same(run.results(), (output, *(s[0] for s in last)))


def test_the_base_8_cell_multiplies_in_its_fourth_leaf() -> None:
    def step(x: Tensor, h: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        u = [x @ p[f"W_x{k}"].T for k in range(8)]
        v = [h @ p[f"W_h{k}"].T for k in range(8)]
        leaves = [
            sigma(u[0] + v[0]),
            relu(u[1] + v[1]),
            sigma(u[2] + v[2]),
            relu(u[3] * v[3]),
            tanh(u[4] + v[4]),
            sigma(u[5] + v[5]),
            tanh(u[6] + v[6]),
            sigma(u[7] + v[7]),
        ]
        pairs = [
            tanh(leaves[0] * leaves[1]),
            tanh(leaves[2] + leaves[3]),
            tanh(leaves[4] * leaves[5]),
            sigma(leaves[6] + leaves[7]),
        ]
        c = tanh(pairs[0] + c) * pairs[1]
        h = tanh(c * tanh(pairs[2] + pairs[3]))
        return h, h, c

    run = sequence(get("nas"), steps=4)
    assert_same(run.results(), follow(step, run))


def test_the_xlstms_scalar_memory_is_a_weighted_mean_whatever_its_running_logarithm() -> None:
    for exponential in (False, True):
        run = sequence(get("slstm"), steps=4, exponential_forget=exponential)
        zero = torch.zeros_like(run.states[0])
        run.states = (run.states[0].detach(), zero, zero, zero)

        def step(x: Tensor, h: Tensor, c: Tensor, n: Tensor, *, open_=exponential, **p: Tensor) -> tuple[Tensor, ...]:
            i, f, o, z = (x @ p[f"W_x{g}"].T + h @ p[f"W_h{g}"].T + p[f"b_{g}"] for g in "ifoz")
            f = f.exp() if open_ else sigma(f)
            c = f * c + i.exp() * tanh(z)
            n = f * n + i.exp()
            h = sigma(o) * c / n
            return h, h, c, n

        found = run.results()
        c, n, m = found[2:]
        run.states = run.states[:3]
        assert_same((*found[:2], c * m.exp(), n * m.exp()), follow(step, run))


def test_the_xlstms_exponential_gates_do_not_overflow() -> None:
    run = sequence(get("slstm"), steps=400, exponential_forget=True)
    run.parameters["b_f"].data.fill_(9.0)  # by itself the cell would grow to exp(3600)
    run.states = tuple(torch.zeros(2, 4, dtype=torch.float64) for _ in run.states)
    assert all(bool(torch.isfinite(v).all()) for v in run.results())


def test_the_first_lstm_squashes_to_two_on_the_way_in_and_to_one_on_the_way_out() -> None:
    run = sequence(get("lstm_original"), steps=3)

    def step(x: Tensor, h: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        i, o, g = (x @ p[f"W_x{k}"].T + h @ p[f"W_h{k}"].T + p[f"b_{k}"] for k in "iog")
        c = c + sigma(i) * 2 * tanh(g / 2)
        h = sigma(o) * tanh(c / 2)
        return h, h, c

    assert_same(run.results(), follow(step, run))


def test_the_long_expressive_memory_reads_its_slow_state_as_this_step_leaves_it() -> None:
    run = sequence(get("lem"), steps=3, step=0.5)

    def step(x: Tensor, h: Tensor, z: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        s, t = (0.5 * sigma(x @ p[f"W_x{k}"].T + h @ p[f"W_h{k}"].T + p[f"b_{k}"]) for k in "st")
        z = (1 - s) * z + s * tanh(x @ p["W_xz"].T + h @ p["W_hz"].T + p["b_z"])
        h = (1 - t) * h + t * tanh(x @ p["W_xh"].T + z @ p["W_zh"].T + p["b_h"])
        return h, h, z

    assert_same(run.results(), follow(step, run))


def test_the_xlstms_matrix_memory_stores_outer_products() -> None:
    run = sequence(get("matrix_lstm"), steps=4)
    run.states = (torch.zeros(2, 16), torch.zeros(2, 4), torch.zeros(2, 1))
    run.states = tuple(s.double() for s in run.states)

    def step(x: Tensor, c: Tensor, n: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        q, k, v, o, i, f = (x @ p[f"W_x{g}"].T + p[f"b_{g}"] for g in "qkvoif")
        k, i, f = k / 2.0, i.exp(), sigma(f)
        c = f.unsqueeze(2) * c + i.unsqueeze(2) * torch.einsum("bi,bj->bij", v, k)
        n = f * n + i * k
        y = torch.einsum("bij,bj->bi", c, q) / (n * q).sum(1, keepdim=True).abs().clamp(min=1.0)
        return sigma(o) * y, c, n

    found = run.results()
    run.states = (torch.zeros(2, 4, 4, dtype=torch.float64), run.states[1])
    output, c, n = follow(step, run)
    grown = found[3].exp()
    assert_same((found[0], found[1] * grown, found[2] * grown), (output, c.flatten(1), n))


def test_the_delta_rule_replaces_what_a_key_held() -> None:
    run = sequence(get("delta_net"), steps=4)

    def step(x: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        q, k = (torch.softmax(x @ p[f"W_x{g}"].T, 1) for g in "qk")
        v, b = x @ p["W_xv"].T, sigma(x @ p["W_xb"].T)
        c = c.view(2, 4, 4)
        old = torch.einsum("bij,bj->bi", c, k)
        c = c + torch.einsum("bi,bj->bij", b * (v - old), k)
        return torch.einsum("bij,bj->bi", c, q), c.flatten(1)

    assert_same(run.results(), follow(step, run))


def test_the_mogrifier_gates_input_and_state_in_turn() -> None:
    run = sequence(get("mogrifier_lstm"), steps=3, rounds=3)

    def step(x: Tensor, h: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        x = 2 * sigma(h @ p["W_hq1"].T) * x
        h = 2 * sigma(x @ p["W_xr2"].T) * h
        x = 2 * sigma(h @ p["W_hq3"].T) * x
        i, f, o, g = (x @ p[f"W_x{k}"].T + h @ p[f"W_h{k}"].T + p[f"b_{k}"] for k in "ifog")
        c = sigma(f) * c + sigma(i) * tanh(g)
        h = sigma(o) * tanh(c)
        return h, h, c

    assert_same(run.results(), follow(step, run))


def test_full_gate_recurrence_feeds_all_gates_of_the_step_before_to_each() -> None:
    run = sequence(get("odyssey_fgr"), steps=3)

    def step(x: Tensor, h: Tensor, c: Tensor, *old: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        def gate(name: str, cell: Tensor) -> Tensor:
            total = x @ p[f"W_x{name}"].T + h @ p[f"W_h{name}"].T + p[f"b_{name}"] + p[f"p_{name}"] * cell
            for source, value in zip("ifo", old, strict=True):
                total = total + value @ p[f"W_{source}{name}"].T
            return sigma(total)

        i, f = gate("i", c), gate("f", c)
        c = tanh(x @ p["W_xz"].T + h @ p["W_hz"].T + p["b_z"]) * i + c * f
        o = gate("o", c)
        return tanh(c) * o, tanh(c) * o, c, i, f, o

    assert_same(run.results(), follow(step, run))


VARIANTS = {"nig": "i", "nfg": "f", "nog": "o", "niaf": "", "noaf": "", "np": "", "cifg": "", "": ""}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v or "vanilla")
def test_each_variant_of_the_odyssey_differs_by_its_one_change(variant: str) -> None:
    run = sequence(get(f"odyssey_{variant}" if variant else "odyssey"), steps=3)

    def step(x: Tensor, h: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        def gate(name: str, cell: Tensor) -> Tensor:
            if VARIANTS[variant] == name:
                return torch.ones_like(c)
            total = x @ p[f"W_x{name}"].T + h @ p[f"W_h{name}"].T + p[f"b_{name}"]
            return sigma(total if variant == "np" else total + p[f"p_{name}"] * cell)

        z = x @ p["W_xz"].T + h @ p["W_hz"].T + p["b_z"]
        z = z if variant == "niaf" else tanh(z)
        f = gate("f", c)
        i = 1 - f if variant == "cifg" else gate("i", c)
        c = z * i + c * f
        h = (c if variant == "noaf" else tanh(c)) * gate("o", c)
        return h, h, c

    assert_same(run.results(), follow(step, run))


def test_the_recurrent_highway_reads_the_input_in_its_first_layer() -> None:
    run = sequence(get("recurrent_highway"), steps=3, depth=2)

    def step(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        for k in "12":
            u, v = (x @ p["W_xg1"].T, x @ p["W_xt1"].T) if k == "1" else (0.0, 0.0)
            g = tanh(u + h @ p[f"W_hg{k}"].T + p[f"b_g{k}"])
            t = sigma(v + h @ p[f"W_ht{k}"].T + p[f"b_t{k}"])
            h = g * t + h * (1 - t)
        return h, h

    assert_same(run.results(), follow(step, run))


def test_minimal_cells_without_a_matrix_in_the_loop() -> None:
    run = sequence(get("mingru"), steps=3)

    def gru(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        z, n = sigma(x @ p["W_xz"].T + p["b_z"]), x @ p["W_xn"].T + p["b_n"]
        return ((1 - z) * h + z * n,) * 2

    assert_same(run.results(), follow(gru, run))
    run = sequence(get("minlstm"), steps=3)

    def lstm(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        f, i = sigma(x @ p["W_xf"].T + p["b_f"]), sigma(x @ p["W_xi"].T + p["b_i"])
        return ((f * h + i * (x @ p["W_xn"].T + p["b_n"])) / (f + i),) * 2

    assert_same(run.results(), follow(lstm, run))
    run = sequence(get("rg_lru"), steps=3)

    def lru(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        r, i = sigma(x @ p["W_xr"].T + p["b_r"]), sigma(x @ p["W_xi"].T + p["b_i"])
        a = sigma(p["lambda"]) ** (8 * r)
        return (a * h + (1 - a**2).sqrt() * i * (x @ p["W_xp"].T),) * 2

    assert_same(run.results(), follow(lru, run))


def test_the_simple_recurrent_unit_takes_the_input_itself_where_sizes_allow() -> None:
    run = sequence(get("sru"), 4, 4, steps=3)

    def step(x: Tensor, c: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        f = sigma(x @ p["W_xf"].T + p["b_f"] + p["v_f"] * c)
        r = sigma(x @ p["W_xr"].T + p["b_r"] + p["v_r"] * c)
        c = f * c + (1 - f) * (x @ p["W_xc"].T)
        return r * c + (1 - r) * 3**0.5 * x, c

    assert "W_xp" not in run.parameters
    assert_same(run.results(), follow(step, run))


def test_the_gru_forms_of_the_lectures() -> None:
    run = sequence(get("gru_cho"), steps=3)

    def cho(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        r, z = (sigma(x @ p[f"W_x{g}"].T + h @ p[f"W_h{g}"].T + p[f"b_{g}"]) for g in "rz")
        n = tanh(x @ p["W_xn"].T + (r * h) @ p["W_hn"].T + p["b_n"])
        return (z * h + (1 - z) * n,) * 2

    assert_same(run.results(), follow(cho, run))
    run = sequence(get("gru_colah"), steps=3)

    def colah(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        r, z = (sigma(x @ p[f"W_x{g}"].T + h @ p[f"W_h{g}"].T) for g in "rz")
        n = tanh(x @ p["W_xn"].T + (r * h) @ p["W_hn"].T)
        return ((1 - z) * h + z * n,) * 2

    assert_same(run.results(), follow(colah, run))


def test_mutants_read_the_input_itself_where_sizes_allow() -> None:
    run = sequence(get("mut1"), 4, 4, steps=3)

    def mut1(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        z = sigma(x @ p["W_xz"].T + p["b_z"])
        r = sigma(x @ p["W_xr"].T + h @ p["W_hr"].T + p["b_r"])
        return (tanh((r * h) @ p["W_hh"].T + tanh(x) + p["b_h"]) * z + h * (1 - z),) * 2

    assert "W_xh" not in run.parameters
    assert_same(run.results(), follow(mut1, run))
    run = sequence(get("mut2"), 4, 4, steps=3)

    def mut2(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        z = sigma(x @ p["W_xz"].T + h @ p["W_hz"].T + p["b_z"])
        r = sigma(x + h @ p["W_hr"].T + p["b_r"])
        return (tanh((r * h) @ p["W_hh"].T + x @ p["W_xh"].T + p["b_h"]) * z + h * (1 - z),) * 2

    assert "W_xr" not in run.parameters
    assert_same(run.results(), follow(mut2, run))


def test_multiplicative_networks_multiply_input_and_state() -> None:
    run = sequence(get("multiplicative_rnn"), steps=3)

    def by_input(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        m = (x @ p["W_xm"].T) * (h @ p["W_hm"].T)
        return (tanh(x @ p["W_xh"].T + m @ p["W_mh"].T + p["b_h"]),) * 2

    assert_same(run.results(), follow(by_input, run))
    run = sequence(get("mi_rnn"), steps=3)

    def integration(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        u, v = x @ p["W_xh"].T, h @ p["W_hh"].T
        return (tanh(p["alpha"] * u * v + p["beta_p"] * u + p["beta_q"] * v + p["b"]),) * 2

    assert_same(run.results(), follow(integration, run))


def test_slow_context_units_stand_beside_fast_ones() -> None:
    run = sequence(get("scrn"), steps=3, context_size=2)

    def step(x: Tensor, h: Tensor, s: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        s = 0.05 * (x @ p["W_xs"].T) + 0.95 * s
        h = sigma(x @ p["W_xh"].T + h @ p["W_hh"].T + s @ p["W_sh"].T)
        return torch.cat((h, s), 1), h, s

    assert_same(run.results(), follow(step, run))


def test_highway_and_residual_networks_let_the_input_pass() -> None:
    run = sequence(get("highway_rnn"), 4, 4, steps=3)

    def highway(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        g = tanh(x @ p["W_xg"].T + h @ p["W_hg"].T + p["b_g"])
        t = sigma(x @ p["W_xt"].T + h @ p["W_ht"].T + p["b_t"])
        return (t * g + (1 - t) * x,) * 2

    assert_same(run.results(), follow(highway, run))
    run = sequence(get("residual_rnn"), 4, 4, steps=3)

    def residual(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        return (x + tanh(x @ p["W_xg"].T + h @ p["W_hg"].T + p["b_g"]),) * 2

    assert_same(run.results(), follow(residual, run))


def test_a_convolution_of_width_two_and_pooling() -> None:
    run = sequence(get("qrnn"), steps=3)

    def step(x: Tensor, c: Tensor, past: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        z, f, o = (x @ p[f"W_x{g}"].T + past @ p[f"W_p{g}"].T + p[f"b_{g}"] for g in "zfo")
        c = sigma(f) * c + (1 - sigma(f)) * tanh(z)
        return sigma(o) * c, c, x

    assert_same(run.results(), follow(step, run))


def test_the_remaining_plain_networks() -> None:
    functions = {"sigmoid_rnn": sigma, "irnn": relu, "orthogonal_rnn": relu}
    for name, function in functions.items():
        run = sequence(get(name), steps=3)

        def step(x: Tensor, h: Tensor, *, function=function, **p: Tensor) -> tuple[Tensor, ...]:
            return (function(x @ p["W_xh"].T + h @ p["W_hh"].T + p["b_h"]),) * 2

        assert_same(run.results(), follow(step, run))
    run = sequence(get("leaky_rnn"), steps=3, leak=0.25)

    def leaky(x: Tensor, h: Tensor, **p: Tensor) -> tuple[Tensor, ...]:
        return (0.75 * h + 0.25 * tanh(x @ p["W_xh"].T + h @ p["W_hh"].T + p["b_h"]),) * 2

    assert_same(run.results(), follow(leaky, run))
