"""`ifog ngram`: estimate an n-gram model with Kneser-Ney smoothing, and judge it."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ifog.cli.console import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from ifog.ngrams import Fit

__all__ = ["ngram"]


class Kind(StrEnum):
    """The smoothings there are."""

    KNESER_NEY = "kneser-ney"
    MODIFIED = "modified"


def ngram(
    train: Annotated[Path, typer.Argument(help="UTF-8 text, a sentence in each line, words split at white space.")],
    valid: Annotated[Path | None, typer.Option(help="A text to judge the model on.")] = None,
    test: Annotated[Path | None, typer.Option(help="Another, to judge it on at the end.")] = None,
    order: Annotated[int, typer.Option(help="Words of the longest n-grams; 3 to 5 are common.")] = 5,
    smoothing: Annotated[
        Kind, typer.Option(help="One discount for each order, or three (modified; better nearly always).")
    ] = Kind.MODIFIED,
    arpa: Annotated[
        Path | None, typer.Option(help="Write the model as an ARPA file; gzipped if it ends in .gz.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Let contexts reach across lines, with <eos> as an ordinary word.")
    ] = False,
    closed: Annotated[
        bool, typer.Option("--closed", help="Words that the training text lacks are an error, not <unk>.")
    ] = False,
    fallback: Annotated[
        bool,
        typer.Option("--fallback", help="Discounts 0.5, 1, 1.5 for orders whose counts can't give any (tiny texts)."),
    ] = False,
    on_disk: Annotated[
        Path | None,
        typer.Option(help="For a text larger than the memory: a folder to work in; a killed command goes on there."),
    ] = None,
    vocabulary_size: Annotated[
        int | None, typer.Option(help="With --on-disk: words to keep; the rest is <unk>. By default all.")
    ] = None,
    memory: Annotated[str, typer.Option(help="With --on-disk: what sorting may take, such as 2GB.")] = "2GB",
) -> None:
    """Estimate an n-gram model with interpolated Kneser-Ney smoothing, and print its perplexities.

    Perplexity is per token, the end of each line counted as one.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from ifog.errors import ConfigError
    from ifog.ngrams import fit_text, write_arpa

    if on_disk is not None and closed:
        raise ConfigError("--closed and --on-disk exclude each other: a vocabulary counted on disk has <unk>.")
    if on_disk is None and vocabulary_size is not None:
        raise ConfigError("--vocabulary-size needs --on-disk, which counts words before it chooses them.")
    judged = {"validation": valid, "test": test}
    perplexities: dict[str, float] = {}
    seconds = -time.perf_counter()
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, transient=True, disable=not Console().is_terminal) as progress:
        task = progress.add_task("reading", total=None)

        def watch(step: str) -> None:
            progress.update(task, description=step)

        options: dict[str, Any] = {"order": order, "smoothing": smoothing.value, "stream": stream, "watch": watch,
                                   "fallback": (0.5, 1.0, 1.5) if fallback else None}  # fmt: skip
        if on_disk is None:
            fit = fit_text(train, closed=closed, **options)
        else:
            fit = _on_disk(train, on_disk, vocabulary_size, memory_limit=memory, **options)
        seconds += time.perf_counter()
        vocabulary = fit.model.vocabulary
        for name, path in judged.items():
            if path is not None and vocabulary is not None:
                progress.update(task, description=f"judging on the {name} text")
                perplexities[name] = fit.model.perplexity(vocabulary.encode_file(path))
        if arpa is not None:
            progress.update(task, description=f"writing {arpa}")
            write_arpa(fit.model, arpa)
    say(f"{fit.tokens:,} tokens read, counted and estimated in {seconds:.1f} s")
    for n, (size, amounts) in enumerate(zip(fit.model.trie.sizes, fit.discounts.amounts, strict=True), start=1):
        replaced = ", the fallback" if n in fit.discounts.replaced else ""
        say(f"{n}-grams: {size:,} · discounts {' '.join(f'{amount:.4f}' for amount in amounts)}{replaced}")
    for name, perplexity in perplexities.items():
        say(f"{name} perplexity: {perplexity:.2f}", "bold")
    if arpa is not None:
        say(f"The model is in {arpa}.")
    if on_disk is not None:
        say(f"The model is in {on_disk / 'model'}; counts and ids beside it are no longer needed.")


def _on_disk(
    train: Path, folder: Path, vocabulary_size: int | None, *, watch: Callable[[str], None], **options: Any
) -> Fit:
    from ifog.data import Corpus, WordTokenizer, count_words, encode_shards
    from ifog.ngrams import fit_ids

    folder.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.from_files([train])
    counted = count_words(
        corpus, folder / "words.txt", progress=lambda done, shards: watch(f"counting words, shard {done} of {shards}")
    )
    tokenizer = WordTokenizer.from_counts(counted, vocabulary_size=vocabulary_size)
    ids = encode_shards(
        corpus, tokenizer, folder / "ids", progress=lambda done, shards: watch(f"encoding, shard {done} of {shards}")
    )
    return fit_ids(ids, tokenizer.words, folder, watch=watch, **options)
