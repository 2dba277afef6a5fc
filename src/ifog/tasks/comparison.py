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
    ranked = sorted(zip(opened, curves, strict=True), key=lambda pair: _best(*pair)["loss"])
    return [_row(run, curve) for run, curve in ranked]


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


def _row(run: RunDirectory, curve: list[dict[str, Any]]) -> dict[str, str]:
    try:
        return _figures(run, run.config["model"], _best(run, curve), curve)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.path}: its config.json, result.json or metrics.jsonl lacks what a comparison needs ({error!r}); "
            "leave this run out, or train it anew."
        ) from error


def _figures(
    run: RunDirectory, model: dict[str, Any], best: dict[str, Any], curve: list[dict[str, Any]]
) -> dict[str, str]:
    return {
        "run": str(run.path),
        "cell": model["cell"],
        "size": f"{model['num_layers']} × {model['hidden_size']}",
        "steps": f"{curve[-1]['step']:,}",
        "seconds": f"{best['seconds']:.0f}",
        "nats": f"{best['loss']:.4f}",
        "bits/char": f"{best['bits_per_character']:.4f}",
        "accuracy": f"{best['accuracy']:.2%}",
    }


def _draw(names: list[Path], curves: list[list[dict[str, Any]]], target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key in zip(axes, ("step", "seconds"), strict=True):
        for name, curve in zip(names, curves, strict=True):
            axis.plot([r[key] for r in curve], [r["loss"] for r in curve], marker=".", label=str(name))
        axis.set_xlabel({"step": "updates", "seconds": "seconds of training"}[key])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("validation loss, nats per token")
    axes[0].legend()
    try:
        figure.savefig(target, dpi=150)
    except ValueError as error:
        raise RunError(f"{target}: {error}. Name a picture such as compare.png.") from error
