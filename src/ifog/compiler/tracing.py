"""From a cell function to its graph: call it once with symbols and write down what it does.

Owns `cell`, the decorator, and `Cell`, what it makes. Takes a Python function of one time step, gives a `Graph` at
given sizes. Never touches tensors; knows nothing of layers.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, overload

from ifog.compiler import locations
from ifog.compiler.graph import Builder, Graph, State, prune
from ifog.compiler.operations import LEAVES
from ifog.compiler.symbols import Symbol, recording
from ifog.errors import CellError

__all__ = ["Cell", "cell"]

Size = str | Callable[[dict[str, Any]], int]


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrence: a function of one time step that can be traced at any size.

    Attributes:
        function: As the author wrote it.
        name: The function's name; transforms wrap it, as in `zoneout(lstm)`.
        sizes: For states whose size is not the hidden size: the name of an option, "input_size", or a function of
            the options.
        rewrites: Graph transforms, applied in order after tracing.
    """

    function: Callable[..., Any]
    name: str
    sizes: Mapping[str, Size] = field(default_factory=dict[str, Size])
    rewrites: tuple[Callable[[Graph], Graph], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.function.__doc__)

    @functools.cached_property
    def signature(self) -> tuple[str, tuple[str, ...], dict[str, Any]]:
        """The input's name, the states' names and the options with their defaults."""
        positional: list[str] = []
        options: dict[str, Any] = {}
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise CellError(f"{self.where}: cell {self.name} takes {parameter}; name every state and option")
            if parameter.default is parameter.empty:
                if parameter.kind is parameter.KEYWORD_ONLY:
                    raise CellError(f"{self.where}: option {parameter.name} of cell {self.name} needs a default")
                positional.append(parameter.name)
            else:
                options[parameter.name] = parameter.default
        if len(positional) < 2:
            raise CellError(
                f"{self.where}: cell {self.name} takes {' and '.join(positional) or 'nothing'}; "
                f"it needs an input and at least one state: def {self.name}(x, h): ..."
            )
        return positional[0], tuple(positional[1:]), options

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, in order."""
        return self.signature[1]

    @property
    def options(self) -> dict[str, Any]:
        """The cell's options and their defaults."""
        return dict(self.signature[2])

    @property
    def where(self) -> str:
        """`file.py:line` of the function."""
        code = self.function.__code__
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The cell inside another cell: records its equations there, with parameters named as in a cell of its own."""
        if self.rewrites:
            raise CellError(
                f"{locations.here()}: {self.name} is a transformed cell, and its transforms act on whole graphs; "
                "call the plain cell here and transform the outer one"
            )
        labels = (self.signature[0], *self.states)
        relabelled = [
            replace(a, label=label) if isinstance(a, Symbol) else a for label, a in zip(labels, args, strict=False)
        ]
        return self.function(*relabelled, *args[len(labels) :], **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A cell is pickled by the place where it was written, as functions are."""
        module, name = self.function.__module__, self.function.__qualname__
        if self.rewrites or "<" in name:
            raise CellError(
                f"cell {self.name} ({self.where}) is made while a program runs, so a pickle can't name it; "
                "save the layer's state_dict() and build the layer again, or write the cell at the top of a module"
            )
        return _written, (module, name)

    def rewritten(self, name: str, rewrite: Callable[[Graph], Graph]) -> Cell:
        """The same cell with one more transform of its graph."""
        return replace(self, name=f"{name}({self.name})", rewrites=(*self.rewrites, rewrite))

    def trace(self, input_size: int, hidden_size: int, **options: Any) -> Graph:
        """The graph of one step.

        Args:
            input_size: Columns of the input (D).
            hidden_size: Columns of each state that declares no other size (H).
            options: The cell's options; those not given have their defaults.

        Raises:
            CellError: With the line of the cell function and the remedy.
        """
        input_name, states, defaults = self.signature
        if unknown := set(options) - set(defaults):
            raise CellError(
                f"{self.where}: cell {self.name} has no option {', '.join(sorted(unknown))}; "
                f"it has {', '.join(defaults) or 'none'}"
            )
        options = defaults | options
        sizes = [self._size(s, options | {"input_size": input_size, "hidden_size": hidden_size}) for s in states]
        builder = Builder()
        with recording(builder, hidden_size) as record:
            x = Symbol(builder.add("input", (), input_size, (input_name,)), input_size, input_name)
            previous = [Symbol(builder.add("state", (), n, (s,)), n, s) for s, n in zip(states, sizes, strict=True)]
            returned, local = _call_and_watch(self.function, (x, *previous), options)
            record.names = local | record.names
            output, following = self._check_returned(returned, previous)
        names = _in_order(record.names | self._state_names(states, following), builder)
        graph = Graph(
            self.name, input_size, hidden_size, tuple(builder.nodes), tuple(builder.parameters.values()),
            tuple(State(s, p.id, n.id) for s, p, n in zip(states, previous, following, strict=True)), output.id, names,
        )  # fmt: skip
        graph = prune(graph)
        for rewrite in self.rewrites:
            graph = rewrite(graph)
        return graph

    @staticmethod
    def _state_names(states: tuple[str, ...], following: list[Symbol]) -> dict[str, int]:
        return {s: n.id for s, n in zip(states, following, strict=True)}

    def _size(self, state: str, options: dict[str, Any]) -> int:
        rule = self.sizes.get(state, "hidden_size")
        if isinstance(rule, str) and rule not in options:
            raise CellError(
                f"{self.where}: the size of state {state} of cell {self.name} is said to be {rule}, which is none of "
                f"its options; it has {', '.join(options)}"
            )
        size: Any = options[rule] if isinstance(rule, str) else rule(options)
        size = options["hidden_size"] if size is None else size
        if not isinstance(size, int) or size < 1:
            raise CellError(
                f"{self.where}: the size of state {state} of cell {self.name} is {size!r}; "
                "sizes are whole numbers from 1 on"
            )
        return size

    def _check_returned(self, returned: Any, previous: list[Symbol]) -> tuple[Symbol, list[Symbol]]:
        values: list[Any] = [*returned] if isinstance(returned, tuple) else [returned]
        wanted = ", ".join(self.states)
        for value in values:
            if not isinstance(value, Symbol):
                raise CellError(
                    f"{self.where}: cell {self.name} returned {type(value).__name__} instead of a value of the step; "
                    f"return {wanted}, computed from the cell's inputs"
                )
        if len(values) not in (len(previous), len(previous) + 1):
            raise CellError(
                f"{self.where}: cell {self.name} has states {wanted} and returned {len(values)} values; "
                f"return {wanted} (the first is also the output), or an output before them"
            )
        following = values[-len(previous) :]
        for state, before, after in zip(self.states, previous, following, strict=True):
            if before.size != after.size:
                raise CellError(
                    f"{self.where}: state {state} of cell {self.name} has {before.size} columns and its next value "
                    f"{after.size}; "
                    f'make them equal, or declare @cell(sizes={{"{state}": ...}})'
                )
        return values[0], following


