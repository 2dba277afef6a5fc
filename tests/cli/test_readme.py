"""The README runs as it is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ifog.cells import CATALOGUE
from ifog.cli import train, tune
from ifog.cli.application import app

README = Path(__file__).parents[2] / "README.md"
QUICK = "steps=2, hidden_size=8, embedding_size=4, batch_size=4, sequence=10"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_every_python_example_runs(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.txt").write_text("Once upon a time. " + text.read_text())
    code = "\n".join(blocks("python"))
    assert code.count('budget="60s"') == 2
    exec(compile(code.replace('budget="60s"', QUICK), str(README), "exec"), {"__name__": "readme"})
    assert (tmp_path / "runs" / "input-2" / "result.json").exists()


def test_a_new_cell_takes_at_most_ten_lines() -> None:
    new = next(
        block for block in blocks("python") if "CATALOGUE" not in block and "@cell" in block and "run =" in block
    )
    function = new[new.index("@cell") : new.index("run =")].strip()
    assert len(function.splitlines()) <= 10
    assert re.search(r"def (\w+)", function).group(1) not in CATALOGUE  # type: ignore[union-attr]


def test_every_command_it_shows_exists(ifog) -> None:
    from typer.main import get_command

    shown = [line for block in blocks("console") for line in block.splitlines() if re.match(r"\$ (\S*/)?ifog ", line)]
    assert len(shown) >= 6
    for line in shown:
        name, *arguments = shlex.split(line.removeprefix("$ "), comments=True)[1:]
        made = {"train": train, "tune": tune}.get(name)  # these have the options of their task
        command = made.command(arguments) if made else get_command(app).commands[name]  # type: ignore[attr-defined]
        known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        assert {a for a in arguments if a.startswith("--")} <= known


def test_the_number_of_cells_is_right() -> None:
    claimed = re.search(r"More than (\d+) cells", README.read_text(encoding="utf-8"))
    assert claimed is not None
    assert len(CATALOGUE) > int(claimed.group(1))
