"""A thousand of bench/fuzz.py's hundred thousand: the program answers in the contract's words, or closes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.counted import Counted
from tests.conformance.fuzzing import Fuzz, Leak, judge

CASES, SEED = 1_000, 20261126


@pytest.mark.slow
async def test_nothing_that_is_sent_breaks_the_program_or_shows_its_inside(tmp_path: Path) -> None:
    server = await Counted.start(tmp_path)
    try:
        clients = Fuzz(server.port, server.token(), SEED)
        await clients.run(CASES)
        log = server.process.stderr.read_text()
    finally:
        await server.process.kill()
    assert clients.wrong == [], f"seed {SEED}"
    assert sum(clients.outcomes.values()) == CASES
    assert {"body: 200", "body: 400", "document: next", "document: error", "message: closed 4400"} <= {
        *clients.outcomes
    }
    assert "internal_error" not in log


@pytest.mark.parametrize(
    "said",
    [
        'Traceback (most recent call last):\n  File "x"',
        "Expected str, got NoneType",
        "ValueError: 5",
        "/usr/lib/x",
        "msgspec says no",
        "Unexpected Quackenbush",
        '{"extensions": {"code": "INTERNAL"}}',
    ],
)
def test_what_tells_of_the_inside_is_noticed(said: str) -> None:
    with pytest.raises(Leak):
        judge(said)


def test_what_the_contract_says_is_let_pass() -> None:
    judge('{"message": "Syntax Error: Unexpected Name.", "extensions": {"code": "BAD_USER_INPUT"}}')
