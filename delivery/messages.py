"""What a client may say in graphql-transport-ws, with types held to the letter."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from delivery.errors import MessageMalformed
from delivery.request import GraphQLRequest, finite, in_graphqls_words, is_number_too_large

SUBPROTOCOL: Final = "graphql-transport-ws"

OperationId = Annotated[str, Meta(min_length=1, max_length=128)]
"""Made by the client; one running operation has it at a time."""


class ConnectionInit(Struct, frozen=True, tag_field="type", tag="connection_init"):
    """The first message: it carries the token."""

    payload: dict[str, Any] | None = None


class Ping(Struct, frozen=True, tag_field="type", tag="ping"):
    """To be answered by a pong with the same payload."""

    payload: dict[str, Any] | None = None


class Pong(Struct, frozen=True, tag_field="type", tag="pong"):
    """May come unasked."""

    payload: dict[str, Any] | None = None


class Subscribe(Struct, frozen=True, tag_field="type", tag="subscribe"):
    """Start an operation: a subscription, a query or a mutation."""

    id: OperationId
    payload: GraphQLRequest


class Complete(Struct, frozen=True, tag_field="type", tag="complete"):
    """Stop an operation; ids that are not running are ignored."""

    id: OperationId


class Unanswerable(Struct, frozen=True):
    """A `subscribe` that follows the protocol, and whose variables no operation could take: not the socket's fault."""

    id: OperationId
    reason: str


_Message = ConnectionInit | Ping | Pong | Subscribe | Complete
ClientMessage = _Message | Unanswerable


class _Addressed(Struct, frozen=True, tag_field="type", tag="subscribe"):
    """A `subscribe` of which only the id is read."""

    id: OperationId


_decoder: Final = msgspec.json.Decoder(_Message, float_hook=finite)
_id_decoder: Final = msgspec.json.Decoder(_Addressed)


def read_message(text: str) -> ClientMessage:
    """Read one message. Raises MessageMalformed, whose words name a member and the types, never a value."""
    try:
        message: _Message = _decoder.decode(text)
    except msgspec.ValidationError as error:
        if is_number_too_large(error) and (operation_id := _subscribed_id(text)) is not None:
            return Unanswerable(operation_id, f"The variables cannot be read: {error}.")
        # The decoder repeats a tag that it does not know; every other error of its names types only.
        reason = (
            "Unknown message type"
            if str(error).startswith("Invalid value")
            else f"Malformed message: {in_graphqls_words(error)}"
        )
        raise MessageMalformed(reason) from None
    except (ValueError, RecursionError):
        raise MessageMalformed("Malformed message: not JSON") from None
    return message


def _subscribed_id(text: str) -> str | None:
    try:
        return _id_decoder.decode(text).id
    except (msgspec.DecodeError, RecursionError):  # another message than `subscribe`, or no JSON behind the number
        return None
