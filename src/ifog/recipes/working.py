"""The kinds of work a recipe can be: to train a network, to count n-grams, or to judge published weights.

Owns how a recipe's options become a run of `ifog train`, and how its test text is judged. Takes paths and a run
directory, gives an `Outcome`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ifog.recipes.recipe import Outcome, Work

if TYPE_CHECKING:
    from ifog.training import Progress

__all__ = ["counted", "judged_gpt2", "trained"]


def trained(metric: str, **options: Any) -> Work:
    """Train with the options of `ifog.train`, judge the best weights on the test text. A run that exists goes on.

    Args:
        metric: Of the figures of `ifog.evaluate`, the one to report; or "bits_per_token".
        options: Of `ifog.train`.
    """

    def work(paths: Mapping[str, Path], folder: Path, progress: Progress | None) -> Outcome | None:
        from ifog.tasks.language import evaluate, load, resume, train

        if (folder / "config.json").exists():
            run = resume(folder, progress=progress)
        else:
            validation = paths.get("validation")
            run = train(paths["train"], validation=validation, out=folder, progress=progress, **options)
        if run.interrupted:
            return None
        figures = evaluate(run, paths["test"]) if "test" in paths else dict(run.metrics)
        figures["bits_per_token"] = figures["loss"] / math.log(2)
        seconds = float(json.loads((folder / "result.json").read_bytes())["seconds"])
        parameters = sum(p.numel() for p in load(run).parameters())
        held_out = {f"validation {name}": value for name, value in run.metrics.items()}
        return Outcome(figures[metric], seconds, parameters, {**held_out, **figures, "updates": run.step})

    return work


def counted(order: int, smoothing: Literal["kneser-ney", "modified"]) -> Work:
    """Estimate an n-gram model and judge it on the test text.

    Args:
        order: N, the longest n-gram.
        smoothing: Of Kneser and Ney, or its modified form.
    """

    def work(paths: Mapping[str, Path], folder: Path, progress: Progress | None) -> Outcome | None:
        from ifog.ngrams import fit_text

        start = time.monotonic()
        model = fit_text(paths["train"], order=order, smoothing=smoothing).model
        estimated = time.monotonic() - start
        assert model.vocabulary is not None
        figure = model.perplexity(model.vocabulary.encode_file(paths["test"]))
        folder.mkdir(parents=True, exist_ok=True)
        seconds = time.monotonic() - start
        return Outcome(figure, seconds, sum(model.trie.sizes), {"seconds of estimation": estimated})

    return work


def judged_gpt2(parameters: int) -> Work:
    """Judge GPT-2's published weights, which lie beside the corpora, on the test text; per word.

    Args:
        parameters: Of the network.
    """

    def work(paths: Mapping[str, Path], folder: Path, progress: Progress | None) -> Outcome | None:
        from ifog.tasks.gpt2 import judge_gpt2

        start = time.monotonic()
        figures = judge_gpt2(paths["train"].parent, paths["test"])
        folder.mkdir(parents=True, exist_ok=True)
        return Outcome(figures.word_perplexity, time.monotonic() - start, parameters, figures.to_dict())

    return work
