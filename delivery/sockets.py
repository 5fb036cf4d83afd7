"""From an HTTP connection to a WebSocket: which path, whose address, and what all of them have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableSet, Sequence
from functools import partial
from typing import Any, Final, Protocol, cast

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from delivery.errors import NothingHere
from delivery.handshake import Handshake, read_handshake
from delivery.websocket import SocketTerms, WebSocket

GRAPHQL_PATH: Final = "/graphql"
NOTHING_HERE: Final = f"There is nothing at this path: GraphQL is at `{GRAPHQL_PATH}`."
Address = tuple[str, int]


class Door(Protocol):
    """Where those go who connect."""

    def come(self, socket: WebSocket, handshake: Handshake, address: str | None) -> None:
        """Open the socket, now or later. `address` is the client's, as far as proxies are believed."""
        ...


class Sockets:
    """Takes over connections whose request was for a WebSocket."""

    def __init__(self, door: Door | None, terms: SocketTerms, *, trusted_proxies: Sequence[str] = ()) -> None:
        """Without a door there is nothing at any path. `X-Forwarded-For` is believed of `trusted_proxies` alone."""
        self._door = door
        self._terms = terms
        proxies = ProxyHeadersMiddleware(cast("Any", None), list(trusted_proxies))
        self._trusted = proxies.trusted_hosts if trusted_proxies else None

    def take(
        self, url: bytes, headers: Sequence[tuple[bytes, bytes]], client: Address | None
    ) -> Callable[[asyncio.Transport, MutableSet[Any]], None]:
        """What makes the transport a WebSocket's, known to uvicorn among its connections. Raises BadRequest."""
        if self._door is None or url.partition(b"?")[0] != GRAPHQL_PATH.encode():
            raise NothingHere(NOTHING_HERE)
        handshake = read_handshake(headers)
        return partial(self._open, self._door, handshake, self._address(handshake, client))

    def _open(
        self,
        door: Door,
        handshake: Handshake,
        address: str | None,
        transport: asyncio.Transport,
        connections: MutableSet[Any],
    ) -> None:
        socket = WebSocket(self._terms, transport, connections.discard)
        connections.add(socket)
        transport.set_protocol(socket)
        door.come(socket, handshake, address)

    def _address(self, handshake: Handshake, client: Address | None) -> str | None:
        address = client[0] if client else None
        if self._trusted is None or handshake.forwarded_for is None or address not in self._trusted:
            return address
        return self._trusted.get_trusted_client_address(handshake.forwarded_for)[0] or address
