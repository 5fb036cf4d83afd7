"""Batch checks: submitted once, worked off by the clearinghouse outside the account's slots, fetched by polling."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from bus.clock import Clock
from payer.directory import PayerRecord
from payer.simulator.answers import Json, legacy_answer, legacy_error
from payer.simulator.behaviour import Behaviour
from payer.simulator.inquiry import Inquiry
from payer.simulator.payers import SimulatedPayers
from payer.simulator.people import Finding, Refusal

_MOST_ITEMS_KEPT: Final = 20_000
_SECONDS_AN_HOUR: Final = 3600.0
_UNCONNECTED: Final = frozenset({Behaviour.SIMDOWN, Behaviour.SIMHANG, Behaviour.SIM500, Behaviour.SIMGARBAGE})


class BatchNameTaken(Exception):
    """Another batch has the name."""


class ItemState(StrEnum):
    """Where an item stands; the states before STARTED pass at once here."""

    STARTED = "STARTED"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"


class NewItem(Struct, frozen=True, kw_only=True):
    """An item of a submitted batch, found well-formed."""

    identifier: str
    """The submitter's own."""
    inquiry: Inquiry
    payer: PayerRecord


class BatchItem(Struct, frozen=True, kw_only=True):
    """An item that is worked off; what will come of it is settled when it comes in."""

    new: NewItem
    body: Json
    """Its answer in the older shape."""
    finding: Finding
    ready_at: datetime
    retrying: bool

    def done(self, now: datetime) -> bool:
        return self.ready_at <= now

    def state(self, now: datetime) -> ItemState:
        if not self.done(now):
            return ItemState.RETRYING if self.retrying else ItemState.STARTED
        return ItemState.COMPLETED_WITH_ERRORS if isinstance(self.finding, Refusal) else ItemState.COMPLETED

    @property
    def result(self) -> str:
        """The `eligibilityCheckResult`."""
        if isinstance(self.finding, Refusal):
            return "FAILED"
        return "INACTIVE" if any(row.code == "6" for row in self.finding.plan.rows) else "ACTIVE"


class Batch(Struct, frozen=True, kw_only=True):
    """A submitted batch."""

    id: str
    name: str
    submitted_at: datetime
    items: tuple[BatchItem, ...]


class Batches:
    """The batches of the account; the oldest are forgotten beyond 20,000 items."""

    def __init__(self, payers: SimulatedPayers, speed: float, clock: Clock) -> None:
        self._payers = payers
        self._speed = speed
        self._clock = clock
        self._batches: OrderedDict[str, Batch] = OrderedDict()

    def submit(self, name: str, items: Sequence[NewItem], max_retry_hours: int, *, test_mode: bool) -> Batch:
        """Take a batch. Raises BatchNameTaken."""
        if any(batch.name == name for batch in self._batches.values()):
            raise BatchNameTaken(name)
        now = self._clock.now()
        batch = Batch(
            id=self._payers.new_id(),
            name=name,
            submitted_at=now,
            items=tuple(self._item(item, now, max_retry_hours, test_mode=test_mode) for item in items),
        )
        self._batches[batch.id] = batch
        while sum(len(kept.items) for kept in self._batches.values()) > _MOST_ITEMS_KEPT:
            self._batches.popitem(last=False)
        return batch

    def get(self, batch_id: str) -> Batch | None:
        """The batch with this id."""
        return self._batches.get(batch_id)

    def completed(self, since: datetime) -> list[tuple[Batch, BatchItem]]:
        """The items of all batches that were done since then, the first to be done first."""
        now = self._clock.now()
        done = [
            (batch, item)
            for batch in self._batches.values()
            for item in batch.items
            if item.done(now) and item.ready_at >= since
        ]
        return sorted(done, key=lambda entry: (entry[1].ready_at, entry[1].new.identifier))

    def _item(self, item: NewItem, now: datetime, max_retry_hours: int, *, test_mode: bool) -> BatchItem:
        behaviour = self._payers.behaviour(item.payer)
        retrying = behaviour in _UNCONNECTED
        if retrying:
            finding: Finding = Refusal(code="42", location="PAYER")
            seconds = max_retry_hours * _SECONDS_AN_HOUR / self._speed
        else:
            settled = Behaviour.SIMREJECT if behaviour is Behaviour.SIMREJECT else Behaviour.SIMOK
            finding = self._payers.finding(item.payer, item.inquiry, settled)
            seconds = self._payers.seconds(settled)
        reply = self._payers.reply(item.payer, item.inquiry, finding, test_mode=test_mode)
        return BatchItem(
            new=item,
            body=legacy_answer(reply),
            finding=finding,
            ready_at=now + timedelta(seconds=seconds),
            retrying=retrying,
        )


def status_of(batch: Batch, now: datetime) -> Json:
    """The batch's status and counters."""
    states = [item.state(now) for item in batch.items]
    succeeded, failed = states.count(ItemState.COMPLETED), states.count(ItemState.COMPLETED_WITH_ERRORS)
    working = len(states) - succeeded - failed
    ended = "COMPLETED_WITH_ERRORS" if failed else "COMPLETED"
    return {
        "batchId": batch.id,
        "name": batch.name,
        "submittedAt": written(batch.submitted_at),
        "status": "IN_PROGRESS" if working else ended,
        "totalCount": len(states),
        "successCount": succeeded,
        "errorCount": failed,
        "inProgressCount": working,
        "validatedCount": 0,
        "validationFailedCount": 0,
    }


def item_of(item: BatchItem, now: datetime) -> Json:
    """An item as the list of a batch's items shows it."""
    body: Json = {"submitterTransactionIdentifier": item.new.identifier, "state": item.state(now).value}
    if item.done(now):
        errors = [legacy_error(item.finding)] if isinstance(item.finding, Refusal) else []
        eligibility = {
            "eligibilityCheckResult": item.result,
            "aaaErrors": errors,
            "id": item.body["id"],
            "payerId": item.new.inquiry.payer,
        }
        body["additionalInfo"] = {"eligibility": eligibility}
    return body


def result_of(batch: Batch, item: BatchItem) -> Json:
    """A completed item as polling brings it."""
    return {**item.body, "batchId": batch.id, "submitterTransactionIdentifier": item.new.identifier}


def written(time: datetime) -> str:
    """A time as the API writes it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
