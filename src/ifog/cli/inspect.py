"""`ifog inspect`: what every unit does on a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ifog.cli.console import say
from ifog.errors import ConfigError

__all__ = ["inspect"]

LONGEST = 20_000_000  # characters: some ten times what the largest page holds


def inspect(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")],
    text: Annotated[str, typer.Option(help="UTF-8 text that the model reads; '-' is standard input.")],
    out: Annotated[Path | None, typer.Option(help="The page.", show_default="TEXT.html, here")] = None,
    unit: Annotated[
        list[str] | None, typer.Option(help="A unit that must be on the page, such as layer0.h:37; may be repeated.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Draw the first --unit as a picture here, instead of the page.")
    ] = None,
    start: Annotated[int, typer.Option(help="The first token of the picture.")] = 0,
    rows: Annotated[int, typer.Option(help="Lines of the picture.")] = 40,
    candidates: Annotated[int, typer.Option(help="How many next tokens to show after each.")] = 5,
    characters: Annotated[
        int | None,
        typer.Option(help="How much of the text's beginning is read.", show_default="all that a picture shows, or all"),
    ] = None,
    megabytes: Annotated[
        float | None,
        typer.Option(help="The page's largest size.", show_default="5, for a long text 50 bytes a token up to 24"),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read the text in one piece, so that each value depends on all before it.")
    ] = False,
    unknown: Annotated[
        str | None,
        typer.Option(help="What becomes of characters that the model doesn't know: 'skip', or one character for them."),
    ] = None,
) -> None:
    """Show what every unit does on a text: one page for the browser, which needs no network.

    The text is coloured by any unit of any state or gate; below each character may stand what the model expects next.
    """
    from ifog.data import Corpus
    from ifog.inspection import draw, render_report
    from ifog.inspection import inspect as look
    from ifog.inspection.labels import opening
    from ifog.tasks.language import load

    replacement = "" if unknown == "skip" else unknown
    if png is not None and not unit:
        raise ConfigError("--png draws one unit; say which, as in --unit layer0.h:37.")
    if characters is None:
        # a token is seldom longer than 20 characters, and a picture shows no more of them than fit into its lines
        characters = LONGEST + 1 if png is None else 20 * (start + 100 * rows)
    content = opening(Corpus.from_files([text]).texts(), characters)
    if len(content) > LONGEST:
        raise ConfigError(
            f"{text} has more than {LONGEST:,} characters, which no page holds; read a part of it, for example its "
            "beginning with --characters 1000000."
        )
    model = load(run)
    if png is not None and unit:
        trace = look(model, content, values=unit[:1], candidates=0, exact=exact, unknown=replacement)
        figure = draw(trace, unit[0], start=start, rows=rows)
        figure.savefig(png, dpi=200)
        say(f"{png}: {unit[0]} on {text}")
        return
    name = "standard input" if text == "-" else Path(text).name
    page = render_report(
        model, content, title=f"{run.name} on {name}", units=unit or (), candidates=candidates, megabytes=megabytes,
        exact=exact, unknown=replacement,
    )  # fmt: skip
    target = out or Path(f"{'stdin' if text == '-' else Path(text).name}.html")
    target.write_text(page, encoding="utf-8")
    say(f"{target}: {len(page.encode()) / 1e6:.1f} MB. Open it in a browser.")
