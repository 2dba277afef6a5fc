"""`ifog reproduce` and `ifog table`: published results, and what becomes of them here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ifog.cli.console import say

if TYPE_CHECKING:
    from ifog.recipes import Recipe

__all__ = ["reproduce", "table"]

FOLDER = Path("runs/reproduce")


def reproduce(
    name: Annotated[str | None, typer.Argument(help="The recipe, such as ptb-kn5; --list shows them all.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of corpora. [dim]\\[default: that of IFOG_DATA][/dim]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where each recipe's run directory is made.")] = FOLDER,
    listed: Annotated[
        bool, typer.Option("--list", help="Show all recipes, their figures and how long they take.")
    ] = False,
) -> None:
    """Reproduce a published result: train, judge it on the test text, and say whether the figure was reached.

    Ctrl-C stops a recipe; the same command goes on with it. A recipe that is done is judged from what it left.
    """
    from ifog.recipes import RECIPES, find

    if listed or name is None:
        _list(list(RECIPES.values()))
        return
    from ifog.cli.progress import reported

    recipe = find(name)
    paths, folder = recipe.corpora.paths(data), out / recipe.name
    outcome = recipe.saved(folder)
    if outcome is None:
        say(f"{recipe.title}: {recipe.source}. About {_duration(recipe.minutes * 60)} on two cores.")
        with reported() as progress:
            outcome = recipe.work(paths, folder, progress)
        if outcome is None:
            say(f"Stopped. Go on with: ifog reproduce {recipe.name}" + ("" if out == FOLDER else f" --out {out}"))
            raise typer.Exit(130)
        recipe.save(outcome, folder)
    say(
        f"{recipe.title}: {outcome.figure:.4g} {recipe.unit} (published: {_figure(recipe.published)}), "
        f"{outcome.parameters:,} parameters, {_duration(outcome.seconds)}: {recipe.verdict(outcome.figure)}."
    )


def table(
    name: Annotated[str, typer.Argument(help="The corpus: ptb.")] = "ptb",
    out: Annotated[Path, typer.Option(help="Where `ifog reproduce` left its runs.")] = FOLDER,
) -> None:
    """The lectures' table of language models: published figures beside one's own."""
    from rich.console import Console
    from rich.table import Table

    from ifog.recipes import rows

    say(f"test perplexity on {name} (the lecture's figures: One Billion Words)")
    shown = Table(box=None, padding=(0, 1, 0, 0))
    shown.add_column("system", no_wrap=True)
    for heading in ("lecture", "paper", "here", "size", "time"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_column("ifog reproduce", no_wrap=True)
    for line, recipe, outcome in rows(name, out):
        duration = outcome.seconds if outcome else recipe.minutes * 60
        shown.add_row(
            line.system,
            f"{line.billion:g}" if line.billion else "",
            _figure(recipe.published),
            f"{outcome.figure:.1f}" if outcome else "not run",
            _size(outcome.parameters) if outcome else "",
            _duration(duration),
            recipe.name,
        )
    Console().print(shown)


def _list(recipes: list[Recipe]) -> None:
    for r in recipes:
        low, high = r.expected
        figures = f"{_figure(r.published)} {r.unit}, {low:g} to {high:g} expected"
        say(f"{r.name:<20}{figures}, {_duration(r.minutes * 60)}\n{'':<20}[{r.title}] {r.source}")


def _figure(published: float | None) -> str:
    return "-" if published is None else f"{published:g}"


def _size(parameters: int) -> str:
    return f"{parameters / 1e6:.1f}M" if parameters >= 100_000 else str(parameters)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
