"""The command line's errors. Each message ends with the cure.

CoveyError
├── UsedWrongly           mend the command (exit code 2)
└── WorkFailed            mend what the message names, or try again (exit code 1)
    ├── PortInUse
    ├── ServerUnreachable
    └── ServerRefused
"""

from __future__ import annotations

from bus.errors import CoveyError


class UsedWrongly(CoveyError):
    """The command cannot mean anything as it was given."""


class WorkFailed(CoveyError):
    """The command was right, its work could not be done."""


class PortInUse(WorkFailed):
    """Another program listens there."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use or not to be had. End the other program, or choose another --port.")


class ServerUnreachable(WorkFailed):
    """Nothing that speaks GraphQL answers at the URL, or it stopped answering."""


class ServerRefused(WorkFailed):
    """The server understood and said no."""
