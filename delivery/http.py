"""The HTTP door: one GraphQL operation a POST, answered in JSON, or in a stream where it is a subscription.

Checks go in the order of what they cost: what is refused is refused before its body is read, and a body that is too
large is not read on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec
import structlog
from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.schema.base import BaseSchema
from strawberry.types.graphql import OperationType

from delivery.accept import UNREADABLE, Accepted, AnswerType, StreamType, accepted
from delivery.caller import Caller
from delivery.credentials import bearer_token
from delivery.drain import Drain
from delivery.errors import (
    BodyTooLarge,
    Draining,
    ErrorCode,
    MediaTypeUnsupported,
    MethodNotAllowed,
    NotAcceptable,
    RequestRefused,
    RequestTooSlow,
    TokenRefused,
)
from delivery.event_stream import EventStream
from delivery.multipart import Multipart
from delivery.payloads import DOCUMENT_ERRORS, Payloads, document_entry, refusal_entry
from delivery.rates import Rates
from delivery.request import GraphQLRequest, read_request
from delivery.resumable import Subscriptions
from delivery.streams import Exchange, StreamForm, Streams
from delivery.tokens import Door, TokenVerifier

_OPERATIONS: Final = (OperationType.QUERY, OperationType.MUTATION)
_EVENTS: Final = EventStream()
_FORMS: Final[Mapping[StreamType, StreamForm]] = {StreamType.EVENTS: _EVENTS, StreamType.MULTIPART: Multipart()}
_BYTES_OF_ONE: Final = 512
"""Of a document that has to be read to see whether it is a subscription; as much counts as an operation."""
_logger = structlog.get_logger(__name__)


class _ClientGone(Exception):
    """The client hung up before its body was whole: there is nobody to answer."""


class _Answer(Struct, frozen=True, kw_only=True):
    status: int
    body: bytes
    media_type: str = AnswerType.JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class HttpDoor:
    """An ASGI application for `/graphql` over HTTP. `page` answers browsers that GET it (GraphiQL, in development)."""

    def __init__(
        self,
        *,
        schema: BaseSchema,
        verifier: TokenVerifier,
        rates: Rates,
        drain: Drain,
        context_factory: Callable[[Caller], object],
        payloads: Payloads,
        streams: Streams,
        subscriptions: Subscriptions,
        body_limit_bytes: int = 64 * 1024,
        body_seconds: float = 20.0,
        page: ASGIApp | None = None,
    ) -> None:
        """A body has to come whole within `body_seconds`: 64 KiB are that slow on no network that is of use."""
        self._schema = schema
        self._verifier = verifier
        self._rates = rates
        self._drain = drain
        self._context_factory = context_factory
        self._payloads = payloads
        self._streams = streams
        self._subscriptions = subscriptions
        self._body_limit_bytes = body_limit_bytes
        self._body_seconds = body_seconds
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        if self._page is not None and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            await self._page(scope, receive, send)
            return
        try:
            self._check_method(scope)
            accepts = accepted(headers.get("accept", ""))
            answer = await self._answer(Exchange(scope, receive, send), headers, accepts)
        except _ClientGone:
            return
        except RequestRefused as refusal:
            _logger.info("request_refused", status=refusal.status, reason=type(refusal).__name__)
            answer = _refused(refusal)
        except Exception as error:
            answer = _Answer(status=500, body=_errors(self._payloads.internal("http", error)))
        if answer is not None:
            await _send(answer, send)

    def _check_method(self, scope: Scope) -> None:
        if scope["method"] != "POST":
            raise MethodNotAllowed(
                "Ask by POST: questions are health data, and URLs get logged. (urql: set `preferGetMethod: false`.)"
            )

    async def _answer(self, exchange: Exchange, headers: dict[str, str], accepts: Accepted) -> _Answer | None:
        """None where the answer was a stream, which is over."""
        if self._drain.active:
            raise Draining("This instance is going away: ask again.")
        _check_media_type(headers)
        self._check_announced_length(headers)
        if "authorization" not in headers:
            raise TokenRefused("A token is needed: `Authorization: Bearer TOKEN`.")
        caller = await self._verifier.verify(bearer_token(headers["authorization"]), Door.HTTP)
        self._rates.take(caller)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._body(exchange.receive)
        except TimeoutError:
            raise RequestTooSlow(f"The body did not come within {self._body_seconds:g} s: send it faster.") from None
        request = read_request(body)
        if accepts.stream is not None and await self._stream(exchange, headers, request, caller, accepts.stream):
            return None
        if accepts.answer is None and not accepts.events:
            raise NotAcceptable(UNREADABLE)
        return await self._execute(request, caller, accepts.answer)

    def _check_announced_length(self, headers: dict[str, str]) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._body_limit_bytes):
            raise self._too_large()

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _ClientGone
            body += message.get("body", b"")
            if len(body) > self._body_limit_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body is over the limit of {self._body_limit_bytes} bytes.")

    async def _stream(
        self, exchange: Exchange, headers: dict[str, str], request: GraphQLRequest, caller: Caller, type_: StreamType
    ) -> bool:
        """Answer a subscription; False, having done nothing, for other operations. Raises Unavailable."""
        subscription = self._subscriptions.find(request, lambda size: self._rates.charge(caller, size // _BYTES_OF_ONE))
        if subscription is None:
            return False
        cursor = headers.get("last-event-id", "").strip() if type_ is StreamType.EVENTS else ""
        if cursor:
            request = subscription.resumed(request, cursor)
        await self._streams.answer(exchange, request, caller, _FORMS[type_])
        return True

    async def _execute(self, request: GraphQLRequest, caller: Caller, form: AnswerType | None) -> _Answer:
        """`form` is None for clients that read nothing but events."""
        try:
            result = await self._schema.execute(
                cast("str", request.document),
                variable_values=request.variables,
                context_value=self._context_factory(caller),
                operation_name=request.operation_name,
                allowed_operation_types=_OPERATIONS,
            )
        except DOCUMENT_ERRORS as error:
            content: dict[str, Any] = {"errors": [document_entry(error)]}
        else:
            content = self._payloads.payload(result)
        body = msgspec.json.encode(content)
        if form is None:
            events = _EVENTS.item(body, None) + _EVENTS.completion
            return _Answer(status=200, body=events, media_type=StreamType.EVENTS)
        return _Answer(status=_status(content, form), body=body, media_type=form)


def _headers(scope: Scope) -> dict[str, str]:
    """By lower-case name; a header given twice becomes one list, which for `authorization` is no token."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _check_media_type(headers: dict[str, str]) -> None:
    media_type, *parameters = headers.get("content-type", "").lower().split(";")
    charsets = [parameter.partition("=")[2].strip(' "') for parameter in parameters if "charset=" in parameter]
    if media_type.strip() != "application/json" or any(charset not in {"utf-8", "utf8"} for charset in charsets):
        raise MediaTypeUnsupported("Send `Content-Type: application/json`, in UTF-8.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaTypeUnsupported("Send the body as it is, without a Content-Encoding.")


def _status(content: dict[str, Any], form: AnswerType) -> int:
    """GraphQL over HTTP: plain JSON is always 200; the type of GraphQL's own tells a refused request by its status."""
    if form is AnswerType.JSON or "data" in content:
        return 200
    codes = {error["extensions"]["code"] for error in content["errors"]}
    return 500 if ErrorCode.INTERNAL in codes else 400


def _refused(refusal: RequestRefused) -> _Answer:
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(refusal, MethodNotAllowed):
        headers.append((b"allow", b"POST"))
    if isinstance(refusal, TokenRefused):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(refusal, BodyTooLarge | RequestTooSlow | Draining):
        headers.append((b"connection", b"close"))  # the server reads no further, and takes no more on this connection
    if refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    return _Answer(status=refusal.status, body=_errors(refusal_entry(refusal)), headers=tuple(headers))


def _errors(entry: dict[str, object]) -> bytes:
    return msgspec.json.encode({"errors": [entry]})


async def _send(answer: _Answer, send: Send) -> None:
    headers = [
        (b"content-type", f"{answer.media_type}; charset=utf-8".encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