def _written(module: str, name: str) -> Cell:
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))  # type: ignore[return-value]


def _call_and_watch(
    function: Callable[..., Any], args: tuple[Symbol, ...], options: dict[str, Any]
) -> tuple[Any, dict[str, int]]:
    """Calls the cell function and reads, as it returns, which local variables hold symbols: the gates' names."""
    code: CodeType = inspect.unwrap(function).__code__
    local: dict[str, int] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            local.update((name, value.id) for name, value in frame.f_locals.items() if isinstance(value, Symbol))

    before: Any = sys.getprofile()
    sys.setprofile(watch)
    try:
        returned = function(*args, **options)
    finally:
        sys.setprofile(before if callable(before) else None)
        if before is not None and not callable(before):  # cProfile before Python 3.12, which Python can't set
            before.enable()
    return returned, local


def _in_order(names: dict[str, int], builder: Builder) -> tuple[tuple[str, int], ...]:
    """Names sorted by the order of computation; one that holds an input, an old state or a weight is no gate."""
    gates = [(name, i) for name, i in names.items() if builder.nodes[i].op not in LEAVES]
    return tuple(sorted(gates, key=lambda pair: (pair[1], pair[0])))


@overload
def cell(function: Callable[..., Any], /) -> Cell: ...
@overload
def cell(*, sizes: Mapping[str, Size]) -> Callable[[Callable[..., Any]], Cell]: ...
def cell(
    function: Callable[..., Any] | None = None, /, *, sizes: Mapping[str, Size] | None = None
) -> Cell | Callable[[Callable[..., Any]], Cell]:
    """Makes a recurrent cell of a function of one time step.

    The first parameter is the input, the other positional ones are the states, parameters with defaults are options.
    The function returns the next states in order, of which the first is also the output; or an output and then the
    states.

    Args:
        function: The step.
        sizes: For states whose size is not the hidden size: an option's name, "input_size", or a function of all
            options.

    Examples:
        >>> from ifog.cells import affine, cell, tanh
        >>> @cell
        ... def elman(x, h):
        ...     return tanh(affine("h", x, h))
        >>> [p.name for p in elman.trace(3, 4).parameters]
        ['W_xh', 'W_hh', 'b_h']
    """

    def decorate(f: Callable[..., Any]) -> Cell:
        if not inspect.isfunction(f):
            raise CellError(
                f"{locations.here()}: @cell takes a function of one time step, got {type(f).__name__}; "
                "write def name(x, h): ... below it"
            )
        made = Cell(f, f.__name__, dict(sizes or {}))
        if unknown := set(made.sizes) - set(made.states):
            raise CellError(
                f"{made.where}: cell {made.name} gives a size for {', '.join(sorted(unknown))}, which is no state; "
                f"it has {', '.join(made.states)}"
            )
        return made

    return decorate if function is None else decorate(function)
