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
from delivery.timers import Timers

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

    def close_socket(self, ending: Ending, reason: str) -> None:
        """Close it; waits for nobody."""
        ...

    def warn(self, expires_at: datetime) -> None:
        """Have the client told when its token ends; does not wait for it."""
        ...

    @property
    def idle_since(self) -> float | None:
        """On the monotonic clock; None while an operation runs."""
        ...


class Lifetime:
    """Until the end of one token, or of patience; then it closes the socket.

    A token that is shorter than the warning's time is not warned of: its client has just got it.
    """

    __slots__ = ("_clock", "_limits", "_socket", "_timer", "_timers", "_warned", "expires_at")

    def __init__(
        self, socket: Living, expires_at: datetime, *, limits: LifetimeLimits, clock: Clock, timers: Timers
    ) -> None:
        self._socket = socket
        self._limits = limits
        self._clock = clock
        self._timers = timers
        self.expires_at = expires_at
        left = self._left()
        self._warned = left <= limits.warning_seconds
        self._timer = timers.after(self._until_next_look(left), self._look)

    def stop(self) -> None:
        """Another token took its place, or the socket was closed."""
        self._timers.cancel(self._timer)

    def _look(self) -> None:
        left = self._left()
        if left <= 0:
            self._socket.close_socket(Ending.EXPIRED, "The token has ended: connect again with a new one.")
            return
        if not self._warned and left <= self._limits.warning_seconds:
            self._warned = True
            self._socket.warn(self.expires_at)
        if self._patience() <= 0:
            words = "Nothing ran on this connection for long: connect again when it is needed."
            self._socket.close_socket(Ending.IDLE, words)
            return
        self._timer = self._timers.after(self._until_next_look(left), self._look)

    def _until_next_look(self, left: float) -> float:
        until_warning = _LONGEST_SLEEP_SECONDS if self._warned else left - self._limits.warning_seconds
        return min(left, until_warning, self._patience(), _LONGEST_SLEEP_SECONDS)

    def _patience(self) -> float:
        idle_since = self._socket.idle_since
        if idle_since is None:
            return self._limits.idle_seconds
        return idle_since + self._limits.idle_seconds - self._clock.monotonic()

    def _left(self) -> float:
        return (self.expires_at - self._clock.now()).total_seconds()


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
