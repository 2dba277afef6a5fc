"""The `ifog` command: one file per command, none with logic of its own.

Heavy imports happen inside the commands, so that `ifog --help` answers at once.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process."""
    import io
    import sys

    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character shows another, and nothing stops
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from ifog.cli.application import app

    app(prog_name="ifog")
