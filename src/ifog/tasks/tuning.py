"""Search hyperparameters: many short runs, the hopeless ones stopped early, the best one told.

Owns the meaning of a search space and the study. Takes files, fixed options and a space, gives the best options and
pictures. The search itself is Optuna's; each trial is an ordinary run.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifog.errors import ConfigError, TrainingError
from ifog.examples import Table
from ifog.tasks.beginning import paths_of
from ifog.tasks.jobs import train
from ifog.tasks.kinds import HIGHER, find, guess, score
from ifog.tasks.language_options import LanguageOptions
from ifog.training import SilentProgress

if TYPE_CHECKING:
    import optuna

    from ifog.tasks.beginning import Files
    from ifog.tasks.kind import Kind
    from ifog.training import Status

__all__ = ["SPACE", "Choices", "Found", "Range", "parse_space", "tune"]

SPACE = ("learning_rate=0.0005..0.02", "hidden_size=64,128,256", "dropout=0..0.6")  # where nothing else is asked for


@dataclasses.dataclass(frozen=True)
class Range:
    """Every number between two, whole if both are; evenly spread in the logarithm from a factor of ten on."""

    low: float
    high: float

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that tell whether all can be."""
        return self.low, self.high

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A value of it."""
        log = self.low > 0 and self.high >= 10 * self.low
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=log)
        return trial.suggest_float(name, self.low, self.high, log=log)


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of several values."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that tell whether all can be."""
        return self.values

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A value of it."""
        return trial.suggest_categorical(name, self.values)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        options: the best trial's, those that were searched alone.
        value: the best trial's figure on the validation data.
        metric: the figure's name.
        run: the best trial's run directory.
        trials: how many were finished, and how many were stopped early.
        importance: the share of each option in the figure's variance, the largest first.
    """

    options: Mapping[str, Any]
    value: float
    metric: str
    run: Path
    trials: tuple[int, int]
    importance: Mapping[str, float]


def parse_space(lines: Sequence[str]) -> dict[str, Range | Choices]:
    """A search space from text: NAME=LOW..HIGH or NAME=ONE,ANOTHER.

    Raises:
        ConfigError: a line that is neither.

    Examples:
        >>> parse_space(["dropout=0..0.5", "cell=lstm,gru"])
        {'dropout': Range(low=0, high=0.5), 'cell': Choices(values=('lstm', 'gru'))}
    """
    space: dict[str, Range | Choices] = {}
    for line in lines:
        name, equals, text = line.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not text.strip():
            raise ConfigError(f"search: {line!r} names no values; write NAME=LOW..HIGH or NAME=ONE,ANOTHER.")
        low, dots, high = text.partition("..")
        if not dots:
            space[name] = Choices(tuple(_value(part.strip()) for part in text.split(",")))
            continue
        bounds = [_value(low), _value(high)]
        if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in bounds) or bounds[0] >= bounds[1]:
            raise ConfigError(f"search: {line!r} is no range; write a smaller number, two dots and a larger one.")
        space[name] = Range(bounds[0], bounds[1])
    return space


def tune(
    files: Files | Sequence[Files] | Table | None,
    out: Files,
    *,
    task: str | None = None,
    search: Sequence[str] = SPACE,
    trials: int = 20,
    storage: str | None = None,
    told: Callable[[int, float | None, Mapping[str, Any]], None] | None = None,
    **fixed: Any,
) -> Found:
    """Try options, learn which are good, and say the best.

    Several processes given the same `out` and `storage` search together; one that is stopped goes on when it is started
    again. Bad trials are stopped at an evaluation where they lie behind half of the others. Of trials with equal
    figures the best is the one of the lowest loss.

    Args:
        files: what to learn from, as of `ifog.train`.
        out: a folder for the trials' runs, the study and its pictures.
        task: the kind of task; none: guessed.
        search: what to vary, see `parse_space`.
        trials: how many this call makes.
        storage: where the study is kept: none for a journal file in `out`, or a database's URL such as
            "postgresql://user:password@host/name" for several hosts.
        told: called after each trial with its number, its figure (None if it was stopped) and its options.
        **fixed: options that don't vary, of `ifog.train`.

    Raises:
        ConfigError: a space or an option that can't be, or no trial that succeeded.

    Source:
        Akiba et al. (2019), Optuna; Golovin et al. (2017), the rule of the median; Hutter et al. (2014), fANOVA.
    """
    import optuna

    space = parse_space(search)
    if trials < 1:
        raise ConfigError(f"trials is {trials}, but it counts runs: give 1 or more.")
    if both := sorted(space.keys() & fixed.keys()):
        raise ConfigError(f"search: {', '.join(both)} is both searched and given; drop one of the two.")
    name = task or guess([] if files is None else paths_of(files))  # pyright: ignore[reportArgumentType]
    metric = "loss" if name == "language" else _metric(find(name), files, fixed)
    _check(name, space, fixed)
    folder = Path(out)
    kept = _storage(storage, folder)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=kept,
        study_name=folder.resolve().name,
        direction="maximize" if metric in HIGHER else "minimize",
        sampler=optuna.samplers.TPESampler(seed=None),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        load_if_exists=True,
    )

    def objective(trial: optuna.Trial) -> float:
        chosen = {option: values.suggest(trial, option) for option, values in space.items()}
        path = folder / f"trial-{trial.number}"
        trial.set_user_attr("run", path.name)
        run = train(files, task=name, out=path, progress=_Judge(trial, metric), **{**fixed, **chosen})
        if run.interrupted:
            study.stop()
            raise optuna.TrialPruned
        trial.set_user_attr("loss", run.metrics["loss"])
        return run.metrics[metric]

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if told is not None:
            done = trial.state == optuna.trial.TrialState.COMPLETE
            told(trial.number, trial.value if done else None, trial.params)

    study.optimize(objective, n_trials=trials, catch=(TrainingError,), callbacks=[after])
    return _found(study, metric, folder)


