"""The client that calls payers: for processes with workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx

from payer.stedi import StediApi, StediClient
from setting_kinds import LOOPBACK
from wiring.foundation import Foundation

_PAYER_IDLE_SECONDS: Final = 4.0
"""Below the keep-alive of servers, so that no call is sent on a connection that is just being closed."""


@asynccontextmanager
async def payer_client(base: Foundation) -> AsyncIterator[StediClient]:
    """The client of Stedi, or of the simulator."""
    settings = base.settings
    limits = httpx.Limits(max_connections=2 * settings.slots, keepalive_expiry=_PAYER_IDLE_SECONDS)
    # What a proxy is for lies beyond this machine; a simulator does not.
    beyond = urlsplit(settings.payer_url).hostname not in LOOPBACK
    async with httpx.AsyncClient(limits=limits, trust_env=beyond) as http:
        yield StediClient(
            http,
            base_url=settings.payer_url,
            api_key=settings.payer_api_key.get_secret_value(),
            api=StediApi(settings.stedi_api),
            timeout_seconds=settings.call_timeout_seconds,
            clock=base.clock,
        )
