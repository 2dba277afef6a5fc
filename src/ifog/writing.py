"""Write files such that a kill at any moment leaves the old or the new one, never a part.

Owns the temporary name, the flush to the disk and the renaming. Takes bytes. Never knows what they mean.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["TEMPORARY", "sync_directory", "write_atomically", "write_synced"]

TEMPORARY = ".temporary"  # ends the name of a file or folder that isn't whole yet


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content such that a reader, or a kill, sees the old or the new one, never a part.

    Raises:
        OSError: The disk is full or can't be written; the old file is untouched and nothing else is left.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_synced(temporary, content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file, and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the disk has the names in a folder."""
    if os.name == "posix":  # elsewhere a directory can't be opened, and renames are synced by the system
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
