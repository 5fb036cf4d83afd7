"""Answers from the cache over HTTP, at 300 a second.

python -m bench.cached
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from bench.load import Connection, paced
from bench.report import Figure, report
from bench.servers import covey, service_token, simulator

PACE: Final = 300
QUESTIONS: Final = 200
_ANSWERED: Final = b"CoverageAnswered"
ASK: Final = (
    "mutation S($input: SubmitCoverageRequestInput!) { submitCoverageRequest(input: $input) { __typename "
    "... on CoverageAnswered { coverage { status planName ageSeconds source benefits { kind amount percent } } } } }"
)


def ask_body(number: int) -> bytes:
    """One of the questions that were answered before."""
    question = {
        "memberId": f"m-{number % QUESTIONS}",
        "payerId": "60054",
        "subscriber": {
            "memberId": "AETNA12345",
            "firstName": "Jane",
            "lastName": "Doe",
            "dateOfBirth": "2004-04-04",
        },
    }
    return json.dumps({"query": ASK, "variables": {"input": {"question": question, "deadlineSeconds": 600}}}).encode()


async def _fill(port: int, token: str) -> None:
    connection = await Connection.open(port, token)
    for number in range(QUESTIONS):
        while _ANSWERED not in await connection.post(ask_body(number)):
            await asyncio.sleep(0.02)
    connection.close()


async def main() -> int:
    with TemporaryDirectory() as folder:
        data = Path(folder)
        async with simulator(speed=2000) as payer_url, covey(data, payer_url=payer_url) as server:
            token = service_token(data)
            await _fill(server.port, token)
            await paced(server.port, token, ask_body, _ANSWERED, per_second=PACE, seconds=2)
            times = await paced(server.port, token, ask_body, _ANSWERED, per_second=PACE, seconds=20)
    print(f"p50 {times.percentile_ms(50):.1f} ms, p99 of all {times.percentile_ms(99):.1f} ms")
    name = f"answer from cache at {PACE}/s, p99 ms, median of five windows"
    return report([Figure(name, times.calm_percentile_ms(99), "<=", 15)])


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
