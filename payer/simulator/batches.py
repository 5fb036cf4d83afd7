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
from payer.simulator.people import Finding, Refusal, refusal_of

_MOST_ITEMS_KEPT: Final = 20_000
_SECONDS_AN_HOUR: Final = 3600
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
    """An item that is worked off. When it will be done, and whether well, is settled as it comes in."""

    new: NewItem
    id: str
    refusal: Refusal | None
    ready_at: datetime
    retrying: bool

    def done(self, now: datetime) -> bool:
        """Whether its answer is there."""
        return self.ready_at <= now

    def state(self, now: datetime) -> ItemState:
        """Where it stands."""
        if not self.done(now):
            return ItemState.RETRYING if self.retrying else ItemState.STARTED
        return ItemState.COMPLETED if self.refusal is None else ItemState.COMPLETED_WITH_ERRORS


class Batch(Struct, frozen=True, kw_only=True):
    """A submitted batch."""

    id: str
    name: str
    submitted_at: datetime
    test_mode: bool
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
            test_mode=test_mode,
            items=tuple(self._item(item, now, max_retry_hours) for item in items),
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
        return sorted(done, key=lambda entry: (entry[1].ready_at, entry[1].id))

    def status(self, batch: Batch) -> Json:
        """The batch's status and counters."""
        now = self._clock.now()
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

    def check_result(self, item: BatchItem) -> str | None:
        """The `eligibilityCheckResult` of an item that is done."""
        if not item.done(self._clock.now()):
            return None
        finding = self._finding(item)
        if isinstance(finding, Refusal):
            return "FAILED"
        return "INACTIVE" if any(row.code == "6" for row in finding.plan.rows) else "ACTIVE"

    def listed(self, item: BatchItem) -> Json:
        """An item as the list of a batch's items shows it."""
        state = item.state(self._clock.now())
        body: Json = {"submitterTransactionIdentifier": item.new.identifier, "state": state.value}
        result = self.check_result(item)
        if result is not None:
            errors = [legacy_error(item.refusal)] if item.refusal else []
            eligibility = {
                "eligibilityCheckResult": result,
                "aaaErrors": errors,
                "id": f"ec_{item.id}",
                "payerId": item.new.inquiry.payer,
            }
            body["additionalInfo"] = {"eligibility": eligibility}
        return body

    def result(self, batch: Batch, item: BatchItem) -> Json:
        """A completed item as polling brings it: the older shape, and whose item it is."""
        new = item.new
        reply = self._payers.reply(
            new.payer, new.inquiry, self._finding(item), test_mode=batch.test_mode, unique=item.id
        )
        return {**legacy_answer(reply), "batchId": batch.id, "submitterTransactionIdentifier": new.identifier}

    def _item(self, item: NewItem, now: datetime, max_retry_hours: int) -> BatchItem:
        behaviour = self._payers.behaviour(item.payer)
        retrying = behaviour in _UNCONNECTED
        refusal = refusal_of(item.payer.id, item.inquiry)
        if retrying:
            refusal = Refusal(code="42", location="PAYER")
        elif behaviour is Behaviour.SIMREJECT:
            refusal = Refusal(code="75")
        seconds = (
            max_retry_hours * _SECONDS_AN_HOUR / self._speed if retrying else self._payers.seconds(Behaviour.SIMOK)
        )
        return BatchItem(
            new=item,
            id=self._payers.new_id(),
            refusal=refusal,
            ready_at=now + timedelta(seconds=seconds),
            retrying=retrying,
        )

    def _finding(self, item: BatchItem) -> Finding:
        return item.refusal or self._payers.finding(item.new.payer, item.new.inquiry, Behaviour.SIMOK)


def written(time: datetime) -> str:
    """A time as the API writes it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
