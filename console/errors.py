"""The command line's errors. Each message ends with the cure.

CoveyError
├── UsedWrongly           mend the command (exit code 2)
└── WorkFailed            mend what the message names, or try again (exit code 1)
    ├── PortInUse
    ├── ServerUnreachable
    └── ServerRefused
        └── TokenNotTaken
"""

from __future__ import annotations

from bus.errors import CoveyError


class UsedWrongly(CoveyError):
    """The command cannot mean anything as it was given."""


class WorkFailed(CoveyError):
    """The command was right, its work could not be done."""


class PortInUse(WorkFailed):
    """Another program listens there, or this user may not."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Port {port} on {host} is taken, or may not be used: end the other program, or choose another --port."
        )


class ServerUnreachable(WorkFailed):
    """Nothing that speaks GraphQL answers at the URL, or it stopped answering."""


class ServerRefused(WorkFailed):
    """The server understood and said no."""


class TokenNotTaken(ServerRefused):
    """The token does not prove to the server who asks."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The server refused the token: {why} Pass --token with one that it takes; `covey token` makes one for a "
            "server in development, with COVEY_DATA set to that server's data folder."
        )
        self.why = why
