"""What training shows in a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from ifog.cli.progress import Report
from ifog.training import Status


def shown(report: Report, *, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(report)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def status(**changes: object) -> Status:
    values = {
        "step": 1200, "steps": None, "elapsed": 30.0, "budget": 90.0, "fraction": 1 / 3, "remaining": 60.4,
        "loss": 1.7321, "learning_rate": 0.00412, "gradient_norm": 0.5, "items_per_second": 84_725.4,
        "items": "tokens", "metrics": {"bits_per_character": 2.4989},
    }  # fmt: skip
    return Status(**{**values, **changes})  # type: ignore[arg-type]


def test_two_lines_tell_loss_bits_speed_rate_and_time_left_within_80_columns() -> None:
    report = Report()
    report.logged(status())
    first, second = shown(report, width=80)
    assert first.startswith("step 1200 ")
    assert first.rstrip().endswith("33 % 1:00 left")
    assert second == "loss 1.732 · 2.499 bits/char · 84,725 tokens/s · rate 0.0041"


def test_the_smooth_loss_of_min_char_rnn_is_shown() -> None:
    report = Report()
    report.logged(status(metrics={"smooth_loss": 104.25}))
    assert "smooth loss 104.25" in shown(report, width=80)[1]


def test_hours_and_an_unknown_end_are_shown_too() -> None:
    report = Report()
    report.logged(status(remaining=3725.0))
    assert "1:02:05 left" in shown(report, width=80)[0]
    report.logged(status(remaining=None))
    assert "left" not in shown(report, width=80)[0]


def test_the_speed_is_told_in_what_the_task_counts() -> None:
    report = Report()
    report.logged(status(items="examples", items_per_second=12.0))
    assert "12 examples/s" in shown(report, width=80)[1]
