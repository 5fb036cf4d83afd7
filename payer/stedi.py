"""The client of Stedi's real-time eligibility checks: one question, one call, one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from enum import StrEnum
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from bus.clock import Clock
from bus.failure import Failure, FailureKind
from bus.ids import RequestId
from bus.question import Question
from payer import current_shape, legacy_shape
from payer.aaa import outcome_of_errors, outcome_of_status
from payer.errors import ApiKeyInvalid
from payer.outcome import Answer, Broken, Outcome, Unfinished
from payer.statement import Statement, coverage_of
from payer.wire import items, part, text

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""The longest documented answers have some hundred kilobytes. At most half of what the log takes as one event."""

_CONNECT_SECONDS: Final = 10.0
_OK: Final = 200
_BAD_REQUEST: Final = 400
_TELLING: Final = (_OK, _BAD_REQUEST)  # with these it is the body that says what happened


class StediApi(StrEnum):
    """The version of Stedi's API, by its date, which decides the shape of questions and answers."""

    CURRENT = "2026-06-01"
    LEGACY = "2024-04-01"


class _Shape(Struct, frozen=True):
    path: str
    inquiry: Callable[[Question], Mapping[str, object]]
    read: Callable[[object], Statement | None]


_SHAPES: Final[Mapping[StediApi, _Shape]] = {
    StediApi.CURRENT: _Shape(current_shape.PATH, current_shape.inquiry, current_shape.read),
    StediApi.LEGACY: _Shape(legacy_shape.PATH, legacy_shape.inquiry, legacy_shape.read),
}


class _Unreadable(Exception):
    """The answer's head came, but its body is of no use; the argument is the failure's code."""


class StediClient:
    """Asks payers through Stedi, or through anything that speaks its HTTP.

    `timeout_seconds` bounds a whole call. It has to stand above the time Stedi itself waits for a payer (120 s), or
    calls are given up that Stedi goes on counting. The `http` client is its owner's to close; its pool should let go
    of idle connections before the server does, since a request lost on a dying connection cannot be told from one that
    Stedi took. Nothing is retried here.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        base_url: str,
        api_key: str,
        api: StediApi,
        timeout_seconds: float,
        clock: Clock,
    ) -> None:
        """Raises ApiKeyInvalid."""
        if not api_key or api_key != api_key.strip() or not (api_key.isascii() and api_key.isprintable()):
            raise ApiKeyInvalid("The API key has to be printable ASCII without spaces around it.")
        self._http = http
        self._shape = _SHAPES[api]
        # What is the same in every call is put together once: httpx takes longer over it than over the call.
        brief = min(_CONNECT_SECONDS, timeout_seconds)
        self._call = http.build_request(
            "POST",
            base_url.rstrip("/") + self._shape.path,
            headers={
                "Authorization": api_key,
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # so that a small body cannot unfold into a huge one
            },
            timeout=httpx.Timeout(timeout_seconds, connect=brief, pool=brief),
        )
        del self._call.headers["Content-Length"]  # each has its own
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    async def check(self, question: Question, request_id: RequestId) -> Outcome:
        """Ask once. Never raises for anything the wire brings.

        A call that was not sent, or whose answer had begun to arrive, is proven over; one that ran out of time or lost
        its connection before that is not.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status, body = await self._exchange(question)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol):
            return Broken(failure=_failure("NOT_SENT", "The clearinghouse could not be reached."))
        except (TimeoutError, httpx.TimeoutException):
            return Unfinished(failure=_TIMED_OUT, timed_out=True)
        except _Unreadable as error:
            return _broken_answer(str(error))
        except httpx.HTTPError:
            failure = _failure("CONNECTION_LOST", "The connection to the clearinghouse was lost.")
            return Unfinished(failure=failure, timed_out=False)
        return self._outcome(status, body, question, request_id)

    async def _exchange(self, question: Question) -> tuple[int, bytes]:
        call, content = self._call, msgspec.json.encode(self._shape.inquiry(question))
        headers, extensions = call.headers.raw, call.extensions
        request = httpx.Request(call.method, call.url, headers=headers, content=content, extensions=extensions)
        response = await self._http.send(request, stream=True, follow_redirects=False)
        async with aclosing(response):
            if response.status_code not in _TELLING:
                return response.status_code, b""
            body = bytearray()
            try:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise _Unreadable("ANSWER_TOO_LARGE")
            except httpx.TimeoutException:
                raise
            except httpx.HTTPError as error:
                raise _Unreadable("ANSWER_CUT_OFF") from error
            return response.status_code, bytes(body)

    def _outcome(self, status: int, body: bytes, question: Question, request_id: RequestId) -> Outcome:
        if status not in _TELLING:
            return outcome_of_status(status)
        try:
            content = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            content = None
        statement = self._shape.read(content)
        if statement is not None and (errors := statement.blocking_errors):
            return outcome_of_errors(errors, status, question)
        if status == _BAD_REQUEST:
            return outcome_of_status(status, _refused_pointers(content))
        if statement is None:
            return _broken_answer("ANSWER_UNREADABLE")
        return Answer(coverage=coverage_of(statement, question.payer_id, request_id, self._clock.now()))


_TIMED_OUT: Final = Failure(
    code="TIMEOUT",
    kind=FailureKind.PAYER_UNAVAILABLE,
    message="The payer did not answer in time.",
)


def _failure(code: str, message: str) -> Failure:
    return Failure(code=code, kind=FailureKind.INTERNAL, message=message)


def _broken_answer(code: str) -> Broken:
    return Broken(failure=_failure(code, "The clearinghouse's answer could not be read."))


def _refused_pointers(content: object) -> Iterable[str]:
    """What a validation error names: the current API under `errors`, the older ones under `fieldList`."""
    errors = [*items(part(content, "errors")), *items(part(content, "fieldList"))]
    return [pointer for error in errors if (pointer := text(part(error, "path"))) is not None]
