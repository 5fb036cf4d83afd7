"""uvicorn, set up for Covey: bounded, quiet about URLs, and draining before it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from delivery.senders import SenderGuard
from delivery.websocket import WebSocket

_GRACEFUL_SECONDS: Final = 10
"""After the drain, for HTTP answers under way; all of them take milliseconds."""


def server_config(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    http_protocol: type[SenderGuard],
    trusted_proxies: Sequence[str] = (),
) -> uvicorn.Config:
    """Settings for `DrainingServer`; the port 0 takes a free one.

    `X-Forwarded-For` is believed of `trusted_proxies` alone. URLs and addresses are not logged.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=http_protocol,
        ws=WebSocket,  # so that uvicorn lets handshakes through to `http_protocol`, which has them taken over
        lifespan="off",  # everything is started before the server and ended after it
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )


class DrainingServer(uvicorn.Server):
    """Drains on SIGTERM and SIGINT, still listening, and then shuts down; a second signal ends both at once.

    `drain` is awaited for it; a second signal cancels it.
    """

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if not self.force_exit:
            self._draining = asyncio.create_task(self._drain(), name="drain")
            try:
                await asyncio.wait({self._draining})
            finally:
                self._draining.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signal is not raised again afterwards: there is more to end than this server."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)
        if self._draining is not None:
            self._draining.get_loop().call_soon_threadsafe(self._draining.cancel)
