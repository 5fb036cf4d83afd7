"""Results and errors in the form that clients read."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from graphql import GraphQLError
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult

from bus.ids import NewId
from bus.metrics import Metrics
from delivery.errors import ErrorCode, RequestRefused

_FRAMES_LOGGED: Final = 12
_logger = structlog.get_logger(__name__)

DOCUMENT_ERRORS: Final = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)
"""What the executor raises for a document that holds nothing it could run."""


class EventResult(ExecutionResult):
    """A result that one item of a stream brought, and the cursor behind that item."""

    cursor: str

    def __init__(self, result: ExecutionResult, cursor: str) -> None:
        super().__init__(data=result.data, errors=result.errors, extensions=result.extensions)
        self.cursor = cursor


class EncodedResult(EventResult):
    """The same without errors, as the JSON that clients read; made once for everybody who reads the same."""

    def __init__(self, payload: bytes, cursor: str) -> None:
        self.payload = payload
        self.cursor = cursor
        self.errors = None
        self.extensions = None

    @property
    def data(self) -> dict[str, Any] | None:  # type: ignore[override] # read where somebody asks, which no door does
        data: dict[str, Any] | None = msgspec.json.decode(self.payload)["data"]
        return data


def error_entry(code: ErrorCode, message: str, **extensions: object) -> dict[str, object]:
    """One entry of `errors`."""
    return {"message": message, "extensions": {"code": code, **extensions}}


def refusal_entry(refusal: RequestRefused) -> dict[str, object]:
    """A door's refusal as an entry of `errors`."""
    return error_entry(refusal.code, str(refusal))


def document_entry(error: Exception) -> dict[str, object]:
    """One of DOCUMENT_ERRORS as an entry of `errors`."""
    if isinstance(error, InvalidOperationTypeError):
        message = (
            "Subscriptions are not served over plain HTTP: use the WebSocket (graphql-transport-ws), or accept "
            "`text/event-stream` or `multipart/mixed`."
        )
    elif isinstance(error, MissingQueryError):
        message = "The document is empty."
    else:
        message = "The document holds no operation of that name; name one when it holds several."
    return error_entry(ErrorCode.BAD_USER_INPUT, message)


def is_request_error(result: ExecutionResult) -> bool:
    """Whether the whole operation was refused or broke off, rather than one of its fields: no data, and no error that
    belongs to a place in the data."""
    return bool(result.errors) and result.data is None and all(error.path is None for error in result.errors or ())


class Payloads:
    """Formats what the schema gave, and masks what nobody expected.

    The schema codes its errors itself; one that comes without a code is an unexpected exception, and is masked here
    too, so that no stack, path or library's words can leave by a door.
    """

    def __init__(self, *, metrics: Metrics, new_id: NewId) -> None:
        self._metrics = metrics
        self._new_id = new_id

    def payload(self, result: ExecutionResult) -> dict[str, Any]:
        """The result as one JSON object; without `data` for an operation that was refused."""
        payload: dict[str, Any] = {} if is_request_error(result) else {"data": result.data}
        if result.errors:
            payload["errors"] = self.entries(result.errors)
        if result.extensions:
            payload["extensions"] = result.extensions
        return payload

    def encoded(self, result: ExecutionResult) -> bytes:
        """The same as JSON."""
        return result.payload if isinstance(result, EncodedResult) else msgspec.json.encode(self.payload(result))

    def entries(self, errors: Sequence[GraphQLError]) -> list[dict[str, object]]:
        return [self._entry(error) for error in errors]

    def internal(self, where: str, error: BaseException) -> dict[str, object]:
        """Log an unexpected exception under a new id, and give the entry that tells the client that id alone.

        The log gets the exception's type and place; not its words, which may repeat somebody's data.
        """
        error_id = self._new_id()
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
        _logger.error(
            "internal_error",
            error_id=error_id,
            where=where,
            error_type=type(error).__name__,
            frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        )
        self._metrics.internal_errors.labels(where=where).inc()
        message = "Something went wrong on our side. Try again later; tell support this errorId if it stays."
        return error_entry(ErrorCode.INTERNAL, message, errorId=error_id)

    def _entry(self, error: GraphQLError) -> dict[str, object]:
        formatted: dict[str, object] = {**error.formatted}
        extensions = formatted.get("extensions")
        if isinstance(extensions, dict) and "code" in extensions:
            return formatted
        if isinstance(error.original_error, DOCUMENT_ERRORS):
            return document_entry(error.original_error)
        masked = self.internal("schema", error.original_error or error)
        return masked | ({"path": error.path} if error.path else {})
