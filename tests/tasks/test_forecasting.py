"""Forecasting from files to files: scales, windows, figures beside baselines, predictions and their mistakes."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ifog.errors import ConfigError, DataError, RunError, ShapeError
from ifog.examples import Table
from ifog.examples.made_series import make_series
from ifog.examples.pitches import read_pitches
from ifog.examples.series import read_series
from ifog.examples.windows import cut_windows
from ifog.tasks import supervised
from ifog.tasks.back_testing import back_test
from ifog.tasks.forecast_encoding import ForecastEncoding, learn_encoding
from ifog.tasks.forecast_pictures import draw_fan
from ifog.tasks.forecasting import FORECAST, ForecastOptions, errors_by_step, joint_forecast

SMALL: dict[str, Any] = {"hidden_size": 6, "context": 30, "horizon": 5, "batch_size": 8, "cell": "gru"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("made") / "made.csv"
    make_series(path, 400)
    return str(path)


def options(**chosen: Any) -> ForecastOptions:
    return ForecastOptions.given(**{"targets": ("load",), "known": ("holiday",), **SMALL, **chosen})


def learned(path: str, **chosen: Any) -> tuple[ForecastEncoding, Table, ForecastOptions]:
    settings = options(**chosen)
    table = FORECAST.read([path], settings)
    return FORECAST.encoding(table, settings), table, settings


# --- encoding ---------------------------------------------------------------------------------------------------------


def test_scales_and_season_are_those_of_the_judged_rows_alone(made: str):
    encoding, table, _ = learned(made + "[100:300]")
    load = np.asarray(table.column("load"))
    assert len(load) == 300
    assert encoding.means[0] == pytest.approx(load[100:].mean())
    assert encoding.spreads[0] == pytest.approx(load[100:].std())
    assert (encoding.season, encoding.calendar) == (24, ("hour", "weekday", "year_day"))
    expected = np.abs(load[124:] - load[100:276]).mean() / load[100:].std()
    assert encoding.errors[0] == pytest.approx(expected)
    assert encoding.looks_back == 30
    assert learned(made, season=40)[0].looks_back == 40


def test_windows_hold_scaled_values_and_their_own_calendar(made: str):
    encoding, table, _ = learned(made + "[100:300]")
    examples = encoding.encode(table)
    values, known = (np.concatenate(x, axis=1) for x in zip(*cut_windows(examples, 35), strict=True))
    assert values.shape == (35, 300 - 100 - 5 + 1, 1)
    load, holiday = np.asarray(table.column("load")), np.asarray(table.column("holiday"))
    np.testing.assert_allclose(values[30, 0, 0], (load[100] - load[100:].mean()) / load[100:].std(), rtol=1e-5)
    np.testing.assert_allclose(values[-1, -1, 0], (load[299] - load[100:].mean()) / load[100:].std(), rtol=1e-5)
    rescaled = known[:, 0, 0] * encoding.spreads[1] + encoding.means[1]
    np.testing.assert_allclose(rescaled, holiday[70:105], atol=1e-5)
    hour = np.arange(70, 105) % 24
    np.testing.assert_allclose(known[:, 0, 1], np.sin(2 * np.pi * hour / 24), atol=1e-5)


def test_every_column_of_numbers_is_forecast_where_none_is_named(made: str):
    encoding, _, _ = learned(made, targets=(), known=("holiday",), calendar=())
    assert (encoding.targets, encoding.features) == (("load",), 1)
    encoding, _, _ = learned(made, targets=(), known=())
    assert encoding.targets == ("load", "holiday")
    assert learned(made, past=("holiday",), known=())[0].past == ("holiday",)


def test_an_encoding_survives_json(made: str):
    encoding, _, _ = learned(made)
    assert FORECAST.restore(json.loads(json.dumps(encoding.to_dict()))) == encoding
    with pytest.raises(RunError, match="train anew"):
        FORECAST.restore({"colour": 1})


def test_a_constant_column_divides_nothing_by_zero(tmp_path: Path):
    path = tmp_path / "flat.csv"
    path.write_text("x\n" + "5\n" * 60)
    encoding, table, _ = learned(str(path), targets=("x",), known=())
    assert encoding.spreads == (1.0,)
    assert encoding.encode(table).batch(np.array([0]))["values"].isfinite().all()
    assert encoding.season == 1  # no dates, no season


@pytest.mark.parametrize(
    ("part", "chosen", "said"),
    [
        ("[:34]", {}, r"made.csv: the longest series has 34 steps, a forecast of 5 needs 30 before it"),
        ("[:20]", {}, "season"),
        ("", {"targets": ("laod",)}, "did you mean 'load'"),
        ("", {"head": "bernoulli", "reference": "training"}, "0 and 1"),
    ],
)
def test_series_that_do_not_fit_are_refused(made: str, part: str, chosen: dict[str, Any], said: str):
    def use() -> None:
        encoding, table, _ = learned(made + part, **chosen)
        encoding.encode(table)

    with pytest.raises(DataError, match=said):
        use()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"calendar": ("minute",)}, "calendar names 'minute'"),
        ({"targets": ("load", "load")}, "named twice"),
        ({"missing": "guess"}, "missing is 'guess'"),
        ({"horizon": 0}, "horizon is 0"),
        ({"context": -1}, "context is -1"),
        ({"samples": 0}, "samples is 0"),
        ({"targets": (), "past": ("load",), "known": ("holiday",)}, "leave one to forecast"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(made: str, chosen: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        learned(made, **chosen)


def test_a_single_name_is_one_column_not_letters():
    assert options(targets="load").targets == ("load",)


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_figures_are_means_over_all_windows_beside_the_baselines(made: str, count: int):
    encoding, _, settings = learned(made + "[:200]")
    held_out = FORECAST.read([made + "[200:260]"], settings)
    examples = encoding.encode(held_out)
    models = [FORECAST.build(encoding, settings, None).eval() for _ in range(count)]
    found = FORECAST.figures(models, encoding, examples, held_out)
    load = (np.asarray(held_out.column("load")) - encoding.means[0]) / encoding.spreads[0]
    seasonal, last, crps, medians = [], [], [], []
    values, known = (np.concatenate(x, axis=1) for x in zip(*cut_windows(examples, 35), strict=True))
    forecast = joint_forecast(models, encoding, values[:30], known)
    for k, start in enumerate(range(200, 260 - 5 + 1)):
        truth = load[start : start + 5]
        seasonal.append(np.abs(truth - load[start - 24 : start - 19]).mean())
        last.append(((truth - load[start - 1]) ** 2).mean())
        quantiles = forecast.quantiles[:, k, 0].detach().numpy()
        medians.append(np.abs(truth - quantiles[:, 4]).mean())
        error = truth[:, None] - quantiles
        level = np.arange(1, 10) / 10
        pinball = np.where(error >= 0, level * error, (level - 1) * error)
        crps.append((2 * pinball * [0.15, *[0.1] * 7, 0.15]).sum(1).mean())
    assert found["seasonal_naive_mae"] == pytest.approx(np.mean(seasonal), rel=1e-5)
    assert found["naive_mse"] == pytest.approx(np.mean(last), rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(medians), rel=1e-5)
    assert found["crps"] == pytest.approx(np.mean(crps), rel=1e-4)
    assert found["mase"] == pytest.approx(found["mae"] / encoding.errors[0], rel=1e-5)
    assert {"loss", "coverage", "drift_mase", "steps_better", "crps"} <= set(found)


def test_a_stride_judges_fewer_windows(made: str):
    encoding, table, settings = learned(made + "[:200]", stride=5)
    models = [FORECAST.build(encoding, settings, None).eval()]
    few = errors_by_step(models, encoding, encoding.encode(table))
    all_of_them = dataclasses.replace(encoding, stride=1)
    many = errors_by_step(models, all_of_them, encoding.encode(table))
    assert few["mae"].shape == many["mae"].shape == (5, 1)
    assert not np.allclose(few["mae"], many["mae"])


def test_music_is_judged_in_nats_per_step(tmp_path: Path):
    path = tmp_path / "music.json"
    path.write_text(json.dumps([[[60, 64], [62], []], [[60]]]))
    settings = ForecastOptions.given(
        context=0, horizon=1, head="bernoulli", decoding="recursive", reference="training", hidden_size=4
    )
    table = FORECAST.read([str(path)], settings)
    encoding = FORECAST.encoding(table, settings)
    models = [FORECAST.build(encoding, settings, None).eval() for _ in range(2)]
    found = FORECAST.figures(models, encoding, encoding.encode(table))
    total = 0.0
    for piece in table.column("series"):
        values = torch.tensor(piece, dtype=torch.float32).unsqueeze(1)
        steps = torch.tensor([len(values)])
        likelihood = torch.stack(
            [(-m.steps(values, torch.zeros(len(values), 1, 0), steps).loss(values)).exp() for m in models]
        ).mean(0)
        total -= float(likelihood.log().sum().detach())
    assert found["nll"] == pytest.approx(total / 4, rel=1e-5)
    assert found["loss"] == pytest.approx(found["nll"] / 88, rel=1e-6)
    frequency = {60: 2 / 4, 64: 1 / 4, 62: 1 / 4}  # of 4 steps
    constant = -sum(4 * (p * math.log(p) + (1 - p) * math.log(1 - p)) for p in frequency.values()) / 4
    assert found["constant_nll"] == pytest.approx(constant + 85e-4, rel=1e-3)  # silent keys are never quite silent
    predicted = FORECAST.predict(models, encoding, table)
    assert list(predicted.column("steps")) == [3, 1]
    weighted = sum(n * s for n, s in zip(predicted.column("nll"), (3, 1), strict=True)) / 4
    assert weighted == pytest.approx(found["nll"])


def test_pieces_need_options_that_read_them_whole(tmp_path: Path):
    path = tmp_path / "music.json"
    path.write_text(json.dumps([[[60]], [[61]]]))
    with pytest.raises(ConfigError, match="context 0"):
        learn_encoding(read_pitches(str(path)), options())


# --- from file to file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [{}, {"decoding": "recursive", "head": "student", "samples": 10}])
def test_a_run_learns_judges_and_predicts_what_comes_next(made: str, tmp_path: Path, chosen: dict[str, Any]):
    run = supervised.train(
        made + "[:300]",
        task="forecast",
        targets="load",
        known="holiday",
        steps=3,
        out=tmp_path / "run",
        **SMALL,
        **chosen,
    )
    assert math.isfinite(run.metrics["crps"])
    assert "seasonal_naive_mae" in supervised.evaluate(run, made + "[300:350]")
    lines = Path(made).read_text().splitlines()
    future = [line.split(",") for line in lines[301:306]]
    new = tmp_path / "new.csv"
    new.write_text("\n".join([*lines[:301], *(f"{date},,{holiday}" for date, _, holiday in future)]) + "\n")
    table = supervised.predict([run, run], str(new), tmp_path / "out.csv")
    assert len(table) == 5
    assert table.where(0).endswith("new.csv:301")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["date"] for row in rows] == [date for date, _, _ in future]
    assert all(float(row["load_0.1"]) <= float(row["load_0.5"]) <= float(row["load_0.9"]) for row in rows)
    mean = float(np.asarray(read_series(made + "[:300]").column("load")).mean())
    assert all(abs(float(row["load"]) - mean) < 40 for row in rows)  # in its own unit
    assert "load_0.1" in FORECAST.show(table)


def test_known_columns_must_reach_as_far_as_the_forecast(made: str):
    encoding, _, settings = learned(made)
    models = [FORECAST.build(encoding, settings, None).eval()]
    with pytest.raises(DataError, match=r"made.csv:401: 5 steps are forecast after this row, and 'holiday'"):
        FORECAST.predict(models, encoding, FORECAST.read([made], settings, labelled=False))
    with pytest.raises(DataError, match=r"made.csv:21: 20 steps of values, but a forecast looks back on 30"):
        FORECAST.predict(models, encoding, FORECAST.read([made + "[:20]"], settings, labelled=False))


def test_dates_to_come_follow_the_last_one_and_files_stay_apart(made: str, tmp_path: Path):
    encoding, _, settings = learned(made, known=())
    models = [FORECAST.build(encoding, settings, None).eval()]
    other = tmp_path / "other.csv"
    other.write_text("\n".join(Path(made).read_text().splitlines()[:101]) + "\n")
    table = FORECAST.predict(models, encoding, FORECAST.read([made, str(other)], settings, labelled=False))
    assert list(table.column("file")) == [made] * 5 + [str(other)] * 5
    assert table.column("date")[0] == "2020-01-17 16:00:00"
    assert table.column("date")[5] == "2020-01-05 04:00:00"
    alone = FORECAST.predict(models, encoding, FORECAST.read([str(other)], settings, labelled=False))
    np.testing.assert_allclose(list(table.column("load"))[5:], list(alone.column("load")), rtol=1e-5)
    FORECAST.write(table, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as written:
        assert written["load"].tolist() == list(table.column("load"))


def test_a_model_trained_with_dates_needs_dates(made: str, tmp_path: Path):
    encoding, _, settings = learned(made, known=())
    path = tmp_path / "undated.csv"
    path.write_text("load\n" + "1\n" * 50)
    with pytest.raises(DataError, match="has no dates"):
        encoding.encode(FORECAST.read([str(path)], settings))


def test_a_table_of_plain_columns_is_held_back_by_time(tmp_path: Path):
    table = Table({"x": np.arange(60.0).tolist()}, [("made", k) for k in range(60)])
    earlier, later = FORECAST.split(table, 0.25, seed=3)
    assert np.asarray(earlier.column("x")).tolist() == list(range(45))
    assert np.asarray(later.column("x")).tolist() == list(range(60))  # the earlier are looked back on
    assert np.asarray(later.column("judged")).nonzero()[0].tolist() == list(range(45, 60))
    chosen = {**SMALL, "context": 4, "season": 1, "validation_fraction": 0.25, "steps": 1}
    run = supervised.train(table, task="forecast", out=tmp_path / "run", **chosen)
    encoding = json.loads((run.path / "encoding.json").read_text())
    assert (encoding["targets"], encoding["means"]) == (["x"], [22.0])


def test_a_back_test_trains_on_the_past_alone_and_judges_each_step_once(tmp_path: Path):
    table = Table({"x": np.arange(60.0).tolist()}, [("made", k) for k in range(60)])
    chosen = {**SMALL, "context": 4, "season": 1, "validation_fraction": 0.0, "steps": 1}
    found = back_test(table, tmp_path, first=30, judged=15, window=40, **chosen)
    means = [json.loads((tmp_path / f"part-{k}" / "encoding.json").read_text())["means"] for k in range(2)]
    assert means == [[np.arange(30).mean()], [np.arange(5, 45).mean()]]
    for k, end in enumerate((45, 60)):
        marked = table.take(range(end)).with_columns({"judged": [step >= end - 15 for step in range(end)]})
        assert found[k] == supervised.evaluate(tmp_path / f"part-{k}", marked)
    assert len(found) == 2


def test_what_no_back_test_can_follow_is_refused(made: str, tmp_path: Path):
    table = Table({"x": np.arange(60.0).tolist()}, [("made", k) for k in range(60)])
    for series, chosen, said in (
        (table, {"judged": 4}, "fewer steps than the horizon, 5"),
        (table, {"judged": 40}, "no split of 60 steps"),
        ([made, made + "[:200]"], {"judged": 9}, "one series through time"),
    ):
        with pytest.raises(ConfigError, match=said):
            back_test(series, tmp_path, first=30, **chosen, **SMALL)
    assert not list(tmp_path.iterdir())


def test_one_piece_alone_is_held_back_by_time():
    piece = np.arange(20.0).reshape(10, 2)
    earlier, later = FORECAST.split(Table({"series": [piece]}, [("made", 1)]), 0.2, seed=0)
    assert np.array_equal(earlier.column("series")[0], piece[:8])
    assert np.array_equal(later.column("series")[0], piece[8:])
    pieces = Table({"series": [piece, piece + 1, piece + 2]}, [("made", k) for k in range(3)])
    assert [len(part) for part in FORECAST.split(pieces, 0.3, seed=0)] == [2, 1]


def test_a_table_of_plain_columns_is_forecast_too():
    load = np.sin(np.arange(80) / 3)
    table = Table({"load": load.tolist()}, [("example", k) for k in range(1, 81)])
    settings = options(known=())
    encoding = FORECAST.encoding(table, settings)
    models = [FORECAST.build(encoding, settings, None).eval()]
    assert len(FORECAST.predict(models, encoding, table)) == 5
    assert math.isfinite(FORECAST.figures(models, encoding, encoding.encode(table))["mase"])


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_fan_shows_the_past_the_bands_and_the_truth(tmp_path: Path):
    quantiles = np.sort(np.random.default_rng(0).normal(size=(4, 5)), axis=1)
    levels = [0.1, 0.3, 0.5, 0.7, 0.9]
    figure = draw_fan(np.arange(6.0), quantiles, levels, truth=np.zeros(4), baseline=np.ones(4), title="load")
    (axes,) = figure.axes
    assert len(axes.collections) == 2
    assert len(axes.lines) == 4
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), quantiles[:, 2])
    assert axes.collections[0].get_label() == "80% of the probability"
    figure.savefig(tmp_path / "fan.png")
    dates = np.datetime64("2020-01-01") + np.arange(10)
    draw_fan(np.arange(6.0), quantiles, levels, dates=dates).savefig(tmp_path / "dated.png")
    with pytest.raises(ShapeError, match="draw_fan"):
        draw_fan(np.arange(6.0), quantiles, levels, truth=np.zeros(3))
