"""One process at a time: a lock that dies with whoever holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from bus.errors import LogLocked, LogUnavailable
from bus.owner_only import close_to_others


class FileLock:
    """An exclusive `flock` on a file of its own, which tells the holder's process id.

    The file stays behind when the lock is released: what counts is the lock, not the file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Take the lock at once or not at all.

        Raises LogLocked if another has it, LogUnavailable if the file cannot be made or opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogUnavailable(
                f"{path} cannot be opened ({error.strerror}): give this user the right to write the folder."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LogLocked(
                f"{path.with_suffix('')} is in use by process {holder}: end that process, or use another folder."
            ) from error
        close_to_others(path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let others have it; a second time changes nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
