"""The command line called as a person would, and one small run to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner, Result

from ifog.cli.application import app

TEXT = "".join(f"{number} green bottles hanging on the wall,\n" for number in range(200))
TINY = ["--hidden-size", "8", "--embedding-size", "4", "--batch-size", "4", "--sequence", "10"]


class Command(Protocol):
    def __call__(self, *arguments: Any, code: int = 0, stdin: str | bytes | None = None) -> Result: ...


@pytest.fixture
def ifog() -> Command:
    """Run a command in this process; its exit code must be the expected one."""

    def run(*arguments: Any, code: int = 0, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="ifog")
        assert result.exit_code == code, f"exit code {result.exit_code}\n{result.output}\n{result.exception!r}"
        return result

    return run


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A small text file."""
    path = tmp_path / "bottles.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "bottles.txt").write_text(TEXT)
    result = CliRunner().invoke(
        app, ["train", str(folder / "bottles.txt"), "--out", str(folder / "run"), "--steps", "20", *TINY]
    )
    assert result.exit_code == 0, result.output
    return folder / "run"
