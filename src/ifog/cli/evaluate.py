"""`ifog eval`: judge a run on text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ifog.cli.console import fail, figures_line, say
from ifog.runs import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to judge it on; '-' is standard input. Without any: the validation data it held back. Further "
            "run directories are judged together with the first (an ensemble), but not of language models."
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Also with a cache of the last 500 tokens, fitted on the validation text.")
    ] = False,
    ngram: Annotated[
        int, typer.Option(help="Also mixed with a Kneser-Ney model of this order, counted on the training text.")
    ] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Of classify and tag: a page with all mistakes on FILES (.html), or the confusion matrix (.png)."
        ),
    ] = None,
) -> None:
    """Judge a run's best weights: of a language model on a whole text, of other tasks on examples.

    Of a language model: nats, bits per character, perplexity, accuracy. The state is carried from the first character
    to the last. Nats per token is the mean of -log p(next token); bits per character is the same in base 2, so that
    byte and character models compare; perplexity is exp(nats): the number of equally likely tokens the model is in
    doubt between.
    """
    if not cache and not ngram:
        from ifog.tasks.jobs import evaluate as judge

        others = [Path(name) for name in files or () if (Path(name) / "config.json").is_file()]
        rest = [name for name in files or () if Path(name) not in others]
        found = judge([run, *others], rest or None)
        say(figures_line(found))
        if report is not None:
            _report([run, *others], rest, found, report)
        return
    from ifog.tasks.language import evaluate_mixtures

    for name, found in evaluate_mixtures(run, files or None, cache=cache, ngram=ngram).items():
        say(
            f"{name:<10}{found.nats_per_token:.4f} nats/token · {found.bits_per_character:.4f} bits/character · "
            f"perplexity {found.perplexity:.5g} · per word {found.word_perplexity:.5g}"
        )


def _report(runs: list[Path], files: list[str], figures: Mapping[str, float], report: Path) -> None:
    from ifog.inspection.mistakes import cases_of, draw_confusion, render_mistakes
    from ifog.tasks.jobs import load, predict
    from ifog.tasks.supervised import read
    from ifog.writing import write_atomically

    if not files:
        fail("A report shows the examples themselves, so it needs their file; give it after the run.")
    predicted = predict(runs, read(runs[0], files))
    encoding = load(runs[0]).encoding
    task = str(RunDirectory.open(runs[0]).config["task"])
    reads, says = getattr(encoding, "input", "words"), getattr(encoding, "label", "tags")
    cases = list(cases_of(task, predicted, reads, says))
    if report.suffix == ".html":
        page = render_mistakes(cases, figures, f"{' and '.join(map(str, runs))} on {', '.join(files)}")
        write_atomically(report, page.encode())
    else:
        draw_confusion(cases, report)
    say(f"The mistakes are in {report}.")
