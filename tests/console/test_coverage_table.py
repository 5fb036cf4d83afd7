"""What a person sees of a request on a terminal and off it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from console.coverage_table import Waiting, coverage_table, event_line, failure_line
from console.terminal import printer
from tests.console.scripted_server import event

COVERAGE: dict[str, Any] = {
    "status": "ACTIVE",
    "obtainedAt": "2026-03-01T10:11:12Z",
    "ageSeconds": 0.1,
    "source": "PAYER",
    "requestId": "r-1",
    "payerId": "60054",
    "planName": "Choice [bold]POS[/bold] II",
    "groupNumber": None,
    "planBegin": "2026-01-01",
    "planEnd": None,
    "benefits": [
        {"kind": "COPAYMENT", "serviceTypeCodes": ["30", "98"], "amount": "25", "network": "IN_NETWORK"},
        {"kind": "COINSURANCE", "serviceTypeCodes": [], "percent": "0.2", "messages": ["after deductible"]},
        {"kind": "LIMITATION", "serviceTypeCodes": [], "quantity": "20 visits", "timePeriod": "CALENDAR_YEAR"},
        {"kind": "OTHER", "serviceTypeCodes": [], "percent": "about half"},
    ],
}


def drawn(coverage: dict[str, Any], *, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(coverage_table(coverage))
    written: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    return written


def test_coverage_is_drawn_with_its_plan_and_a_row_for_each_benefit() -> None:
    written = drawn(COVERAGE)
    assert "Coverage ACTIVE" in written and "Choice [bold]POS[/bold] II" in written
    assert "2026-01-01 to ..." in written and "Group" not in written
    rows = [line for line in written.splitlines() if "│" in line]
    assert len(rows) == 4
    assert (
        "copayment" in rows[0]
        and "30 health benefit plan" in rows[0]
        and "98 office visit" in rows[0]
        and "$25" in rows[0]
        and "in network" in rows[0]
    )
    assert "20%" in rows[1] and "after deductible" in rows[1]
    assert "20 visits" in rows[2] and "calendar year" in rows[2]
    assert "about half" in rows[3]


def test_coverage_without_benefits_has_no_empty_table() -> None:
    assert "Benefit" not in drawn({**COVERAGE, "benefits": []})


@pytest.mark.parametrize("width", [200, 80])
def test_a_column_that_nothing_stands_in_is_left_out(width: int) -> None:
    written = drawn({**COVERAGE, "benefits": [{"kind": "OTHER", "timePeriod": "VISIT"}]}, width=width)
    assert "Amount" not in written and "Network" not in written and "Level" not in written and "Notes" not in written
    assert "Benefit" in written and "visit" in written


@pytest.mark.parametrize("width", [40, 60, 80, 100, 129, 130, 160])
def test_no_word_is_broken_in_its_middle(width: int) -> None:
    services = ["30", "33", "47", "48", "50", "86", "88", "98", "AL", "MH", "UC"]
    terms = {"network": "OUT_OF_NETWORK", "coverageLevel": "INDIVIDUAL", "timePeriod": "CALENDAR_YEAR"}
    benefits = [
        {"kind": "PRIMARY_CARE_PROVIDER", "serviceTypeCodes": services, "quantity": "15 VISITS", **terms},
        {"kind": "COINSURANCE", "amount": "1250.00", "messages": ["BENEFITS ARE SUBJECT TO THE TERMS OF THE PLAN"]},
    ]
    written = drawn({**COVERAGE, "benefits": benefits}, width=width)
    assert max(len(line) for line in written.splitlines()) <= width
    words = set(written.replace(",", " ").split())
    assert words >= {"provider", "coinsurance", "chiropractic", "individual", "network", "calendar", "VISITS"}
    assert words >= {"$1250.00", "BENEFITS", "SUBJECT", "outpatient", "emergency"}


def test_a_narrow_terminal_shows_all_that_a_wide_one_does() -> None:
    benefit = {**COVERAGE["benefits"][0], "coverageLevel": "FAMILY", "timePeriod": "VISIT", "messages": ["Not abroad."]}
    lines = drawn({**COVERAGE, "benefits": [benefit]}, width=80).splitlines()
    [first] = [number for number, line in enumerate(lines) if "copayment" in line]
    shown = [" ".join(line.split()) for line in lines[first : first + 3]]
    assert shown == [
        "copayment $25 30 health benefit plan, 98 office visit",
        "in network, family, visit",
        "Not abroad.",
    ]


def test_off_a_terminal_there_is_no_colour() -> None:
    assert "\x1b" not in drawn(COVERAGE)


FAILURE = {"code": "75", "kind": "MEMBER_DATA", "message": "Not found.", "field": "subscriber.memberId"}


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (event("SUBMITTED", "c"), "10:11:12  submitted"),
        (
            event("ENQUEUED", "c", attempt=2, queuePosition=3, estimatedWaitSeconds=4.6),
            "10:11:12  enqueued  attempt 2  place 3 in the queue  about 5 s to wait",
        ),
        (
            event("FAILED", "c", failure=FAILURE),
            "10:11:12  failed  75 (member data): Not found. Correct --card and ask again.",
        ),
        (
            {"__typename": "QueueProgress", "cursor": "c", "queuePosition": 1, "estimatedWaitSeconds": None},
            "          waiting  place 1 in the queue",
        ),
        ({"__typename": "Gap", "cursor": "c", "reason": "STREAM_RESET"}, "gap: stream reset"),
        ({"__typename": "CoverageAnswered", "coverage": {}}, "answered from the cache"),
    ],
)
def test_an_item_is_told_in_a_line(item: dict[str, Any], line: str) -> None:
    assert event_line(item) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"code": "42", "kind": "PAYER_UNAVAILABLE", "followUp": "Please Wait 10 Days and Resubmit"},
            "42 (payer unavailable): Down. Please Wait 10 Days and Resubmit.",
        ),
        ({"kind": "DEADLINE", "code": "DEADLINE"}, "deadline: Down."),
        (
            {"field": "dependent.lastName", "followUp": "Please Correct and Resubmit"},
            "75 (member data): Down. Correct dependent.lastName and ask again.",
        ),
        ({"field": "dateOfService"}, "75 (member data): Down. Correct --date-of-service and ask again."),
    ],
)
def test_a_failure_is_told_with_one_advice_at_most(changes: dict[str, str], line: str) -> None:
    assert failure_line({"code": "75", "kind": "MEMBER_DATA", "message": "Down.", **changes}) == line


PROGRESS = {"__typename": "QueueProgress", "cursor": "c", "queuePosition": 2, "estimatedWaitSeconds": 4.6}


def told(*items: dict[str, Any], terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=100)
    with Waiting(console) as waiting:
        for item in items:
            waiting.show(item)
    written: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    return written


def test_each_event_has_a_line_that_stays_on_a_terminal_too() -> None:
    items = event("SUBMITTED", "c"), event("ENQUEUED", "c", queuePosition=3)
    lines = ["10:11:12  submitted", "10:11:12  enqueued  place 3 in the queue"]
    assert told(*items, terminal=False).splitlines() == lines
    on_a_terminal = told(*items, terminal=True)
    assert "\x1b" in on_a_terminal
    # What is printed above the moving line ends in a line break; the moving line is erased in its place.
    assert all(f"{line}\n" in on_a_terminal for line in lines)


def test_what_only_tells_of_the_wait_moves_the_line_of_a_terminal() -> None:
    words = "waiting  place 2 in the queue  about 5 s to wait"
    assert told(PROGRESS, terminal=False) == f"          {words}\n"
    on_a_terminal = told(event("SUBMITTED", "c"), PROGRESS, terminal=True)
    assert words in on_a_terminal and f"          {words}" not in on_a_terminal


def test_off_a_terminal_a_wide_table_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    note = "prior authorization is needed " * 10
    printer().print(coverage_table({**COVERAGE, "benefits": [{"kind": "OTHER", "messages": [note + "at last"]}]}))
    assert f"{note}at last" in capsys.readouterr().out


def test_on_a_narrow_terminal_long_words_are_folded_not_cut() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40)
    console.print(coverage_table(COVERAGE))
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
