"""What a client may say in graphql-transport-ws, with types held to the letter."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from delivery.errors import MessageMalformed
from delivery.request import GraphQLRequest

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


ClientMessage = ConnectionInit | Ping | Pong | Subscribe | Complete

_decoder: Final = msgspec.json.Decoder(ClientMessage)


def read_message(text: str) -> ClientMessage:
    """Read one message. Raises MessageMalformed, whose words name a member and the types, never a value."""
    try:
        message: ClientMessage = _decoder.decode(text)
    except msgspec.ValidationError as error:
        # The decoder repeats a tag that it does not know; every other error of its names types only.
        reason = "Unknown message type" if str(error).startswith("Invalid value") else f"Malformed message: {error}"
        raise MessageMalformed(reason) from None
    except (ValueError, RecursionError):
        raise MessageMalformed("Malformed message: not JSON") from None
    return message
