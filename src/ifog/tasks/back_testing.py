"""Judge a way to forecast as time would have: train anew at several moments, and look at what came just after each.

Owns the order of that. Takes one series and options, gives the figures of each moment. How a series is cut is
`ifog.evaluation.forecasts`'s; each training is an ordinary run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ifog.errors import ConfigError
from ifog.evaluation.forecasts import rolling_splits
from ifog.examples.series import SeriesTable
from ifog.tasks import supervised
from ifog.tasks.forecasting import FORECAST, ForecastOptions
from ifog.tasks.predicting import Source, table_of

if TYPE_CHECKING:
    from ifog.tasks.beginning import Files
    from ifog.training import Progress

__all__ = ["back_test"]


def back_test(
    series: Source,
    out: Files,
    *,
    first: int,
    judged: int,
    window: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[dict[str, float]]:
    """Train at several moments on what was known, and judge each model on the steps after it, every step once.

    Args:
        series: one file, or a table with a row per step.
        out: a folder; the run of each moment is `part-0`, `part-1` ... in it.
        first: steps before the first moment.
        judged: steps between two moments, the horizon or more.
        window: steps learned from at most; none: all that came before.
        progress: told what happens in each run.
        **options: of `ifog.train`; what they hold back to choose the best weights is the end of what was known.

    Returns:
        The figures of each moment, see `Forecasting.figures`.

    Raises:
        ConfigError: a horizon longer than `judged`, a series too short for one moment, or several series.
        DataError: a series that can't be read.
    """
    own = {name: value for name, value in options.items() if name not in ("budget", "cell")}
    settings = ForecastOptions.given(**own)
    table = table_of(FORECAST, series, settings)
    files = list(dict.fromkeys(cast("list[str]", table.columns.get("file", []))))
    if len(files) > 1 or "series" in table.columns:
        raise ConfigError(f"{table.source}: a back-test follows one series through time; give one at a time.")
    if judged < settings.horizon:
        raise ConfigError(f"back_test: judged is {judged}, fewer steps than the horizon, {settings.horizon}.")
    every = SeriesTable(table.columns, table.places)
    found: list[dict[str, float]] = []
    for number, (known, after) in enumerate(rolling_splits(len(table), first, judged, window=window)):
        learned = every.take(range(known.start, known.stop))
        run = supervised.train(learned, task="forecast", out=Path(out) / f"part-{number}", progress=progress, **options)
        until = every.take(range(after.stop))
        marked = until.with_columns({"judged": np.arange(len(until)) >= after.start})
        found.append(supervised.evaluate(run, marked))
    return found
