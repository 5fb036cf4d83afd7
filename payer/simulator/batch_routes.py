"""The paths of batch checks."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bus.clock import Clock
from payer.directory import Directory
from payer.simulator.batches import Batch, Batches, BatchItem, BatchNameTaken, NewItem, written
from payer.simulator.http import in_test_mode, json_body, json_response, validation_exception
from payer.simulator.inquiry import Malformed, Problem, legacy_inquiry
from payer.simulator.paging import PageAsked
from payer.simulator.slots import VendorSlots
from payer.wire import items, part, text

_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_ITEMS: Final = 10_000
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,100}", re.ASCII)
_RETRY_HOURS: Final = range(8, 25)
_PLAIN_PAGE: Final = 20  # larger pages come compressed


class _Submission(Struct, frozen=True, kw_only=True):
    name: str
    items: tuple[NewItem, ...]
    max_retry_hours: int


class BatchRoutes:
    """Submit, status, items, results."""

    def __init__(self, batches: Batches, directory: Directory, slots: VendorSlots, clock: Clock) -> None:
        self._batches = batches
        self._directory = directory
        self._slots = slots
        self._clock = clock

    async def submit(self, request: Request) -> Response:
        """One malformed item rejects the whole batch; a name may be used once."""
        try:
            submission = _read(await json_body(request, _MOST_BYTES), self._directory)
        except Malformed as error:
            self._slots.malformed()
            return validation_exception(error.problems)
        try:
            batch = self._batches.submit(
                submission.name, submission.items, submission.max_retry_hours, test_mode=in_test_mode(request)
            )
        except BatchNameTaken:
            return json_response({"code": "CONFLICT", "message": "A batch of this name exists."}, 409)
        return json_response({"batchId": batch.id, "submittedAt": written(batch.submitted_at)})

    async def status(self, request: Request) -> Response:
        """Status and counters of one batch."""
        return json_response(self._batches.status(self._batch(request.path_params["batch_id"])))

    async def items(self, request: Request) -> Response:
        """Every item of a batch, whatever its state; `state` and `eligibilityCheckResult` filter."""
        batch = self._batch(request.path_params["batch_id"])
        asked = PageAsked.of(request, range(1, 1001), 100)
        chosen = [item for item in batch.items if self._wanted(request, item)]
        page = [self._batches.listed(item) for item in asked.cut(chosen)]
        return json_response(asked.answer(page, len(chosen)))

    async def results(self, request: Request) -> Response:
        """Completed checks only, by `batchId`, or of all batches since `startDateTime`.

        A batch that is not through always has a next page, which may be empty as yet.
        """
        query = request.query_params
        if "batchId" not in query and "startDateTime" not in query:
            raise HTTPException(400, "batchId or startDateTime is required.")
        batch = self._batch(query["batchId"]) if "batchId" in query else None
        asked = PageAsked.of(request, range(1, 201), 10)
        done = [
            entry for entry in self._batches.completed(_time(query.get("startDateTime"))) if batch in (None, entry[0])
        ]
        page = [self._batches.result(*entry) for entry in asked.cut(done)]
        content = asked.answer(page, len(done) if batch is None else len(batch.items))
        if asked.size <= _PLAIN_PAGE:
            return json_response(content)
        body = gzip.compress(msgspec.json.encode(content), compresslevel=1)
        return Response(body, media_type="application/json", headers={"Content-Encoding": "gzip"})

    def _batch(self, batch_id: str) -> Batch:
        batch = self._batches.get(batch_id)
        if batch is None:
            raise HTTPException(404, "There is no such batch.")
        return batch

    def _wanted(self, request: Request, item: BatchItem) -> bool:
        query = request.query_params
        states = query.getlist("state") + query.getlist("state[]")
        results = query.getlist("eligibilityCheckResult") + query.getlist("eligibilityCheckResult[]")
        return (not states or item.state(self._clock.now()) in states) and (
            not results or self._batches.check_result(item) in results
        )


def _read(body: object, directory: Directory) -> _Submission:
    problems: list[Problem] = []
    name, given, hours = text(part(body, "name")) or "", items(part(body, "items")), part(body, "maxRetryHours")
    if not _NAME.fullmatch(name):
        problems.append(Problem("/name", "Letters, digits, - and _ only, 100 at most."))
    if not 1 <= len(given) <= _MOST_ITEMS:
        raise Malformed(Problem("/items", "From 1 to 10,000 items."))
    if hours is None:
        hours = _RETRY_HOURS[0]
    if not isinstance(hours, int) or hours not in _RETRY_HOURS:
        problems.append(Problem("/maxRetryHours", "From 8 to 24."))
        hours = 0
    read = []
    for place, item in enumerate(given):
        try:
            read.append(_item(item, directory))
        except Malformed as error:
            problems += [Problem(f"/items/{place}{problem.path}", problem.message) for problem in error.problems]
    if problems:
        raise Malformed(*problems)
    return _Submission(name=name, items=tuple(read), max_retry_hours=hours)


def _item(item: object, directory: Directory) -> NewItem:
    inquiry = legacy_inquiry(item)
    identifier = text(part(item, "submitterTransactionIdentifier"))
    if identifier is None:
        raise Malformed(Problem("/submitterTransactionIdentifier", "This is required."))
    payer = directory.find(inquiry.payer)
    if payer is None:
        raise Malformed(Problem("/tradingPartnerServiceId", "This payer is not configured."))
    return NewItem(identifier=identifier, inquiry=inquiry, payer=payer)


def _time(given: str | None) -> datetime:
    """UTC where no offset is given. Raises HTTPException (400)."""
    if given is None:
        return datetime.min.replace(tzinfo=UTC)
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise HTTPException(400, "startDateTime is not a time in ISO 8601.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
