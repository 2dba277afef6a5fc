"""Recipes that learn from examples: trained from several seeds, judged once each, averaged.

Owns how a recipe's options become runs of `ifog train --task ...`. Takes a division of the data and options, gives an
`Outcome`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifog.recipes.recipe import Outcome, Work
from ifog.recipes.splits import Division

if TYPE_CHECKING:
    from ifog.training import Progress

__all__ = ["learned"]


def learned(task: str, divide: Division, metric: str, seeds: int = 3, **options: Any) -> Work:
    """Train from several seeds with the options of `ifog.train`, judge each on the test part. Runs that exist go on.

    Args:
        task: the kind of task.
        divide: the data, from the recipe's paths.
        metric: of the figures of `ifog.evaluate`, the one to report, as the mean over seeds; or "relative_error", the
            mean absolute error by that of the seasonal naive forecast.
        seeds: how many runs.
        options: of `ifog.train`.
    """

    def work(paths: Mapping[str, Path], folder: Path, progress: Progress | None) -> Outcome | None:
        from ifog.tasks.jobs import evaluate, load, resume, train

        train_part, validation, test = divide(paths)
        found: list[dict[str, float]] = []
        seconds = parameters = 0.0
        for seed in range(seeds):
            at = folder / f"seed-{seed}"
            if (at / "config.json").exists():
                run = resume(at, progress=progress)
            else:
                run = train(
                    train_part, task=task, validation=validation, out=at, seed=seed, progress=progress, **options
                )
            if run.interrupted:
                return None
            held_out = {f"validation {name}": value for name, value in run.metrics.items()}
            judged = evaluate(run, test)
            if "seasonal_naive_mae" in judged:
                judged["relative_error"] = judged["mae"] / judged["seasonal_naive_mae"]
            found.append({**judged, **held_out})
            seconds += float(json.loads((at / "result.json").read_bytes())["seconds"])
            parameters = sum(p.numel() for p in load(run).parameters())
        figures = [one[metric] for one in found]
        details = {f"seed {i} {name}": value for i, one in enumerate(found) for name, value in one.items()}
        return Outcome(statistics.fmean(figures), seconds, int(parameters), details)

    return work
