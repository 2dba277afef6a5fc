"""kill -9 at random moments; docs/results.md has the long version of this."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill.py"


def test_runs_killed_at_random_moments_resume_to_the_same_bits() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--steps", "300", "--seed", "3"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 equal" in done.stdout
