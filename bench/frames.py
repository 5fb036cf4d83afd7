"""From the payer's answer to the client's frame: 50 answers a second to as many sockets.

    python -m bench.frames

The payer is a stand-in inside this process that notes when its answer left; the same process notes when the frame came.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.load import Connection, Times
from bench.report import Figure, report
from bench.servers import covey, service_token

PACE: Final = 50
SECONDS: Final = 20
PAYERS: Final = ("60054", "62308", "87726", "61101", "68069")
CALL_SECONDS: Final = 0.05
SUBMIT: Final = (
    "mutation S($input: SubmitCoverageRequestInput!) { submitCoverageRequest(input: $input) { __typename "
    "... on CoverageRequestAccepted { request { id } } } }"
)
FOLLOW: Final = """
subscription F($member: ID!) {
  memberEvents(memberId: $member) {
    __typename
    ... on CoverageRequestEvent {
      cursor id type time sequence attempt requestId memberId payerId
      coverage { status obtainedAt planName groupNumber planBegin planEnd benefits { kind amount } }
    }
  }
}
"""


class StandIn:
    """A payer that answers every check after 50 ms, and remembers when, by the card that was asked about."""

    def __init__(self) -> None:
        self.answered: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length))
                card = asked["subscriber"]["memberId"]
                await asyncio.sleep(CALL_SECONDS)
                body = json.dumps(_answer(card)).encode()
                self.answered[card] = time.perf_counter()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _answer(card: str) -> dict[str, object]:
    copay = {"amount": "25", "network": {"indicator": "IN_NETWORK"}, "coverageLevel": "INDIVIDUAL"}
    return {
        "id": "ec_1",
        "subscriber": {"memberId": card},
        "plans": [
            {"name": "Gold", "benefits": {"statuses": [{"status": "ACTIVE_COVERAGE"}], "coPayment": [copay] * 10}}
        ],
        "errors": [],
    }


@asynccontextmanager
async def stand_in() -> AsyncIterator[tuple[StandIn, str]]:
    payer = StandIn()
    server = await asyncio.start_server(payer.serve, "127.0.0.1", 0)
    async with server:
        yield payer, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def follow(port: int, token: str, member: str) -> ClientConnection:
    """A socket that is subscribed to everything of one member."""
    socket = await connect(
        f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None
    )
    await socket.send(json.dumps({"type": "connection_init", "payload": {"authToken": token}}))
    await socket.recv()
    payload = {"query": FOLLOW, "variables": {"member": member}}
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    await socket.recv()  # the first Checkpoint: the subscription is in force
    return socket


async def frames(socket: ClientConnection, came: dict[str, float]) -> None:
    """Note when each request's last frame came."""
    async for frame in socket:
        now = time.perf_counter()
        item = json.loads(frame)["payload"]["data"]["memberEvents"]
        if item.get("type") == "COMPLETED":
            came[item["requestId"]] = now


def submit_body(member: str, card: str, payer: str) -> bytes:
    question = {
        "memberId": member,
        "payerId": payer,
        "subscriber": {"memberId": card, "firstName": "Jane", "lastName": "Doe", "dateOfBirth": "1990-01-01"},
    }
    return json.dumps({"query": SUBMIT, "variables": {"input": {"question": question}}}).encode()


async def main() -> int:
    with TemporaryDirectory() as folder:
        data = Path(folder)
        async with stand_in() as (payer, url), covey(data, payer_url=url) as server:
            token = service_token(data)
            sockets = [await follow(server.port, token, f"m-{number}") for number in range(PACE)]
            came: dict[str, float] = {}
            readers = [asyncio.create_task(frames(socket, came)) for socket in sockets]
            connection = await Connection.open(server.port, token)
            cards: dict[str, str] = {}
            began = time.perf_counter()
            for number in range(PACE * SECONDS):
                await asyncio.sleep(max(0.0, began + number / PACE - time.perf_counter()))
                card = f"CARD{number:06}"
                body = submit_body(f"m-{number % PACE}", card, PAYERS[number % len(PAYERS)])
                answer = json.loads(await connection.post(body))
                cards[answer["data"]["submitCoverageRequest"]["request"]["id"]] = card
            for _ in range(500):
                if len(came) == len(cards):
                    break
                await asyncio.sleep(0.02)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            for socket in sockets:
                await socket.close()
            connection.close()
    if came.keys() != cards.keys():
        print(f"{len(cards)} submitted, {len(came)} frames came")
        return 1
    warm = list(cards)[PACE * 2 :]
    times = Times([came[request] - payer.answered[cards[request]] for request in warm], 1)
    print(f"p50 {times.percentile_ms(50):.1f} ms over {len(warm)} answers")
    return report([Figure(f"payer's answer to client's frame at {PACE}/s, p99 ms", times.percentile_ms(99), "<=", 25)])


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
