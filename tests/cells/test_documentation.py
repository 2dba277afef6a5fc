"""docs/cells.md against the cells; `python tests/cells/test_documentation.py` writes the table again."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import torch

import ifog
from ifog.cells import CATALOGUE, catalogue

PAGE = Path(__file__).parents[2] / "docs" / "cells.md"
START, END = "<!-- catalogue -->\n", "<!-- end of catalogue -->"


def table() -> str:
    lines = ["| cell | what it is | states | parameters | paper |", "|---|---|---|--:|---|"]
    for name in sorted(CATALOGUE):
        figures = catalogue.summary(name, 128, 256)
        title, paper = inspect.cleandoc(CATALOGUE[name].__doc__ or "").split("\n\n")
        states = ", ".join(f"`{state}`" if n == 256 else f"`{state}` ({n:,})" for state, n in figures.states.items())
        paper = re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", " ".join(paper.split()))
        lines.append(f"| `{name}` | {title} | {states} | {figures.parameters:,} | {paper} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_cells_is_the_catalogue() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text[text.index(START) + len(START) : text.index(END)]
    assert shown.split("\n") == table().split("\n"), "python tests/cells/test_documentation.py writes it again"


def test_every_cell_that_the_text_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rest = text[text.index("## Where papers leave room") :]
    named = {name for row in re.findall(r"^(?:\| (`[^|]*)\||- \*\*`(.*?):?\*\*)", rest, re.MULTILINE) for name in row}
    names = {n for group in named for n in re.findall(r"\w+", re.sub(r"\band\b|\bgated\b", "", group))}
    assert names <= set(CATALOGUE)
    assert len(names) > 20


def test_the_defaults_that_the_text_states_are_the_cells() -> None:
    def options(name: str) -> dict[str, object]:
        return CATALOGUE[name].options

    def starts(name: str) -> dict[str, object]:
        return {p.name: p.initial for p in CATALOGUE[name].trace(3, 4).parameters}

    assert options("antisymmetric_rnn") == options("gated_antisymmetric_rnn") == {"step": 0.1, "gamma": 0.01}
    assert options("unicornn")["alpha"] == 1.0
    assert options("janet") == {"beta": 1.0}
    assert (starts("fastrnn")["b_alpha"], starts("fastrnn")["b_beta"]) == (-3.0, 3.0)
    assert (starts("fastgrnn")["b_zeta"], starts("fastgrnn")["b_nu"]) == (1.0, -4.0)


def test_the_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    example = PAGE.parent / "cells.py"
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(example), "exec"), names)
    layer = ifog.Recurrent(names["decaying"], input_size=3, hidden_size=4)  # type: ignore[arg-type]
    y, (h,) = layer(torch.randn(5, 2, 3))
    torch.testing.assert_close(y[-1], h[0])
    memory = ifog.Recurrent(names["gated_memory"], input_size=3, hidden_size=5)  # type: ignore[arg-type]
    y, (c,) = memory(torch.randn(1, 2, 3))
    assert y.shape == (1, 2, 5)
    assert bool((torch.linalg.matrix_rank(c.view(2, 5, 5)) == 1).all()), "one key has written one value"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(START) + len(START)], page[page.index(END) :]
    PAGE.write_text(before + table() + after, encoding="utf-8")
