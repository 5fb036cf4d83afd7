"""Why the server closes a socket, and the code that makes official clients do the right thing about it.

graphql-ws takes 4400, 4401, 4406, 4409, 4429 and 4500 as final, and comes back after 1012, 1013, 4403 and 4408.
"""

from __future__ import annotations

from enum import Enum


class Ending(Enum):
    """Each has a cause (the metric's label) and a close code."""

    MALFORMED = ("malformed", 4400)
    NOT_ACKNOWLEDGED = ("not_acknowledged", 4401)
    """A `subscribe` before the `connection_ack`."""
    REFUSED = ("refused", 4403)
    """The token of `connection_init` is none."""
    EXPIRED = ("expired", 4403)
    """The token ended while the socket was open: the client comes back with a new one."""
    REVOKED = ("revoked", 4403)
    """The token was revoked while the socket was open; with the same one it would be refused."""
    IDLE = ("idle", 1000)
    """Nothing ran on it for long. Clients that have nothing to run stay away; those that have come back."""
    SUBPROTOCOL = ("subprotocol", 4406)
    INIT_TIMEOUT = ("init_timeout", 4408)
    SUBSCRIBER_EXISTS = ("subscriber_exists", 4409)
    TOO_MANY_INITS = ("too_many_inits", 4429)
    INTERNAL = ("internal", 4500)
    RESTART = ("restart", 1012)
    """This instance drains."""
    TRY_LATER = ("try_later", 1013)
    """One socket too many, or tokens cannot be checked now."""
    CROWDED = ("crowded_handshakes", 1013)
    """More handshakes than are taken at once."""

    def __init__(self, cause: str, code: int) -> None:
        self.cause = cause
        self.code = code
