"""Submits over HTTP: the time until a durable answer, and the rate beside a log in memory and beside stock Strawberry.

    python -m bench.submit

The payer takes calls and never answers, so what is measured is accepting: validation, the log, the queue, the answer.
The three servers take turns, round by round, so that a noisy machine is noisy for all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from bench.load import Times, paced, saturated
from bench.report import Figure, report
from bench.servers import Server, covey, service_token, silent_payer, stock

PACE: Final = 200
CONNECTIONS: Final = 32
SUBMIT: Final = (
    "mutation S($input: SubmitCoverageRequestInput!) { submitCoverageRequest(input: $input) { __typename "
    "... on CoverageRequestAccepted { request { id status queuePosition estimatedWaitSeconds cursor } } "
    "... on Refused { reason message } } }"
)
_ACCEPTED: Final = b"CoverageRequestAccepted"
NOTHING: Final = json.dumps({"query": "mutation N { nothing }"}).encode()


def submit_body(number: int) -> bytes:
    """A question that was not asked before."""
    question = {
        "memberId": f"m-{number}",
        "payerId": "SIMHANG",
        "subscriber": {"memberId": "CARD12345", "firstName": "Jane", "lastName": "Doe", "dateOfBirth": "1990-01-01"},
    }
    variables = {"input": {"question": question, "deadlineSeconds": 600}}
    return json.dumps({"query": SUBMIT, "variables": variables}).encode()


async def _saturate(server: Server, token: str | None, seconds: float) -> Times:
    if token is None:
        return await saturated(server.port, None, lambda _: NOTHING, b"true", connections=CONNECTIONS, seconds=seconds)
    return await saturated(server.port, token, submit_body, _ACCEPTED, connections=CONNECTIONS, seconds=seconds)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"sqlite": [], "memory": [], "stock": []}
    with TemporaryDirectory() as folder:
        async with silent_payer() as payer_url, covey(Path(folder) / "paced", payer_url=payer_url) as server:
            token = service_token(Path(folder) / "paced")
            await paced(server.port, token, submit_body, _ACCEPTED, per_second=PACE, seconds=2)
            times = await paced(server.port, token, submit_body, _ACCEPTED, per_second=PACE, seconds=20)
        for turn in range(arguments.rounds):
            for log in ("sqlite", "memory"):
                data = Path(folder) / f"{log}-{turn}"
                async with silent_payer() as payer_url, covey(data, log=log, payer_url=payer_url) as server:
                    token = service_token(data)
                    await _saturate(server, token, 1.0)
                    rates[log].append((await _saturate(server, token, arguments.seconds)).rate)
            async with stock() as server:
                await _saturate(server, None, 1.0)
                rates["stock"].append((await _saturate(server, None, arguments.seconds)).rate)
    print(
        f"submit durable at {PACE}/s: p50 {times.percentile_ms(50):.1f} ms, p99 of all {times.percentile_ms(99):.1f} ms"
    )
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print("rates a second, median of rounds:", {name: round(rate) for name, rate in middle.items()})
    return report(
        [
            Figure(
                f"submit durable at {PACE}/s, p99 ms, median of five windows", times.calm_percentile_ms(99), "<=", 50
            ),
            Figure("submit rate, durable / memory log", middle["sqlite"] / middle["memory"], ">=", 0.70),
            Figure("submit rate, durable / stock mutation", middle["sqlite"] / middle["stock"], ">=", 0.60),
        ]
    )


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
