"""Files that hold health data or keys: their owner may read them, and nobody else."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

import structlog

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
"""What SQLite keeps beside a file; it makes them anew with the file's own rights."""

_logger = structlog.get_logger(__name__)


def keep_private(path: Path) -> None:
    """Make the file empty where it is missing, and take from others what rights they have to it and what is beside it.

    What an earlier version or another umask left open is closed so. A file of another user is left as it is, with a
    warning. Raises OSError where the file cannot be made.
    """
    path.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    for suffix in _BESIDE:
        close_to_others(path.with_name(path.name + suffix))


def close_to_others(path: Path) -> None:
    """Take from others what rights they have to the file; a missing one is none."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            path.chmod(mode & ~_OTHERS)
    except FileNotFoundError:
        pass
    except OSError as error:
        _logger.warning("file_open_to_others", file=str(path), reason=error.strerror)
