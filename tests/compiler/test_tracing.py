"""From a function to its graph: names, options, sizes, other cells inside, threads and profilers."""

from __future__ import annotations

import cProfile
import functools
import pstats
import re
import sys
import threading
from dataclasses import replace

import pytest

from ifog.compiler.language import affine, matrix, named, sigmoid, tanh, weight
from ifog.compiler.tracing import cell
from ifog.errors import CellError
from sample_cells import elman, gru_cho, lstm


def names(function, **options) -> list[str]:
    return [name for name, _ in cell(function).trace(3, 4, **options).names]


def test_local_variables_that_hold_values_are_the_gates_in_order_of_computation():
    assert [name for name, _ in lstm.trace(3, 4).names] == ["i", "f", "o", "g", "c", "h"]


def test_a_variable_assigned_twice_names_its_last_value():
    def step(x, h):
        u = affine("a", x)
        u = tanh(u)
        return sigmoid(u + h)

    graph = cell(step).trace(3, 4)
    assert graph.nodes[dict(graph.names)["u"]].op == "tanh"


def test_inputs_old_states_and_weights_are_no_gates_whatever_they_are_called():
    def step(x, h):
        old, count, p = h, 3, weight("p")
        return tanh(affine("h", x, h) * count + p * old)

    assert names(step) == ["h"]


def test_an_explicit_name_wins_over_a_local_one():
    def step(x, h):
        u = named("u", tanh(affine("a", x)))
        u = sigmoid(u)
        return u + h

    graph = cell(step).trace(3, 4)
    assert graph.nodes[dict(graph.names)["u"]].op == "tanh"


def test_loops_and_branches_over_options_unroll_while_recording():
    @cell
    def deep(x, h, *, depth=2, gate=False):
        for k in range(depth):
            h = tanh(affine(f"{k}", x=x, h=h) if k == 0 else affine(f"{k}", h=h))
        return sigmoid(affine("g", x)) * h if gate else h

    assert deep.options == {"depth": 2, "gate": False}
    assert [p.name for p in deep.trace(3, 4).parameters] == ["W_x0", "W_h0", "b_0", "W_h1", "b_1"]
    assert len(deep.trace(3, 4, depth=5).parameters) == 11
    assert "W_xg" in {p.name for p in deep.trace(3, 4, gate=True).parameters}


def test_sizes_of_states_follow_options_and_functions():
    @cell(sizes={"c": "memory", "m": lambda o: o["hidden_size"] * 2 + o["input_size"]})
    def step(x, h, c, m, memory=None):
        return tanh(affine("h", x, h)), tanh(affine("c", h=h, size=c.size)), tanh(affine("m", h=h, size=m.size))

    assert step.trace(3, 4).state_sizes == (4, 4, 11)
    assert step.trace(3, 4, memory=7).state_sizes == (4, 7, 11)


def test_an_output_may_differ_from_the_states():
    @cell
    def step(x, h):
        h = tanh(affine("h", x, h))
        return affine("o", h=h, size=2), h

    graph = step.trace(3, 4)
    assert (graph.output_size, graph.state_sizes) == (2, (4,))


def test_a_cell_may_call_another_cell_with_any_values():
    @cell
    def both(x, s, c):
        inside, c = lstm(x, s, c)
        s = gru_cho(tanh(x), inside * 0.5)
        return s, c

    graph = both.trace(3, 4)
    wanted = [p.name for sample in (lstm, gru_cho) for p in sample.trace(3, 4).parameters]
    assert [p.name for p in graph.parameters] == wanted
    assert [name for name, _ in graph.names] == ["c", "inside", "s"]  # the inner cells' variables are their own


def test_a_cell_called_twice_shares_its_weights():
    @cell
    def twice(x, h):
        return elman(x, elman(x, h))

    graph = twice.trace(3, 4)
    assert [p.name for p in graph.parameters] == ["W_xh", "W_hh", "b_h"]
    assert sum(node.op == "product" for node in graph.nodes) == 3


def test_a_cell_may_be_called_with_one_value_for_input_and_state():
    @cell
    def step(x, h):
        return elman(h, h) + affine("x", x)

    assert [p.name for p in step.trace(3, 4).parameters] == ["W_xh", "W_hh", "b_h", "W_xx", "b_x"]


