"""A series that needs no download: seasons, a trend and noise, with dates.

Owns the recipe of the series. Takes sizes and a seed, gives a CSV file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifog.errors import ConfigError
from ifog.writing import write_atomically

__all__ = ["make_series"]


def make_series(path: Path, steps: int = 4000, *, seed: int = 0) -> None:
    """Write an hourly series: a day's and a week's season, a trend, a known holiday that lowers it, and noise.

    The noise is an autoregression, so that the last values tell something, and grows with the level, so that a good
    forecast is less sure at noon than at night.

    Args:
        path: of the CSV file with the columns date, load and holiday.
        steps: hours.
        seed: of everything random.

    Raises:
        ConfigError: fewer than one step.
    """
    if steps < 1:
        raise ConfigError(f"make_series: steps is {steps}; give 1 or more.")
    random = np.random.default_rng(seed)
    hours: NDArray[np.int64] = np.arange(steps)
    days = hours // 24
    holidays: NDArray[np.bool_] = (random.random(int(days[-1]) + 1) < 0.08)[days]
    level: NDArray[Any] = (
        20 + 0.002 * hours + 6 * np.sin(2 * np.pi * (hours - 6) / 24) + 3 * np.cos(2 * np.pi * hours / 168)
    )
    level = level - 5 * holidays.astype(float)
    noise, shocks = np.zeros(steps), random.normal(size=steps)
    for t in range(1, steps):
        noise[t] = 0.8 * noise[t - 1] + 0.03 * level[t] * shocks[t]
    dates = np.datetime64("2020-01-01T00", "h") + hours
    rows = [
        f"{str(date).replace('T', ' ')}:00:00,{value:.4f},{int(holiday)}"
        for date, value, holiday in zip(dates, level + noise, holidays, strict=True)
    ]
    write_atomically(path, ("date,load,holiday\n" + "\n".join(rows) + "\n").encode())
