"""`ifog resume`: go on with a run that was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["resume"]


def resume(run: Annotated[Path, typer.Argument(help="The run directory, such as runs/NAME.")]) -> None:
    """Go on with a run that was stopped or killed, to the same losses as if it never had been."""
    from ifog.cli.progress import reported
    from ifog.tasks.jobs import resume as go_on

    watch: dict[str, Any] = {}
    if (run / "gradients.jsonl").exists():  # begun with --gradients
        from ifog.flow.along import watch_gradients

        watch["watch"] = watch_gradients
    with reported() as progress:
        done = go_on(run, progress=progress, **watch)
    progress.concluded(done)
