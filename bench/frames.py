"""From the payer's answer to the client's frame: 50 answers a second to as many sockets.

    python -m bench.frames [--seconds 30]

The payer is a stand-in inside this process that notes when its answer left; the same process notes when the frame came.
Submits are started at their times, whether earlier ones have answered or not. How late this process itself was woken is
printed too: it is part of every figure, and says how busy the machine was. The bar is about the median over five
windows. Exit 1 if it is missed, 2 if an answer never came.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.load import Times, paced
from bench.report import Figure, report
from bench.servers import covey, service_token

PACE: Final = 50
PATIENCE_SECONDS: Final = 30.0
"""How long anything may take before the run is given up."""
PAYERS: Final = ("60054", "62308", "87726", "61101", "68069")
CALL_SECONDS: Final = 0.05
ACCEPTED: Final = b'"CoverageRequestAccepted"'
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
        self.asked: dict[str, float] = {}
        self.answered: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                asked = json.loads(await reader.readexactly(length))
                card = asked["subscriber"]["memberId"]
                self.asked[card] = time.perf_counter()
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
        "plans": [{"name": card, "benefits": {"statuses": [{"status": "ACTIVE_COVERAGE"}], "coPayment": [copay] * 10}}],
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
    async with asyncio.timeout(PATIENCE_SECONDS):
        socket = await connect(
            f"ws://127.0.0.1:{port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None
        )
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authToken": token}}))
        await expect(socket, "connection_ack")
        payload = {"query": FOLLOW, "variables": {"member": member}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        await expect(socket, "next")  # the first Checkpoint: the subscription is in force
    return socket


async def expect(socket: ClientConnection, type_: str) -> None:
    message = json.loads(await socket.recv())
    if message["type"] != type_:
        raise RuntimeError(f"{type_} was expected, but this came: {message}")


async def frames(socket: ClientConnection, came: dict[str, float], oddities: Counter[str]) -> None:
    """Note when the last frame of each request came, by its plan's name: the card that was asked about; and count what
    should not come."""
    async for frame in socket:
        now = time.perf_counter()
        message = json.loads(frame)
        item = message["payload"]["data"]["memberEvents"] if message["type"] == "next" else message
        match item.get("type"):
            case "COMPLETED":
                came[item["coverage"]["planName"]] = now
            case "FAILED" | "TIMEOUT" | "CANCELLED" as end:
                oddities[end] += 1
            case "ENQUEUED" if item["attempt"] > 1:
                oddities["another attempt"] += 1
            case "error" | "complete":
                oddities["stream ended"] += 1
    oddities["socket closed"] += 1


async def lateness(late: list[float]) -> None:
    """How much later than asked this process goes on."""
    while True:
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        late.append(time.perf_counter() - due)


def submit_body(member: str, card: str, payer: str) -> bytes:
    question = {
        "memberId": member,
        "payerId": payer,
        "subscriber": {"memberId": card, "firstName": "Jane", "lastName": "Doe", "dateOfBirth": "1990-01-01"},
    }
    return json.dumps({"query": SUBMIT, "variables": {"input": {"question": question}}}).encode()


def card_of(number: int) -> str:
    return f"CARD{number:06}"


class Measured(NamedTuple):
    """What a run brought."""

    seconds: list[float | None]
    """From answer to frame in the order of the submits; None where no frame came."""
    waited: list[float]
    """From submits to payers' calls."""
    late: list[float]
    """How much later than asked this process went on."""
    oddities: Counter[str]


async def measure(port: int, token: str, payer: StandIn, seconds: int) -> Measured:
    """Submit through this gateway at the pace, for so long, and wait for every frame."""
    came: dict[str, float] = {}
    late: list[float] = []
    submitted: dict[str, float] = {}
    oddities = Counter[str]()

    def submit(number: int) -> bytes:
        submitted[card_of(number)] = time.perf_counter()
        return submit_body(f"m-{number % PACE}", card_of(number), PAYERS[number % len(PAYERS)])

    sockets = [await follow(port, token, f"m-{number}") for number in range(PACE)]
    watching = [asyncio.create_task(frames(socket, came, oddities)) for socket in sockets]
    watching.append(asyncio.create_task(lateness(late)))
    await paced(port, token, submit, ACCEPTED, per_second=PACE, seconds=seconds)
    given_up = time.perf_counter() + PATIENCE_SECONDS
    while len(came) < PACE * seconds and time.perf_counter() < given_up:
        await asyncio.sleep(0.05)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    for socket in sockets:
        await socket.close()
    cards = [card_of(number) for number in range(PACE * seconds)]
    every = [came[card] - payer.answered[card] if card in came else None for card in cards]
    waited = [payer.asked[card] - submitted[card] for card in cards if card in payer.asked]
    return Measured(every, waited, late, oddities)


def told(measured: Measured, seconds: int, path: str) -> int:
    """Print what so many seconds brought; the exit code."""
    for oddity, times_seen in measured.oddities.items():
        print(f"{oddity}: {times_seen}")
    came = [one for one in measured.seconds if one is not None]
    if len(came) < len(measured.seconds):
        print(f"{len(measured.seconds)} submitted, {len(came)} answers came")
        return 2
    times, own = Times(came[PACE * 2 :], seconds - 2), Times(measured.late, seconds)  # the first two warm up
    waited = Times(measured.waited, seconds)
    print(f"submit to payer's call: p50 {waited.percentile_ms(50):.1f} ms, p99 {waited.percentile_ms(99):.1f} ms")
    windows = sorted(window.percentile_ms(99) for window in times.windows(5))
    print(f"{len(times.seconds)} answers: p50 {times.percentile_ms(50):.1f} ms, p99 {times.percentile_ms(99):.1f} ms")
    print("p99 of each of five windows, ms: " + ", ".join(f"{p99_ms:.1f}" for p99_ms in windows))
    print(f"lateness of this process: p50 {own.percentile_ms(50):.1f} ms, p99 {own.percentile_ms(99):.1f} ms")
    name = f"payer's answer to client's frame{path} at {PACE}/s, p99 ms, median window"
    return report([Figure(name, times.calm_percentile_ms(99), "<=", 25)])


async def _measure(seconds: int) -> Measured:
    with TemporaryDirectory() as folder:
        data = Path(folder)
        async with stand_in() as (payer, url), covey(data, payer_url=url) as server:
            return await measure(server.port, service_token(data), payer, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30)
    seconds: int = parser.parse_args().seconds
    return told(uvloop.run(_measure(seconds)), seconds, "")


if __name__ == "__main__":
    sys.exit(main())
