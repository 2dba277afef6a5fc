"""The series that needs no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ifog.errors import ConfigError
from ifog.examples.dates import step_of
from ifog.examples.made_series import make_series
from ifog.examples.series import read_series


def test_the_made_series_is_read_back_and_has_a_season_and_a_holiday(tmp_path: Path):
    path = tmp_path / "made.csv"
    make_series(path, 24 * 60)
    table = read_series(str(path))
    assert len(table) == 24 * 60
    assert step_of(np.asarray(table.column("date"))) == (1, "hour")
    load, holiday = np.asarray(table.column("load")), np.asarray(table.column("holiday"))
    daily = load.reshape(-1, 24)
    assert daily[:, 12].mean() - daily[:, 0].mean() > 8
    assert set(holiday) == {0.0, 1.0}
    assert load[holiday == 0].mean() - load[holiday == 1].mean() > 3


def test_a_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_series(tmp_path / name, 30, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    make_series(tmp_path / "one", 1)
    assert len((tmp_path / "one").read_text().splitlines()) == 2
    with pytest.raises(ConfigError, match="steps is 0"):
        make_series(tmp_path / "none", 0)