def test_cells_trace_alike_every_time_and_in_every_thread():
    wanted = lstm.trace(3, 4)
    found = []
    threads = [threading.Thread(target=lambda: found.extend(lstm.trace(3, 4) for _ in range(20))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 80
    assert all(graph == wanted for graph in found)


def test_tracing_leaves_a_profile_function_as_it_was():
    def watch(frame, event, argument):
        pass

    before = sys.getprofile()
    try:
        sys.setprofile(watch)
        lstm.trace(3, 4)
        assert sys.getprofile() is watch
    finally:
        sys.setprofile(before)
    lstm.trace(3, 4)
    assert sys.getprofile() is before


def test_a_mistake_in_a_cell_leaves_the_profile_function_as_it_was():
    @cell
    def step(x, h):
        return h + matrix("W", 4, 4)

    before = sys.getprofile()
    with pytest.raises(CellError):
        step.trace(3, 4)
    assert sys.getprofile() is before
    with pytest.raises(CellError, match="@cell"):
        affine("i")  # nothing is being recorded any more


def test_tracing_works_under_cprofile_which_goes_on_afterwards():
    def after():
        return sum(range(10))

    profiler = cProfile.Profile()
    profiler.enable()
    try:
        graph = lstm.trace(3, 4)
        after()
    finally:
        profiler.disable()
    assert [name for name, _ in graph.names] == ["i", "f", "o", "g", "c", "h"]
    assert any(name == "after" for _, _, name in pstats.Stats(profiler).stats)


def test_a_cell_keeps_its_name_and_its_docstring_through_transforms():
    @cell
    def step(x, h):
        """Elman's network.

        Elman (1990).
        """
        return tanh(affine("h", x, h))

    changed = step.rewritten("changed", lambda graph: graph)
    assert (step.name, changed.name) == ("step", "changed(step)")
    assert step.__doc__ == changed.__doc__
    assert "Elman (1990)" in step.__doc__
    assert replace(changed.trace(3, 4), name="step") == step.trace(3, 4)


def test_wrapped_functions_are_traced_through_their_wrapper():
    def doubled(f):
        @functools.wraps(f)
        def wrapper(*args, **options):
            return 2 * f(*args, **options)

        return wrapper

    @cell
    @doubled
    def step(x, h):
        gate = sigmoid(affine("h", x, h))
        return gate * h

    assert [name for name, _ in step.trace(3, 4).names] == ["gate", "h"]


def test_a_trace_is_immutable_and_equal_to_another_of_the_same_cell():
    assert lstm.trace(3, 4) == lstm.trace(3, 4)
    assert hash(lstm.trace(3, 4)) == hash(lstm.trace(3, 4))
    assert lstm.trace(3, 4) != lstm.trace(3, 5)


def _sized(function):
    return lambda sizes: cell(sizes=sizes)(function)


def _two(x, h, c):
    return h, c


REFUSED = {
    "no state": (
        lambda: cell(lambda x: x),
        r"takes x; it needs an input and at least one state: def .*\(x, h\): \.\.\.",
    ),
    "nothing": (lambda: cell(lambda: 0), r"takes nothing; it needs an input and at least one state"),
    "any number of states": (lambda: cell(lambda x, *hs: hs), r"takes \*hs; name every state and option"),
    "any option": (lambda: cell(lambda x, h, **o: h), r"takes \*\*o; name every state and option"),
    "an option without a default": (
        lambda: cell(_needs_default),
        r"option gate of cell _needs_default needs a default",
    ),
    "a size for no state": (
        lambda: _sized(_two)({"m": "hidden_size"}),
        r"cell _two gives a size for m, which is no state; it has h, c",
    ),
    "a size by an unknown option": (
        lambda: _sized(_two)({"c": "memory"}).trace(3, 4),
        r"size of state c of cell _two is said to be memory, which is none of its options; it has input_size, hidden_",
    ),
    "a size that is none": (
        lambda: _sized(_two)({"c": lambda o: o["hidden_size"] / 2}).trace(3, 4),
        r"the size of state c of cell _two is 2\.0; sizes are whole numbers from 1 on",
    ),
    "a size of nothing": (lambda: cell(_two).trace(3, 0), r"the size of state h of cell _two is 0; sizes are whole"),
    "an unknown option": (
        lambda: cell(_peephole).trace(3, 4, peephol=True),
        r"cell _peephole has no option peephol; it has peephole",
    ),
    "any option where there is none": (
        lambda: cell(_two).trace(3, 4, a=1, b=2),
        r"cell _two has no option a, b; it has none",
    ),
    "nothing returned": (
        lambda: cell(lambda x, h: None).trace(3, 4),
        r"returned NoneType instead of a value of the step; return h, computed from the cell's inputs",
    ),
    "a list returned": (lambda: cell(lambda x, h: [h]).trace(3, 4), r"returned list instead of a value of the step"),
    "too few values": (
        lambda: cell(lambda x, h, c: h).trace(3, 4),
        r"has states h, c and returned 1 values; return h, c \(the first is also the output\), or an output before",
    ),
    "too many values": (lambda: cell(lambda x, h: (h, h, h)).trace(3, 4), r"has states h and returned 3 values"),
    "a state that changes its size": (
        lambda: cell(lambda x, h: x).trace(3, 4),
        r"state h of cell .* has 4 columns and its next value 3; make them equal, or declare @cell\(sizes=\{\"h\"",
    ),
    "no function": (lambda: cell("lstm"), r"@cell takes a function of one time step, got str; write def name\(x, h\)"),
    "a partial function": (
        lambda: cell(functools.partial(_two)),
        r"@cell takes a function of one time step, got partial",
    ),
}


def _needs_default(x, h, *, gate):
    return h


def _peephole(x, h, *, peephole=False):
    return h


@pytest.mark.parametrize(("mistake", "message"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_refused_with_place_and_remedy(mistake, message):
    with pytest.raises(CellError) as caught:
        mistake()
    assert re.search(rf"^test_tracing\.py:\d+: .*{message}", str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
