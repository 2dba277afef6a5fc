"""Set runs side by side: what they are, what they reached, and their curves.

Owns the table's rows and the picture. Takes run directories, reads their records only. Never loads weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifog.errors import RunError
from ifog.runs import RunDirectory

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["compare"]

COLUMNS = {"loss": "nats", "bits_per_character": "bits/char", "accuracy": "accuracy"}  # of language models
FIGURES = 4  # columns shown of another task


def compare(
    runs: Sequence[str | os.PathLike[str]], figure: str | os.PathLike[str] | None = None
) -> list[dict[str, str]]:
    """One row per run, best first, and its curves as a picture.

    Args:
        runs: run directories.
        figure: where to draw validation loss over steps and over time; the name's ending tells the format.

    Returns:
        Rows with the same keys: what the run is, how long it took, and its best figures on its validation text.

    Raises:
        RunError: a directory that is no run, or one that wasn't evaluated yet.
    """
    opened = [RunDirectory.open(run) for run in runs]
    curves = [_curve(run) for run in opened]
    if figure is not None:
        _draw([run.path for run in opened], curves, Path(figure))
    best = [_best(*pair) for pair in zip(opened, curves, strict=True)]
    order = sorted(range(len(opened)), key=lambda k: best[k]["loss"])
    return _rows([opened[k] for k in order], [best[k] for k in order], [curves[k][-1]["step"] for k in order])


def _curve(run: RunDirectory) -> list[dict[str, Any]]:
    """The evaluations, each with the seconds of training before it."""
    curve: list[dict[str, Any]] = []
    seconds = 0.0
    for record in run.read_metrics():
        seconds = record.get("seconds") or seconds
        if record.get("kind") == "evaluation":
            curve.append({"seconds": seconds, **record})
    if not curve:
        raise RunError(f"{run.path} wasn't evaluated yet; let `ifog resume {run.path}` go on until it was.")
    return curve


def _best(run: RunDirectory, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """The final result on the whole validation text, or the best evaluation of a run that goes on."""
    if (run.path / "result.json").exists():
        return run.read_json("result.json")
    return min(curve, key=lambda record: record["loss"])


def _rows(runs: Sequence[RunDirectory], best: Sequence[dict[str, Any]], steps: Sequence[int]) -> list[dict[str, str]]:
    """What the runs are, and the figures that all of them have."""
    names = [name for name in best[0] if name not in ("step", "seconds") and all(name in other for other in best)]
    shown = list(COLUMNS) if set(COLUMNS) <= set(names) else names[:FIGURES]
    rows: list[dict[str, str]] = []
    for run, found, step in zip(runs, best, steps, strict=True):
        try:
            figures = {COLUMNS.get(name, name.replace("_", " ")): f"{found[name]:.4g}" for name in shown}
            rows.append({
                "run": str(run.path), **_built(run.config), "steps": f"{step:,}", "seconds": f"{found['seconds']:.0f}",
                **figures,
            })  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{run.path}: its config.json, result.json or metrics.jsonl lacks what a comparison needs ({error!r}); "
                "leave this run out, or train it anew."
            ) from error
    return rows


def _built(config: dict[str, Any]) -> dict[str, str]:
    """The cell and the sizes of a run's layers."""
    model = {**config["options"], **config.get("model", {})}
    sizes = model.get("sizes")
    layers = " + ".join(map(str, sizes)) if sizes else f"{model['num_layers']} × {model['hidden_size']}"
    return {"cell": str(model["cell"]), "size": layers}


def _draw(names: list[Path], curves: list[list[dict[str, Any]]], target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key in zip(axes, ("step", "seconds"), strict=True):
        for name, curve in zip(names, curves, strict=True):
            axis.plot([r[key] for r in curve], [r["loss"] for r in curve], marker=".", label=str(name))
        axis.set_xlabel({"step": "updates", "seconds": "seconds of training"}[key])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("validation loss")
    axes[0].legend()
    try:
        figure.savefig(target, dpi=150)
    except ValueError as error:
        raise RunError(f"{target}: {error}. Name a picture such as compare.png.") from error
