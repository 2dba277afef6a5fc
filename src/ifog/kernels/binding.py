"""Describe a call of the engine: what is bound to which place of a program, every address left open.

Owns the form in which bindings/module.cpp takes it: an address is a tensor's number and an offset in bytes, so that one
description serves all sequences of the same shapes. Takes `Loops` and tensors of which it reads shapes and strides.
Never touches their numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from ifog.compiler.loops import Block, Loops, Projection
from ifog.compiler.spelling import Code
from ifog.kernels import outside
from ifog.kernels.loading import loaded_engine
from ifog.kernels.sharing import Shared
from ifog.kernels.weight_gradients import in_engine, totals_layout

__all__ = ["describe"]

Address = tuple[int, int]  # a tensor's number, and an offset in bytes


def describe(
    loops: Loops,
    code: Code,
    shared: Shared,
    tensors: Mapping[Hashable, Tensor],
    addresses: Mapping[Hashable, Address],
    *,
    reverse: bool,
) -> Any:
    """The engine's call of `code`, for tensors like these at these addresses."""
    return _Description(loops, code, shared, tensors, addresses, reverse).call()


@lru_cache(maxsize=512)
def _program(words: tuple[int, ...]) -> object:
    return loaded_engine().Program(list(words))


@dataclass(frozen=True, eq=False)
class _Description:
    loops: Loops
    code: Code
    shared: Shared
    tensors: Mapping[Hashable, Tensor]
    addresses: Mapping[Hashable, Address]
    reverse: bool

    @property
    def ids(self) -> bool:
        """Whether the input is token ids."""
        return not self.tensors["x"].is_floating_point()

    @property
    def batch(self) -> int:
        """How many sequences there are."""
        return len(self.tensors["begin", 0])

    def call(self) -> Any:
        loops, code, reverse = self.loops, self.code, self.reverse
        steps, rows = self.tensors["x"].shape[:2]
        begin, end = self.ends()
        projections = loops.after if reverse else loops.before
        projected = [] if self.ids else _merged([self.projection(p) for p in projections])
        lookups: list[int] = []
        scatters: list[int] = []
        if outside.looks_up(loops, self.tensors["x"]):
            lookups = [] if reverse else [w for p in loops.before for w in self.lookup(p)]
            scatters = [w for d, _ in loops.scatter for w in self.scatter(d)] if reverse else []
        return loaded_engine().Call(
            _program(code.words), [w for g in code.given for w in self.given(g.role)], self.weights(), self.totals(),
            begin, end, [] if reverse else self.moves("begin"), [] if reverse else self.moves("end"),
            [] if reverse else projected, projected if reverse else [], lookups, scatters,
            self.outers() if reverse else [], steps * rows, self.batch, reverse,
        )  # fmt: skip

    def at(self, role: Hashable, offset: int = 0) -> Address:
        """Where a tensor lies, and further on."""
        number, start = self.addresses[role]
        return number, start + offset

    def given(self, role: Hashable) -> tuple[int, ...]:
        """The address of what a place is bound to, its strides of a step and a row, and whether it is a step late."""
        kind, which = cast("tuple[Any, Any]", role if type(role) is tuple else (role, None))
        packed = self.loops.options.packed  # every row comes after the one before, in this step and the next
        if kind == "block":
            block = self.loops.blocks[which]
            slot = self.tensors["slot", block.slot]
            offset = block.offset * slot.element_size()
            return (*self.at(("slot", block.slot), offset), slot.stride(int(packed)), slot.stride(1), 0)
        if kind == "state":
            history = self.loops.history[which]
            array = self.tensors[history]
            return (*self.at(history, self.first(array)), array.stride(int(packed)), array.stride(1), 1)
        if kind == "parameter":
            piece = self.shared.pieces[which][0]
            return (*self.at(("weight", piece.tensor), piece.start * 4), 0, 0, 0)
        value = self.tensors[role]
        if kind == "start":
            return (*self.at(role), 0, value.stride(0), 0)
        if value.dim() == 1:
            return (*self.at(role), 0, 0, 0)
        first = self.first(value) if role in self.loops.history else 0
        once = len(value) == 1 and len(self.tensors["x"]) > 1  # a mask drawn once serves every step
        return (*self.at(role, first), 0 if once else value.stride(int(packed)), value.stride(1), 0)

    def first(self, history: Tensor) -> int:
        """How many bytes of an array are the states before the first step."""
        packed = self.loops.options.packed
        return history.element_size() * (self.batch * history.stride(1) if packed else history.stride(0))

    def weights(self) -> list[int]:
        """Each matrix's address, its stride of a column and its stride of a depth."""
        words: list[int] = []
        for weight in self.code.weights:
            piece = self.shared.pieces[weight.name][0]
            matrix = self.tensors["weight", piece.tensor]
            rows, columns = matrix.stride()
            offset = piece.start * rows * matrix.element_size()
            strides = (columns, rows) if weight.transposed else (rows, columns)
            words += (*self.at(("weight", piece.tensor), offset), *strides)
        return words

    def totals(self) -> list[int]:
        """Where each sum over rows and steps goes."""
        if not self.code.totals:
            return []
        offsets = totals_layout(self.loops, self.shared)[0]
        return [w for i in self.code.totals for w in self.at("totals", 4 * offsets[i])]  # type: ignore[index]

    def ends(self) -> tuple[list[int], list[int]]:
        """Place, address and stride of a row, for what places start from and for what they end in."""
        begin: list[int] = []
        end: list[int] = []
        carried = self.loops.ends(reverse=self.reverse)
        copies = 0 if self.reverse else len(self.loops.operands)  # in the product's type, of states kept elsewhere too
        for i, (k, place) in enumerate(zip(carried, self.code.carried, strict=True)):
            begin += (place, *self.at(("begin", k)), self.tensors["begin", k].stride(0))
            if i < len(carried) - copies:
                end += (place, *self.at(("end", k)), self.tensors["end", k].stride(0))
        return begin, end

    def moves(self, side: str) -> list[int]:
        """Copies between the states of the caller and the arrays that hold them after every step."""
        words: list[int] = []
        for k, role in enumerate(self.loops.history):
            if role is None:
                continue
            state, array = self.tensors[side, k], self.tensors[role]
            offset = self.last(array) if side == "end" else 0
            outside_, inside = (*self.at((side, k)), state.stride(0)), (*self.at(role, offset), array.stride(1))
            words += (*outside_, *inside) if side == "begin" else (*inside, *outside_)
            words.append(state.shape[1])
        return words

    def last(self, history: Tensor) -> int:
        """From where the engine counts the rows of last states: the last step, or packed the first one, in bytes."""
        steps = 1 if self.loops.options.packed else len(history) - 1
        return steps * self.first(history)

    def rows(self, role: Hashable, column: int = 0) -> tuple[int, ...]:
        """The address of rows over all steps, their stride, and whether they are bf16."""
        array = self.tensors[role]
        stride = array.stride(1 if array.shape[1] > 1 else 0)
        return (*self.at(role, column * array.element_size()), stride, int(array.dtype == torch.bfloat16))

    def projection(self, one: Projection) -> list[int]:
        """out and columns; then each term's operand, depth and weight."""

        def rows(n: int) -> tuple[int, ...]:
            block = self.loops.blocks.get(n)
            if block is not None and (n in self.loops.collected or n == one.out):
                return self.rows(("slot", block.slot), block.offset)
            return self.rows("d_x" if n == one.out else "x")  # of ids: not read

        words: list[int] = []
        for operand, name, flag in one.terms:
            piece = self.shared.pieces[name][0]
            matrix = self.tensors["weight", piece.tensor]
            down, across = matrix.stride()
            strides = (across, down) if flag else (down, across)
            columns, depth = piece.stop - piece.start, matrix.shape[1]
            if flag:
                columns, depth = depth, columns
            if not words:
                words += (*rows(one.out), columns)
            words += (*rows(operand), depth, *self.at(("weight", piece.tensor), piece.start * down * 4), *strides)
        return words

    def lookup(self, one: Projection) -> list[int]:
        """ids, vocabulary, out, columns and weight of a product with one-hot vectors."""
        out, offset, stride, half, columns, _, _, _, _, depth, *weight = self.projection(one)
        return [*self.at("x"), depth, out, offset, stride, half, columns, *weight]

    def scatter(self, d: int) -> list[int]:
        """ids, rows, columns and table of the gradient of such a product."""
        block = self.loops.blocks[d]
        rows = self.rows(("slot", block.slot), block.offset)
        return [*self.at("x"), *rows, block.width, *self.at(("d_table", d))]

    def outers(self) -> list[list[int]]:
        """Outer products that share their left side as one: it and its width, then each right side and result."""
        found: dict[Block, list[int]] = {}
        for left, right, width, role in in_engine(self.loops, self.shared, self.ids):
            words = found.setdefault(left, [*self.rows(("slot", left.slot), left.offset), left.width])
            if isinstance(right, Block):
                words += self.rows(("slot", right.slot), right.offset)
            else:
                words += self.rows(right)
            words += (width, *self.at(role), width)
        return list(found.values())


def _merged(projections: list[list[int]]) -> list[list[int]]:
    """Projections of the same rows to neighbouring columns from neighbouring rows of one matrix, as one."""
    found: list[list[int]] = []
    for words in projections:
        last = found[-1] if found else []
        if len(words) == 14 == len(last):
            out, offset, stride, half, columns = last[:5]
            element = 2 if half else 4
            follows = words[:4] == [out, offset + element * columns, stride, half]
            beside = words[10:] == [last[10], last[11] + 4 * columns * last[12], *last[12:]]
            if follows and beside and words[5:10] == last[5:10]:
                last[4] += words[4]
                continue
        found.append(list(words))
    return found
