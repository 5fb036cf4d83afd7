"""Running a simulator inside the process that uses it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from payer.simulator.checks import HANG_UP

_BACKLOG: Final = 256
_KEEP_ALIVE_SECONDS: Final = 75  # longer than clients keep idle connections: httpx lets go after 5


class _Protocol(HttpToolsProtocol):
    """Lets an answer end its connection on purpose."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {HANG_UP: {"hang_up": self.transport.close}}


class _Server(uvicorn.Server):
    """Leaves the process's signals alone, and tells when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def running_simulator(app: Starlette, port: int = 0) -> AsyncIterator[str]:
    """Serve the app (of `simulator_app`) on 127.0.0.1 in the running loop; gives its URL, without a slash at the end.

    Port 0 is any that is free. At the end, calls under way are answered with HTTP 503. Raises OSError where the port
    is taken.
    """
    # With its protocol named, asyncio turns Nagle's algorithm off; without, every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with contextlib.closing(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]), name="payer simulator")
        try:
            await server.serving.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            app.state.checks.hang_up()
            server.should_exit = True
            await task
