"""The floor of a Python process: picows without GraphQL. python -m bench.gateway.picows_server PORT FEED

It speaks as much of graphql-transport-ws as the clients need, and hands every event on as it came.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from bench.gateway.rival_feed import open_feed

sockets: defaultdict[str, set[WSTransport]] = defaultdict(set)


class Listener(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        message = json.loads(frame.get_payload_as_ascii_text())
        if message["type"] == "connection_init":
            transport.send(WSMsgType.TEXT, b'{"type":"connection_ack"}')
        else:
            self.member = message["payload"]["variables"]["member"]
            sockets[self.member].add(transport)
            transport.send(WSMsgType.TEXT, b'{"id":"1","type":"next","payload":{"data":null}}')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for following in sockets.values():
            following.discard(transport)


def take(member: str, line: bytes) -> None:
    frame = b'{"id":"1","type":"next","payload":{"data":{"memberEvents":%s}}}' % line.rstrip()
    for transport in sockets[member]:
        transport.send(WSMsgType.TEXT, frame)


async def main() -> None:
    read_feed = await open_feed(sys.argv[2])

    def listener(request: WSUpgradeRequest) -> Listener:  # noqa: ARG001
        return Listener()

    server = await ws_create_server(listener, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await read_feed(take)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
