"""One GraphQL request, as both doors receive it."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

import msgspec
from msgspec import Struct

from delivery.errors import BadRequest

_ABSENT: Final = "\0"
"""No document, and nobody's wrong one either."""


class PersistedDocument(Struct, frozen=True, kw_only=True):
    """A document by its hash: Apollo's automatic persisted queries."""

    sha256: str
    """In hexadecimal, of the text in UTF-8."""
    text: str | None
    """Where the client sends it, to be kept."""


class GraphQLRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """The members that GraphQL over HTTP and graphql-transport-ws share; unknown ones are ignored."""

    query: str = _ABSENT
    """Empty where only its hash came."""
    variables: dict[str, Any] | None = None
    operation_name: str | None = None
    extensions: dict[str, Any] | None = None
    """Any keys are accepted; `persistedQuery` is used."""

    def __post_init__(self) -> None:
        if self.query == _ABSENT:
            if self._sha256 is None:
                raise ValueError("Object missing required field `query`")
            msgspec.structs.force_setattr(self, "query", "")

    @property
    def document(self) -> str | PersistedDocument:
        """What is asked: the text itself, or by its hash."""
        if self._sha256 is not None:
            return PersistedDocument(sha256=self._sha256, text=self.query or None)
        return self.query

    @property
    def _sha256(self) -> str | None:
        persisted = (self.extensions or {}).get("persistedQuery")
        sha256 = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
        return sha256 if isinstance(sha256, str) else None


_TOO_LARGE: Final = "a number is too large"


def finite(number: str) -> float:
    """A `float_hook` for decoders: without it the decoder's words for `1e400` are its own. Raises ValueError."""
    value = float(number)
    if not isfinite(value):
        raise ValueError(_TOO_LARGE)
    return value


def is_number_too_large(error: msgspec.ValidationError) -> bool:
    """Whether what was decoded is JSON with nothing wrong but a number that no variable could hold."""
    return str(error).startswith((_TOO_LARGE, "Integer value out of range"))


_DECODERS_NAMES: Final = re.compile(r"(?<=`)(str|int|float|bool)(?=[` ])")
_GRAPHQLS_NAMES: Final = {"str": "String", "int": "Int", "float": "Float", "bool": "Boolean"}


def in_graphqls_words(error: msgspec.ValidationError) -> str:
    """What the decoder says, with types by the names that clients know."""
    return _DECODERS_NAMES.sub(lambda found: _GRAPHQLS_NAMES[found[1]], str(error))


_decoder: Final = msgspec.json.Decoder(GraphQLRequest, float_hook=finite)


def read_request(body: bytes) -> GraphQLRequest:
    """Read the body of a POST: strict JSON (no NaN, no Infinity) in UTF-8. Raises BadRequest.

    The decoder's own words name a member and the types wanted and found, never a value.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        if body.lstrip().startswith(b"["):
            raise BadRequest("Batches are not served: send one operation a request.") from None
        raise BadRequest(f"The body is no GraphQL request: {in_graphqls_words(error)}.") from None
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON in UTF-8.") from None
