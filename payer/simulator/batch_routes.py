"""The paths of batch checks."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bus.clock import Clock
from payer.directory import Directory
from payer.simulator.answers import Json
from payer.simulator.batches import Batch, Batches, BatchNameTaken, NewItem, item_of, result_of, status_of, written
from payer.simulator.http import in_test_mode, json_body, json_response, validation_exception
from payer.simulator.inquiry import Malformed, Problem, legacy_inquiry
from payer.simulator.slots import VendorSlots
from payer.wire import items, part, text

_MOST_BYTES: Final = 32 * 1024 * 1024
_MOST_ITEMS: Final = 10_000
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,100}", re.ASCII)
_RETRY_HOURS: Final = range(8, 25)
_PLAIN_PAGE: Final = 20  # larger pages come compressed
_T = TypeVar("_T")


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
        return json_response(status_of(self._batch(request.path_params["batch_id"]), self._clock.now()))

    async def items(self, request: Request) -> Response:
        """Every item of a batch, whatever its state; `state` and `eligibilityCheckResult` filter."""
        batch, now = self._batch(request.path_params["batch_id"]), self._clock.now()
        states = _wanted(request, "state")
        results = _wanted(request, "eligibilityCheckResult")
        chosen = [
            item
            for item in batch.items
            if (not states or item.state(now).value in states)
            and (not results or (item.done(now) and item.result in results))
        ]
        page, token = self._page(request, chosen, range(1, 1001), 100)
        return json_response(_paged([item_of(item, now) for item in page], token))

    async def results(self, request: Request) -> Response:
        """Completed checks only, by `batchId`, or of all batches since `startDateTime`.

        A batch that is not through always has a next page, which may be empty as yet.
        """
        since = _time(request.query_params.get("startDateTime"))
        batch_id = request.query_params.get("batchId")
        if since is None or (batch_id is None and "startDateTime" not in request.query_params):
            self._slots.malformed()
            return validation_exception([Problem("/startDateTime", "A batch or a time is required.")])
        asked = None if batch_id is None else self._batch(batch_id)
        done = [entry for entry in self._batches.completed(since) if asked is None or entry[0] is asked]
        size = _number(request, "pageSize", range(1, 201), 10)
        offset = _number(request, "pageToken", range(10**9), 0)
        page = done[offset : offset + size]
        following = offset + len(page)
        more = following < (len(done) if asked is None else len(asked.items))
        content = _paged([result_of(batch, item) for batch, item in page], f"{following}" if more else None)
        if size <= _PLAIN_PAGE:
            return json_response(content)
        body = gzip.compress(msgspec.json.encode(content), compresslevel=1)
        return Response(body, media_type="application/json", headers={"Content-Encoding": "gzip"})

    def _batch(self, batch_id: str) -> Batch:
        batch = self._batches.get(batch_id)
        if batch is None:
            raise HTTPException(404)
        return batch

    def _page(self, request: Request, found: Sequence[_T], sizes: range, usual: int) -> tuple[Sequence[_T], str | None]:
        return page_of(request, found, sizes, usual)


def page_of(request: Request, found: Sequence[_T], sizes: range, usual: int) -> tuple[Sequence[_T], str | None]:
    """The page that `pageSize` and `pageToken` ask for, and the token of the next one."""
    size = _number(request, "pageSize", sizes, usual)
    offset = _number(request, "pageToken", range(10**9), 0)
    following = offset + size
    return found[offset:following], f"{following}" if following < len(found) else None


def _read(body: object, directory: Directory) -> _Submission:
    problems: list[Problem] = []
    name, given = text(part(body, "name")) or "", items(part(body, "items"))
    hours = part(body, "maxRetryHours") if part(body, "maxRetryHours") is not None else _RETRY_HOURS[0]
    if not _NAME.fullmatch(name):
        problems.append(Problem("/name", "Letters, digits, - and _ only, 100 at most."))
    if not 1 <= len(given) <= _MOST_ITEMS:
        problems.append(Problem("/items", "From 1 to 10,000 items."))
    if not isinstance(hours, int) or hours not in _RETRY_HOURS:
        problems.append(Problem("/maxRetryHours", "From 8 to 24."))
    read = []
    for place, item in enumerate(given[:_MOST_ITEMS]):
        try:
            read.append(_item(item, directory))
        except Malformed as error:
            problems += [Problem(f"/items/{place}{problem.path}", problem.message) for problem in error.problems]
    if problems or not isinstance(hours, int):
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


def _wanted(request: Request, name: str) -> set[str]:
    return {*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")}


def _number(request: Request, name: str, allowed: range, usual: int) -> int:
    given = request.query_params.get(name, f"{usual}")
    if not given.isdecimal() or len(given) > 9 or int(given) not in allowed:
        raise HTTPException(400)
    return int(given)


def _time(given: str | None) -> datetime | None:
    if given is None:
        return datetime.min.replace(tzinfo=UTC)
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _paged(found: list[Json], token: str | None) -> Json:
    return {"items": found} if token is None else {"items": found, "nextPageToken": token}
