"""`python -m ifog.cli`: the command line where no `ifog` script is installed, as under torchrun."""

from __future__ import annotations

from ifog.cli import main

main()