def _check(task: str, space: Mapping[str, Range | Choices], fixed: Mapping[str, Any]) -> None:
    """Refuses what no trial could be made with, before anything is written."""
    options = LanguageOptions if task == "language" else find(task).options
    known = {field.name for field in dataclasses.fields(options)} - {"budget"}
    given = {name: value for name, value in fixed.items() if name in known}
    for name, values in space.items():
        for value in values.ends:
            options.given(**{**given, name: value})


class _Judge(SilentProgress):
    """Stops a trial that lies behind."""

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial, self.metric = trial, metric

    def evaluated(self, status: Status, metrics: Mapping[str, float], sample: str | None, best: bool) -> None:
        """Reports an evaluation by its share of the run, so that runs of different lengths compare."""
        import optuna

        value = metrics[self.metric]
        if math.isfinite(value):
            self.trial.report(value, round(100 * status.fraction))
        if self.trial.should_prune():
            raise optuna.TrialPruned


def _metric(kind: Kind, files: Files | Sequence[Files] | Table | None, fixed: Mapping[str, Any]) -> str:
    """The figure that counts, which the data may decide."""
    names = {field.name for field in dataclasses.fields(kind.options)} - {"budget"}
    options = kind.options.given(**{name: value for name, value in fixed.items() if name in names})
    table = files if isinstance(files, Table) else kind.read(paths_of(files), options)
    return kind.metric_of(kind.encoding(table, options))


def _found(study: optuna.Study, metric: str, folder: Path) -> Found:
    import optuna

    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    stopped = study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    if not done:
        raise ConfigError(
            "search: no trial was finished; each trial's own message says why. Give more, or a lower learning rate."
        )
    best = min(done, key=lambda trial: _score(trial, metric))
    importance: dict[str, float] = {}
    if len(done) > 1 and len(best.params) > 1 and len({trial.value for trial in done}) > 1:
        importance = optuna.importance.get_param_importances(study)
    found = Found(
        options=best.params, value=float(best.value or 0.0), metric=metric, run=folder / best.user_attrs["run"],
        trials=(len(done), len(stopped)), importance=importance,
    )  # fmt: skip
    values = [trial.value for trial in done if trial.value is not None]
    _draw(found, [trial.number for trial in done], values, metric in HIGHER, folder / "tune.png")
    (folder / "best.json").write_text(json.dumps({"options": found.options, metric: found.value}, indent=2) + "\n")
    return found


def _score(trial: optuna.trial.FrozenTrial, metric: str) -> tuple[float, float]:
    """As the checkpoints of a run are compared; a study of an earlier version wrote no losses."""
    figures = {"loss": trial.user_attrs.get("loss", math.inf), metric: trial.value or 0.0}
    return score(metric, figures)


def _storage(storage: str | None, folder: Path) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if storage is None:
        folder.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    if "://" not in storage:
        raise ConfigError(
            f"storage is {storage!r}, which is no URL; leave it out for a journal file, or give one such as "
            "postgresql://user:password@host/name."
        )
    try:
        return optuna.storages.RDBStorage(storage)
    except Exception as error:  # SQLAlchemy and each database's driver have errors of their own
        reason = str(error).split("\n")[0]
        raise ConfigError(
            f"storage {storage!r} can't be opened: {reason}. Mend the URL, or start the database."
        ) from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _draw(found: Found, numbers: Sequence[int], values: Sequence[float], higher: bool, path: Path) -> None:
    """Each trial's figure with the best so far, and how much each option matters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    history, importance = figure.subplots(1, 2)
    history.plot(numbers, values, "o", color="tab:blue", label="trial")
    best = [(max if higher else min)(values[: i + 1]) for i in range(len(values))]
    history.step(numbers, best, where="post", color="tab:orange", label="best so far")
    history.set_xlabel("trial")
    history.set_ylabel(found.metric.replace("_", " "))
    history.legend()
    names = list(found.importance)[::-1]
    importance.barh(names, [found.importance[name] for name in names], color="tab:blue")
    importance.set_xlabel("share of the variance (fANOVA)")
    figure.savefig(path)
