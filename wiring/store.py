"""Where events and their views are kept: what differs between one process and many."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import NamedTuple

from bus.claims import Claims
from bus.fanout import Fanout
from bus.log import EventLog, RequestView
from delivery.probes import Check
from delivery.revocation import RevocationStore
from warming.cache import CoverageCache

Chore = Callable[[], Coroutine[object, object, None]]
"""Something that runs until it is cancelled."""


class Store(NamedTuple):
    """The log, its views, and what goes on beside them."""

    log: EventLog
    requests: RequestView
    cache: CoverageCache
    fanout: Fanout
    claims: Claims
    revocations: RevocationStore
    checks: Mapping[str, Check]
    chores: Mapping[str, Chore]
    """By name; to be run while the program does."""
