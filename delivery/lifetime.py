"""How long a socket may live: as long as its token, and not for ever without anything that runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from bus.clock import Clock
from delivery.caller import Caller
from delivery.credentials import connection_token
from delivery.endings import Ending
from delivery.errors import TokenRefused

_LONGEST_SLEEP_SECONDS: Final = 300.0
"""A wall clock that was set while a socket waits for its end is noticed within this time."""
_TOKEN_KEYS: Final = frozenset({"authorization", "authtoken"})


class LifetimeLimits(Struct, frozen=True, kw_only=True):
    """When a socket is warned, and when it ends."""

    warning_seconds: float = 60.0
    """So long before its token ends: enough to fetch another and send it."""
    idle_seconds: float = 600.0
    """Without an operation: whoever has nothing to hear needs no socket."""


class Living(Protocol):
    """A socket, as its lifetime sees it."""

    async def end(self, ending: Ending, reason: str) -> None: ...

    def warn(self, expires_at: datetime) -> None:
        """Have the client told when its token ends; does not wait for it."""
        ...

    @property
    def idle_since(self) -> float | None:
        """On the monotonic clock; None while an operation runs."""
        ...


async def live(socket: Living, expires_at: datetime, *, limits: LifetimeLimits, clock: Clock) -> None:
    """Wait for the end of the token or of patience, and end the socket.

    A token that is shorter than the warning's time is not warned of: its client has just got it.
    """
    warn_in = _left(clock, expires_at) - limits.warning_seconds
    warned = warn_in <= 0
    while (left := _left(clock, expires_at)) > 0:
        if not warned and left <= limits.warning_seconds:
            warned = True
            socket.warn(expires_at)
        idle_since = socket.idle_since
        idle_left = limits.idle_seconds if idle_since is None else idle_since + limits.idle_seconds - clock.monotonic()
        if idle_left <= 0:
            await socket.end(Ending.IDLE, "Nothing ran on this connection for long: connect again when it is needed.")
            return
        until_warning = _LONGEST_SLEEP_SECONDS if warned else left - limits.warning_seconds
        await clock.sleep(min(left, until_warning, idle_left, _LONGEST_SLEEP_SECONDS))
    await socket.end(Ending.EXPIRED, "The token has ended: connect again with a new one.")


def renewing_token(payload: Mapping[str, object] | None) -> str | None:
    """The token in a ping, as `connection_init` has it; None where there is none. Raises TokenRefused."""
    if not payload or not any(key.lower() in _TOKEN_KEYS for key in payload):
        return None
    return connection_token(payload)


def check_renewal(present: Caller, renewed: Caller) -> None:
    """A socket stays whose it is. Raises TokenRefused where the new token is another's, or allows something else."""
    if _identity(present) != _identity(renewed):
        raise TokenRefused("The token is not of the caller who opened this connection: open another one with it.")


def _identity(caller: Caller) -> tuple[object, ...]:
    return caller.tenant_id, caller.subject, caller.roles, caller.member_id


def _left(clock: Clock, expires_at: datetime) -> float:
    return (expires_at - clock.now()).total_seconds()
