"""How the command line shows a request: coverage as a table, events as lines, waiting as a line that moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from console.question_options import option_of
from console.service_types import named
from console.submit_and_follow import Item

_SERVICES_WIDTH: Final = 40
"""Columns; a plan's own row names every service there is."""
_WIDE_COLUMNS: Final = 130
"""Below it seven columns side by side would break their words."""
_COLOURS = {"ACTIVE": "bold green", "INACTIVE": "bold red", "UNKNOWN": "bold yellow"}


def coverage_table(coverage: Item) -> Group:
    """A payer's answer: the plan in a few lines, then a row for each benefit."""
    status = str(coverage["status"])
    heading = Text.assemble(("Coverage ", "bold"), (status, _COLOURS.get(status, "bold")))
    plan = Table.grid(padding=(0, 2))
    for label, value in (
        ("Payer", coverage["payerId"]),
        ("Plan", coverage.get("planName")),
        ("Group", coverage.get("groupNumber")),
        ("Plan dates", _span(coverage.get("planBegin"), coverage.get("planEnd"))),
        ("Obtained", f"{coverage['obtainedAt']} ({str(coverage['source']).lower()})"),
    ):
        if value:
            plan.add_row(label, escape(str(value)))
    rows = tuple(_row(benefit) for benefit in coverage["benefits"])
    return Group(heading, plan, *([_Benefits(rows)] if rows else []))


@dataclass(frozen=True, slots=True)
class _Row:
    """What is shown of one benefit; "" for what the payer did not say."""

    benefit: str
    services: str
    amount: str
    network: str
    level: str
    period: str
    notes: str


@dataclass(frozen=True, slots=True)
class _Benefits:
    """A row for each benefit: a column for each fact where there is room, else what it is for below one another."""

    rows: tuple[_Row, ...]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """See rich."""
        yield self._wide() if options.max_width >= _WIDE_COLUMNS else self._narrow()

    def _wide(self) -> Table:
        columns = {
            "Benefit": [row.benefit for row in self.rows],
            "For": [row.services for row in self.rows],
            "Amount": [row.amount for row in self.rows],
            "Network": [row.network for row in self.rows],
            "Level": [row.level for row in self.rows],
            "Period": [row.period for row in self.rows],
            "Notes": [row.notes for row in self.rows],
        }
        return _table(Table(), columns, max_widths={"For": _SERVICES_WIDTH})

    def _narrow(self) -> Table:
        columns = {
            "Benefit": [row.benefit for row in self.rows],
            "Amount": [row.amount for row in self.rows],
            "For": [_lines(row.services, _listed(row.network, row.level, row.period), row.notes) for row in self.rows],
        }
        return _table(Table(box=SIMPLE_HEAD, pad_edge=False), columns, max_widths={})


def _table(table: Table, columns: Mapping[str, Sequence[str]], *, max_widths: Mapping[str, int]) -> Table:
    """The table filled with those columns that hold anything."""
    said = {title: cells for title, cells in columns.items() if any(cells)}
    for title in said:
        table.add_column(title, overflow="fold", max_width=max_widths.get(title))
    for cells in zip(*said.values(), strict=True):
        table.add_row(*(escape(cell) for cell in cells))
    return table


def _listed(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def event_line(item: Item) -> str:
    """One item of a stream in one line without health data: when, what, and what there is to know of the wait."""
    if item["__typename"] == "CoverageAnswered":
        return "answered from the cache"
    if item["__typename"] == "Gap":
        return f"gap: {_words(item['reason'])}"
    failure = item.get("failure")
    parts = [
        str(item["time"])[11:19] if "time" in item else "        ",
        _words(item.get("type") or "waiting"),
        f"attempt {item['attempt']}" if item.get("attempt", 1) > 1 else "",
        _wait(item),
        failure_line(failure) if failure else "",
    ]
    return "  ".join(part for part in parts if part)


def _wait(item: Item) -> str:
    """What is in front of the request; "" where nothing is known of it."""
    place, seconds = item.get("queuePosition"), item.get("estimatedWaitSeconds")
    parts = [f"place {place} in the queue" if place else "", f"about {seconds:.0f} s to wait" if seconds else ""]
    return "  ".join(part for part in parts if part)


def failure_line(failure: Item) -> str:
    """Why a request failed, and what to correct: a field by its option, else what X12 advises."""
    code, kind = failure["code"], _words(failure["kind"])
    reason = kind if _words(code) == kind else f"{code} ({kind})"
    advice = ""
    if failure.get("field"):
        advice = f" Correct {option_of(failure['field'])} and ask again."
    elif failure.get("followUp"):
        advice = f" {failure['followUp']}."
    return f"{reason}: {failure['message']}{advice}"


class Waiting:
    """A line for each item; on a terminal also one that moves, below them, while the request waits.

    There what only tells of the wait moves that one and leaves no line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("waiting")
        self._moving = console.is_terminal

    def __enter__(self) -> Waiting:
        if self._moving:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._moving:
            self._status.stop()

    def show(self, item: Item) -> None:
        """Say where the request stands now."""
        if not self._moving or item["__typename"] != "QueueProgress":
            self._console.print(event_line(item), markup=False, highlight=False)
        if self._moving:
            self._status.update("  ".join(part for part in ("waiting", _wait(item)) if part))


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def _span(begin: str | None, end: str | None) -> str:
    return f"{begin or '...'} to {end or '...'}" if begin or end else ""


def _share(fraction: str | None) -> str:
    try:
        return f"{float(fraction or ''):.0%}"
    except ValueError:
        return fraction or ""


def _row(benefit: Item) -> _Row:
    amount = f"${benefit['amount']}" if benefit.get("amount") else ""
    return _Row(
        benefit=_words(benefit["kind"]),
        services=", ".join(named(code) for code in benefit.get("serviceTypeCodes") or ()),
        amount=amount or _share(benefit.get("percent")) or benefit.get("quantity") or "",
        network=_words(benefit.get("network") or ""),
        level=_words(benefit.get("coverageLevel") or ""),
        period=_words(benefit.get("timePeriod") or ""),
        notes="; ".join(benefit.get("messages") or ()),
    )
