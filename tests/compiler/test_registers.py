"""Code of a step: the words that the engine reads, registers, fused instructions, values that replace others."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from ifog.compiler.graph import Node
from ifog.compiler.loops import Options, lower
from ifog.compiler.planning import plan
from ifog.compiler.precision import PRECISIONS
from ifog.compiler.registers import Traffic, emit
from ifog.compiler.scheduling import schedule
from ifog.compiler.spelling import ELEMENTWISE, ROWWISE, Code, Given, Kind
from ifog.kernels import available, engine
from sample_cells import gru_cho, lstm

needs_engine = pytest.mark.skipif(not available(), reason="the engine is not built")


class Instruction(NamedTuple):
    op: str
    out: int
    args: tuple[int, ...]


class Read(NamedTuple):
    """A program, read back."""

    kinds: list[Kind]
    instructions: list[Instruction]


def read(code: Code) -> Read:
    words = iter(code.words)
    next(words)
    kinds = []
    for _ in range(next(words)):
        kinds.append(Kind(next(words)))
        next(words), next(words)
    for _ in range(next(words)):
        next(words), next(words)
    found = []
    for _ in range(next(words)):
        for _ in range(next(words)):
            _, _, terms = next(words), next(words), next(words)
            for _ in range(3 * terms):
                next(words)
        for _ in range(next(words)):
            _, _, length = next(words), next(words), next(words)
            for _ in range(length):
                rowwise, op, out, a, b, c, _, _ = (next(words) for _ in range(8))
                found.append(Instruction((ROWWISE if rowwise else ELEMENTWISE)[op], out, (a, b, c)))
    assert next(words, None) is None
    return Read(kinds, found)


def emitted(nodes: list[Node], program: list[int], traffic: Traffic) -> Read:
    given = {a for n in program for a in nodes[n].args} - set(program)
    return read(emit(schedule(nodes, [([], program)], given), traffic))


def chain(*operations: tuple) -> list[Node]:
    return [Node(op, args, 4, ()) for op, args in operations]


@needs_engine
def test_the_engine_lists_the_same_operations() -> None:
    assert engine().operations() == [*ELEMENTWISE, *ROWWISE]


def test_a_product_is_part_of_the_sum_that_alone_reads_it() -> None:
    nodes = chain(("input", ()), ("input", ()), ("input", ()), ("mul", (0, 1)), ("add", (3, 2)), ("sub", (2, 3)))
    sources = {k: Given(f"in {k}") for k in range(3)}
    once = emitted(nodes[:5], [3, 4], Traffic(sources, [(4, Given("out"))]))
    assert [i.op for i in once.instructions] == ["fma"]
    other = emitted([*nodes[:4], nodes[5]._replace(args=(2, 3))], [3, 4], Traffic(sources, [(4, Given("out"))]))
    assert [i.op for i in other.instructions] == ["fnma"]
    twice = emitted(nodes, [3, 4, 5], Traffic(sources, [(4, Given("out")), (5, Given("more"))]))
    assert [i.op for i in twice.instructions] == ["mul", "add", "sub"]
    wanted = emitted(nodes[:5], [3, 4], Traffic(sources, [(4, Given("out")), (3, Given("too"))]))
    assert [i.op for i in wanted.instructions] == ["mul", "add"], "the product itself is given out"


def test_a_difference_whose_first_part_is_the_product_stays_one() -> None:
    nodes = chain(("input", ()), ("input", ()), ("mul", (0, 1)), ("sub", (2, 0)))
    found = emitted(nodes, [2, 3], Traffic({0: Given("a"), 1: Given("b")}, [(3, Given("out"))]))
    assert [i.op for i in found.instructions] == ["mul", "sub"]


def test_registers_are_used_again_when_their_value_was_read_for_the_last_time() -> None:
    nodes = chain(("input", ()), *(("tanh", (k,)) for k in range(20)))
    found = emitted(nodes, list(range(1, 21)), Traffic({0: Given("in")}, [(20, Given("out"))]))
    assert found.kinds.count(Kind.REGISTER) == 1
    wide = chain(("input", ()), *(("tanh", (0,)) for _ in range(6)), ("add", (1, 2)), ("add", (3, 4)), ("add", (5, 6)),
                 ("add", (7, 8)), ("add", (9, 10)))  # fmt: skip
    found = emitted(wide, list(range(1, 12)), Traffic({0: Given("in")}, [(11, Given("out"))]))
    assert found.kinds.count(Kind.REGISTER) == 6


def test_a_state_is_replaced_where_it_lies_once_nothing_reads_it_any_more() -> None:
    nodes = chain(("state", ()), ("tanh", (0,)), ("neg", (1,)))
    found = emitted(nodes, [1, 2], Traffic({}, [(1, Given("out"))], carried=[(0, 2)]))
    assert [i.op for i in found.instructions] == ["tanh", "neg"], "no copy"
    assert found.kinds.count(Kind.LOCAL) == 1


def test_a_state_that_is_read_after_its_successor_is_known_is_copied_at_the_end() -> None:
    nodes = chain(("state", ()), ("tanh", (0,)), ("add", (0, 1)))
    found = emitted(nodes, [1, 2], Traffic({}, [(2, Given("out"))], carried=[(0, 1)]))
    assert [i.op for i in found.instructions].count("copy") >= 1
    add = next(k for k, i in enumerate(found.instructions) if i.op == "add")
    state = found.instructions[add].args[0]
    assert not [i for i in found.instructions[:add] if i.out == state], "it is overwritten before it is read"


def test_states_that_change_places_are_both_read_before_either_is_written() -> None:
    nodes = chain(("state", ()), ("state", ()), ("add", (0, 1)))
    found = emitted(nodes, [2], Traffic({}, [(2, Given("out"))], carried=[(0, 1), (1, 0)]))
    copies = [i for i in found.instructions if i.op == "copy"]
    places = {i.args[0] for i in copies if found.kinds[i.args[0]] == Kind.LOCAL}
    assert len(places) == 2
    written: set[int] = set()
    for i in copies:
        assert not written & {i.args[0]} or found.kinds[i.args[0]] == Kind.REGISTER
        written |= {i.out} if found.kinds[i.out] == Kind.LOCAL else set()


def programs_of_cells() -> list[list[int]]:
    found = []
    for cell in (lstm, gru_cho):
        for precision in PRECISIONS:
            options = Options(train=True, precision=precision, valid=True, reset=True)
            loops = lower(plan(cell.trace(3, 4), fused=True), options)
            assert loops.backward is not None
            found += [list(loops.forward.words), list(loops.backward.words)]
    return found


@needs_engine
def test_a_program_that_was_cut_short_or_goes_on_is_refused() -> None:
    for words in programs_of_cells():
        engine().Program(words)
        for length in range(0, len(words), 7):
            with pytest.raises(ValueError, match="program"):
                engine().Program(words[:length])
        with pytest.raises(ValueError, match="something follows"):
            engine().Program([*words, 0])


@needs_engine
def test_random_words_are_a_program_or_an_error_and_nothing_worse() -> None:
    generator = random.Random(1)
    refused = 0
    for words in programs_of_cells():
        for _ in range(400):
            changed = list(words)
            for _ in range(generator.randint(1, 4)):
                value = generator.choice([-1, 0, 1, 2, 7, 65535, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63)])
                changed[generator.randrange(len(changed))] = value
            try:
                engine().Program(changed)
            except ValueError as error:
                assert "program" in str(error)  # noqa: PT017
                refused += 1
    assert refused > 1000
    for _ in range(400):
        with pytest.raises(ValueError, match="program"):
            engine().Program([generator.randint(-5, 50) for _ in range(generator.randint(0, 60))])
