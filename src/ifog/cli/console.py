"""Print for people: results on standard output, mistakes in red on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARES = ("accuracy", "accuracy_unknown", "macro_f1", "f1", "precision", "recall")  # figures from 0 to 1

__all__ = ["fail", "figures_line", "say"]


def say(text: str = "", style: str | None = None) -> None:
    """Print a line; square brackets are only brackets."""
    Console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def fail(message: str, code: int = 2) -> NoReturn:
    """Print one red paragraph on standard error and stop with an exit code.

    Raises:
        Exit: always.
    """
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def figures_line(metrics: Mapping[str, float]) -> str:
    """Figures in one line: of a language model in its units, of another task by name, shares in percent."""
    if "bits_per_character" in metrics:
        return (
            f"{metrics['loss']:.4f} nats/token · {metrics['bits_per_character']:.4f} bits/character · "
            f"perplexity {metrics['perplexity']:.5g} · accuracy {metrics['accuracy']:.2%}"
        )
    return " · ".join(
        f"{name.replace('_', ' ')} {value:.2%}" if name in SHARES else f"{name.replace('_', ' ')} {value:.5g}"
        for name, value in metrics.items()
    )
