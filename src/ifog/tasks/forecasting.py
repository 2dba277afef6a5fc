"""The numbers that come next in a series: the kind of task "forecast".

Owns what is read and written, which figures count, and the simple forecasts that stand beside the model's. Takes files,
gives tables and figures. The network is `ifog.models.forecaster`'s, the windows are `ifog.tasks.forecast_encoding`'s.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifog.errors import ConfigError, DataError
from ifog.evaluation.forecasts import crps_of_quantiles, drift, naive, seasonal_naive
from ifog.examples import Examples, Table, in_batches
from ifog.examples.pitches import read_pitches
from ifog.examples.series import Missing, SeriesTable, joined, read_series
from ifog.examples.windows import cut_windows
from ifog.layers.distributions import Bernoulli, Distribution, Gaussian
from ifog.models.forecaster import Forecast, Forecaster, ForecasterConfig
from ifog.tasks.forecast_encoding import ForecastEncoding, learn_encoding
from ifog.tasks.forecast_pictures import draw_fan
from ifog.tasks.forecasting_options import ForecastOptions
from ifog.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from ifog.cells import Cell

__all__ = ["FORECAST", "ForecastOptions", "Forecasting", "errors_by_step"]

Array = NDArray[Any]

WIDTH = 256  # windows judged side by side
PATHS = 4096  # sampled paths drawn side by side
LEVELS = tuple(k / 20 for k in range(1, 20))  # of the quantiles that stand for the distributions of whole series
BASELINES = ("naive", "seasonal_naive", "drift")


class Forecasting:
    """The kind of task "forecast" (implements `ifog.tasks.kind.Kind`)."""

    name = "forecast"
    input = "series"
    options = ForecastOptions

    def read(self, paths: Sequence[str], options: ForecastOptions, *, labelled: bool = True) -> Table:
        """Series of numbers, a row per step, from CSV and NPZ files; or pieces of music from JSON files.

        Args:
            paths: files, perhaps with a part: `FILE[FROM:TO]`, `FILE[NAME]`.
            options: name the columns.
            labelled: without, the forecast columns may end before those known ahead.

        Raises:
            DataError: a file that can't be read, a missing value, a part that is empty; names file and line.
        """
        if not paths:
            raise DataError("forecast: no file was given; give a CSV file with a row per time step.")
        if all(".json" in Path(path).suffix for path in paths):
            return joined([read_pitches(path) for path in paths])
        named = (*options.targets, *options.past, *options.known)
        columns = named if options.targets else None
        open_end = () if labelled else (*options.targets, *options.past)
        missing = cast("Missing", options.missing)
        return joined(
            [
                read_series(path, columns=columns, date=options.date, missing=missing, open_end=open_end)
                for path in paths
            ]
        )

    def split(self, table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
        """The later steps of each series are held back; of whole pieces some at random, or the end of one alone."""
        if "series" in table.columns:
            return table.cut(fraction, ("series",)) if len(table) == 1 else table.split(fraction, seed)
        files = {"judged": [True] * len(table), "file": [table.source] * len(table)}  # where the table doesn't say
        return SeriesTable({**files, **table.columns}, table.places).split(fraction, seed)

    def encoding(self, table: Table, options: ForecastOptions) -> ForecastEncoding:
        """Scales, season and columns of the training rows."""
        return learn_encoding(table, options)

    def restore(self, values: Mapping[str, Any]) -> ForecastEncoding:
        """The encoding that `to_dict` described.

        Raises:
            RunError: values that describe none.
        """
        return ForecastEncoding.from_dict(values)

    def build(self, encoding: ForecastEncoding, options: ForecastOptions, cell: Cell | None) -> Forecaster:
        """A forecaster with fresh weights.

        Raises:
            ConfigError: options that exclude each other.
        """
        config = ForecasterConfig(
            targets=len(encoding.targets),
            past=len(encoding.past),
            known=encoding.features,
            season=encoding.season,
            cell=options.cell,
            cell_options=options.cell_options,
            context=options.context,
            horizon=options.horizon,
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            dropout=options.dropout,
            head=options.head,
            levels=tuple(options.levels),
            decoding=options.decoding,
            reference=options.reference,
            segment=options.segment,
            apart=options.apart,
            linear=options.linear,
        )
        return Forecaster(config, cell)

    def metric_of(self, encoding: ForecastEncoding) -> str:
        """The continuous ranked probability score; of series read whole, nats per step."""
        return "crps" if encoding.context else "nll"

    def batched_by(self) -> str | None:
        """Chunks and pieces may differ in length."""
        return "values"

    @torch.no_grad()
    def figures(
        self,
        models: Sequence[nn.Module],
        encoding: ForecastEncoding,
        examples: Examples,
        table: Table | None = None,
    ) -> dict[str, float]:
        """How good the forecasts of the examples are, beside those of the simple ways.

        Returns:
            "loss"; on scaled values, means over columns and steps: "crps", "mae" (of the median), "mse" (of the mean),
            "mase", "coverage" (share of the values between the outermost quantiles), and "naive_mae",
            "seasonal_naive_mse" and so on; "steps_better", the share of steps at which the model's mae is below the
            seasonal naive one. Of series read whole: "nll" (nats per step, summed over the columns) and
            "constant_nll", of the training part's mean and spread alone.
        """
        forecasters = cast("Sequence[Forecaster]", models)
        if not encoding.context:
            return _whole_figures(forecasters, encoding, examples)
        by_step = errors_by_step(forecasters, encoding, examples)
        errors = np.array(encoding.errors)
        found = {name: float(value.mean()) for name, value in by_step.items()}
        for name in ("", *(f"{baseline}_" for baseline in BASELINES)):
            found[f"{name}mase"] = float((by_step[f"{name}mae"] / errors).mean())
        better = by_step["mae"].mean(1) < by_step["seasonal_naive_mae"].mean(1)
        return {**found, "steps_better": float(better.mean())}

    @torch.no_grad()
    def predict(
        self, models: Sequence[nn.Module], encoding: ForecastEncoding, table: Table, *, probabilities: bool = False
    ) -> Table:
        """The steps after the end of each series: a row for each, not the rows that were given.

        Returns:
            "file", "date" or "step" (from 1), and of each target NAME the mean "NAME" and quantiles "NAME_0.1" ...;
            of series read whole, a row for each of them with "steps" and "nll".

        Raises:
            ConfigError: `probabilities`, for which quantiles stand here.
            DataError: a series too short to look back on, or known columns that end too early.
        """
        if probabilities:
            raise ConfigError("a forecast has quantiles in place of probabilities; leave out probabilities.")
        forecasters = cast("Sequence[Forecaster]", models)
        if not encoding.context:
            return _judged_pieces(forecasters, encoding, table)
        columns: dict[str, list[Any]] = {}
        places: list[tuple[str, int]] = []
        levels = forecasters[0].config.levels
        for latest in encoding.latest(table):
            made = joint_forecast(forecasters, encoding, latest.past[:, None], latest.known[:, None])
            mean = encoding.unscaled(made.mean[:, 0].double().cpu().numpy())
            quantiles = encoding.unscaled(made.quantiles[:, 0].double().cpu().numpy().swapaxes(1, 2))
            steps = range(1, encoding.horizon + 1)
            rows: dict[str, Sequence[Any]] = {"file": [latest.file] * len(steps), "step": steps}
            if latest.dates is not None:
                rows["date"] = _spelled(latest.dates)
            for k, name in enumerate(encoding.targets):
                rows[name] = mean[:, k].tolist()
                rows |= {f"{name}_{level:g}": quantiles[:, q, k].tolist() for q, level in enumerate(levels)}
            for name, values in rows.items():
                columns.setdefault(name, []).extend(values)
            places += [latest.place] * len(steps)
        return Table(columns, places)

    def write(self, table: Table, path: Path) -> None:
        """Write a CSV file, or NPZ where the name ends so; dates and files go into CSV alone.

        Raises:
            OSError: the file can't be written.
        """
        if path.suffix == ".npz":
            numbers = {n: np.asarray(v) for n, v in table.columns.items() if np.asarray(v).dtype.kind in "if"}
            content = io.BytesIO()
            np.savez(content, **cast("Any", numbers))
            write_atomically(path, content.getvalue())
            return
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.columns)
        for row in zip(*table.columns.values(), strict=True):
            writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
        write_atomically(path, text.getvalue().encode())

    def show(self, table: Table) -> str:
        """The first rows, numbers rounded."""
        names = [name for name in table.columns if name != "file"][:8]
        rows = [names] + [[_rounded(table.columns[name][k]) for name in names] for k in range(min(len(table), 5))]
        widths = [max(len(row[k]) for row in rows) for k in range(len(names))]
        return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)

    def draw(self, models: Sequence[nn.Module], encoding: ForecastEncoding, table: Table) -> Figure:
        """The first target of the first series: what was, and a fan of what is forecast.

        Raises:
            ConfigError: series are read whole.
            DataError: as `predict`.
        """
        forecasters = cast("Sequence[Forecaster]", models)
        if not encoding.context:
            raise ConfigError("series that are read whole have no picture; train with --context to forecast their end.")
        latest = encoding.latest(table)[0]
        made = joint_forecast(forecasters, encoding, latest.past[:, None], latest.known[:, None])
        quantiles = encoding.unscaled(made.quantiles[:, 0].double().cpu().numpy().swapaxes(1, 2))[:, :, 0]
        past = encoding.unscaled(latest.past[:, : len(encoding.targets)].astype(float))[-3 * encoding.horizon :, 0]
        return draw_fan(past, quantiles, forecasters[0].config.levels, title=encoding.targets[0])


FORECAST = Forecasting()


def joint_forecast(
    models: Sequence[Forecaster], encoding: ForecastEncoding, past: Array, known: Array, *, seed: int = 0
) -> Forecast:
    """The mean of the models' quantiles and means, on scaled values.

    Args:
        models: in evaluation mode.
        encoding: says how many paths are drawn.
        past: (P, B, C).
        known: (P + K, B, F).
        seed: of the paths.
    """
    device = next(models[0].parameters()).device
    x, features = (torch.as_tensor(np.asarray(a, np.float32), device=device) for a in (past, known))
    made = [model.forecast(x, features, samples=encoding.samples, seed=seed) for model in models]
    mean = torch.stack([one.mean for one in made]).mean(0)
    return Forecast(mean, torch.stack([one.quantiles for one in made]).mean(0))


@torch.no_grad()
def errors_by_step(
    models: Sequence[Forecaster], encoding: ForecastEncoding, examples: Examples
) -> dict[str, NDArray[np.float64]]:
    """Errors at each step ahead, means over all windows.

    Args:
        models: in evaluation mode; several are averaged.
        encoding: made the examples.
        examples: chunks of windows.

    Returns:
        (K, N) on scaled values under "loss", "crps", "mae", "mse", "coverage", and of each simple forecast
        "naive_mae", "naive_mse", "seasonal_naive_mae" ...; "loss" is the same at every step.
    """
    back, levels = encoding.looks_back, models[0].config.levels
    drawing = models[0].config.decoding == "recursive"
    count = max(1, PATHS // encoding.samples) if drawing else WIDTH
    sums: dict[str, Array] = {}
    total = 0
    middle = min(range(len(levels)), key=lambda q: abs(levels[q] - 0.5))
    for values, known in cut_windows(examples, back + encoding.horizon, stride=encoding.stride, count=count):
        past, truth = values[:back], values[back:, :, : len(encoding.targets)].astype(np.float64)
        forecast = joint_forecast(models, encoding, past, known, seed=total)
        quantiles = forecast.quantiles.double().cpu().numpy()
        mean = forecast.mean.double().cpu().numpy()
        inside = (truth >= quantiles[..., 0]) & (truth <= quantiles[..., -1])
        found = {
            "loss": np.full(truth.shape, _window_loss(models, values, known)),
            "crps": crps_of_quantiles(truth, quantiles, levels),
            "mae": np.abs(truth - quantiles[..., middle]),
            "mse": (truth - mean) ** 2,
            "coverage": inside.astype(np.float64),
        }
        for name, simple in _simple_forecasts(encoding, past).items():
            found |= {f"{name}_mae": np.abs(truth - simple), f"{name}_mse": (truth - simple) ** 2}
        for name, errors in found.items():
            sums[name] = sums.get(name, 0) + errors.sum(axis=1)
        total += truth.shape[1]
    if not total:
        raise DataError(f"no window of {back} and {encoding.horizon} steps is there to judge; give a longer series.")
    return {name: value / total for name, value in sums.items()}


def _simple_forecasts(encoding: ForecastEncoding, past: Array) -> dict[str, Array]:
    known = past[:, :, : len(encoding.targets)].astype(np.float64)
    return {
        "naive": naive(known, encoding.horizon),
        "seasonal_naive": seasonal_naive(known, encoding.horizon, encoding.season),
        "drift": drift(known[-encoding.context :], encoding.horizon),
    }


def _window_loss(models: Sequence[Forecaster], values: Array, known: Array) -> float:
    device = next(models[0].parameters()).device
    x, features = (torch.as_tensor(a, dtype=torch.float32, device=device) for a in (values, known))
    return sum(float(model.window_loss(x, features)[0]) for model in models) / len(models)


# --- series read whole ------------------------------------------------------------------------------------------------


def _piece_scores(
    models: Sequence[Forecaster], encoding: ForecastEncoding, examples: Examples
) -> dict[str, NDArray[np.float64]]:
    """Of each series "nll", "constant_nll" (both summed over the columns), "crps" (their mean) and "steps"."""
    device = next(models[0].parameters()).device
    found = {name: np.zeros(len(examples)) for name in ("nll", "constant_nll", "crps", "steps")}
    for rows, batch in in_batches(examples, 32, by="values"):
        values, known, lengths = (batch[name].to(device) for name in ("values", "known", "values_lengths"))
        made = [model.steps(values, known, lengths) for model in models]
        # several models are a mixture at each value
        nats = math.log(len(made)) - torch.logsumexp(-torch.stack([one.loss(values) for one in made]), 0)
        quantiles = torch.stack([one.quantile(torch.tensor(LEVELS, device=device)) for one in made]).mean(0)
        crps = crps_of_quantiles(values.double().cpu().numpy(), quantiles.double().cpu().numpy(), LEVELS)
        valid = (np.arange(len(values))[:, None] < lengths.cpu().numpy())[..., None]
        found["nll"][rows] = (nats.double().cpu().numpy() * valid).sum((0, 2))
        constant = _constant(models[0].config.head, torch.tensor(encoding.centres, device=device).expand_as(values))
        found["constant_nll"][rows] = (constant.loss(values).double().cpu().numpy() * valid).sum((0, 2))
        found["crps"][rows] = (crps * valid).mean(2).sum(0)
        found["steps"][rows] = batch["values_lengths"].numpy()
    return found


def _constant(head: str, centres: Tensor) -> Distribution:
    """What the training part's means and spreads say of any step."""
    if head == "bernoulli":
        return Bernoulli(torch.logit(centres, eps=1e-4))
    return Gaussian(centres, torch.ones_like(centres))


def _whole_figures(models: Sequence[Forecaster], encoding: ForecastEncoding, examples: Examples) -> dict[str, float]:
    scores = _piece_scores(models, encoding, examples)
    found = {name: float(score.sum() / max(1, scores["steps"].sum())) for name, score in scores.items()}
    del found["steps"]
    return {"loss": found["nll"] / len(encoding.targets), **found}


def _judged_pieces(models: Sequence[Forecaster], encoding: ForecastEncoding, table: Table) -> Table:
    scores = _piece_scores(models, encoding, encoding.encode(table))
    per_step = scores["nll"] / np.maximum(scores["steps"], 1)
    return table.with_columns({"steps": scores["steps"].astype(int).tolist(), "nll": per_step.tolist()})


def _spelled(dates: NDArray[np.datetime64]) -> list[str]:
    """Dates as text, with the time of day where any of them isn't midnight."""
    texts = [str(date).replace("T", " ") for date in dates.astype("datetime64[s]")]
    whole = all(text.endswith(" 00:00:00") for text in texts)
    return [text.removesuffix(" 00:00:00") for text in texts] if whole else texts


def _rounded(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
