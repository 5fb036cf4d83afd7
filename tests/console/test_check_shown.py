"""What `covey check` prints, and its exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import console.check
from console.errors import ServerRefused, TokenNotTaken
from console.submit_and_follow import Item
from tests.console.scripted_server import event
from tests.console.test_coverage_table import COVERAGE, FAILURE

ANSWERED = {"__typename": "CoverageAnswered", "coverage": COVERAGE, "refresh": None}


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (event("COMPLETED", "c2", coverage=COVERAGE), 0),
        (ANSWERED, 0),
        (event("FAILED", "c2", failure=FAILURE), 1),
        (event("TIMEOUT", "c2", failure=FAILURE), 1),
        (event("CANCELLED", "c2"), 1),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
async def test_results_go_to_stdout_and_the_exit_code_tells_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: Item, code: int, as_json: bool
) -> None:
    items = [event("SUBMITTED", "c1"), last]

    async def check(_client: Any, _request: Item, tell: Callable[[Item], None]) -> Item:
        for item in items:
            tell(item)
        return last

    monkeypatch.setattr(console.check, "check", check)
    assert await console.check.shown({}, url="http://127.0.0.1:1", token="t", as_json=as_json, key_folder=None) == code
    told = capsys.readouterr()
    if as_json:
        assert [json.loads(line) for line in told.out.splitlines()] == items and told.err == ""
    else:
        assert told.err.splitlines()[0] == "10:11:12  submitted"
        assert ("Coverage ACTIVE" in told.out) is (code == 0) is ("The request ended:" not in told.err)


@pytest.mark.parametrize("made_here", [True, False])
async def test_a_token_that_is_refused_is_told_with_the_folder_of_its_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made_here: bool
) -> None:
    async def check(*_: Any) -> Item:
        raise TokenNotTaken("The token's signature does not hold.")

    monkeypatch.setattr(console.check, "check", check)
    key_folder = tmp_path if made_here else None
    with pytest.raises(ServerRefused, match=r"signature does not hold\. .*--token") as refused:
        await console.check.shown({}, url="http://127.0.0.1:1", token="t", as_json=False, key_folder=key_folder)
    assert (f"key in {tmp_path}/" in str(refused.value)) is made_here
