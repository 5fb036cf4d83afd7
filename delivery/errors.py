"""The doors' errors. A class is one thing a caller can do about it.

CoveyError
├── RequestRefused              a door answers with this instead of working
│   ├── BadRequest              mend the request; the same one fails again
│   │   ├── MethodNotAllowed    ask by POST
│   │   ├── NotAcceptable       accept JSON
│   │   ├── RequestTooSlow      send faster
│   │   ├── BodyTooLarge        send less
│   │   ├── NothingHere         ask at another path
│   │   ├── VersionRefused      speak version 13 of WebSocket
│   │   ├── UrlTooLong          put nothing into the URL
│   │   ├── HeadTooLarge        send fewer or shorter headers
│   │   └── MediaTypeUnsupported  send JSON
│   ├── TokenRefused            get another token
│   ├── PageRefused             open the page itself, by an address of this server
│   ├── ConnectTokenRefused     fetch connect tokens with the member's own token
│   ├── RateLimited             ask less often
│   └── Unavailable             ask again, here or of another instance
│       ├── Draining
│       ├── KeysUnavailable
│       ├── Crowded             too many come at once: later
│       ├── RevocationsFull     revoke the whole tenant
│       └── TooManyConnections
├── MessageMalformed            mend the client: the socket is closed with 4400
└── KeyUnusable                 mend the key's setting or file: the start stops
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from bus.errors import CoveyError


class ErrorCode(StrEnum):
    """`extensions.code` of an error that is not data."""

    BAD_USER_INPUT = "BAD_USER_INPUT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class RequestRefused(CoveyError):
    """A door does not do what was asked; `code` and `status` say it to machines, the message to people."""

    code: ClassVar[ErrorCode]
    status: ClassVar[int]
    """The HTTP status that says the same."""

    @property
    def retry_after_seconds(self) -> int | None:
        """When asking again may help; None where time does not mend it."""
        return None


class BadRequest(RequestRefused):
    """What was sent is no GraphQL request. Mend it; the same one fails again."""

    code = ErrorCode.BAD_USER_INPUT
    status = 400


class MethodNotAllowed(BadRequest):
    """Operations are asked by POST."""

    status = 405


class NotAcceptable(BadRequest):
    """The `Accept` header rules out every form an answer can have."""

    status = 406


class NothingHere(BadRequest):
    """No door is at this path."""

    code = ErrorCode.NOT_FOUND
    status = 404


class VersionRefused(BadRequest):
    """A WebSocket of another version than RFC 6455's."""

    status = 426


class RequestTooSlow(BadRequest):
    """The request did not come whole within its time."""

    status = 408


class BodyTooLarge(BadRequest):
    """The body is over the limit; the rest of it was not read."""

    status = 413


class UrlTooLong(BadRequest):
    """The URL is over the limit; Covey wants nothing in it."""

    status = 414


class HeadTooLarge(BadRequest):
    """Request line and headers are over the limit."""

    status = 431


class MediaTypeUnsupported(BadRequest):
    """The body is not declared as plain JSON in UTF-8."""

    status = 415


class TokenRefused(RequestRefused):
    """There is no token, or it does not prove who calls. Get another one; the message never holds the token."""

    code = ErrorCode.UNAUTHENTICATED
    status = 401


class PageRefused(RequestRefused):
    """The page with a token in it is not given to other sites, nor under a name that may be another site's."""

    code = ErrorCode.FORBIDDEN
    status = 403


class ConnectTokenRefused(RequestRefused):
    """This caller gets no connect token: it is no member, or came by a connect token itself."""

    code = ErrorCode.FORBIDDEN
    status = 403


class RateLimited(RequestRefused):
    """More than the limit allows. Ask less often, or end something first."""

    code = ErrorCode.RATE_LIMITED
    status = 429

    @property
    def retry_after_seconds(self) -> int | None:
        return 1


class Unavailable(RequestRefused):
    """Nothing is wrong with the request, and nothing was done. Ask again, here or of another instance."""

    code = ErrorCode.UNAVAILABLE
    status = 503

    @property
    def retry_after_seconds(self) -> int | None:
        return 1


class Draining(Unavailable):
    """This instance is going away; another one takes over."""


class KeysUnavailable(Unavailable):
    """The keys that tokens are checked with cannot be fetched now."""


class Crowded(Unavailable):
    """More come at once than are served at once, and than may wait."""


class RevocationsFull(Unavailable):
    """More is revoked than can be remembered. Revoke the whole tenant instead, or raise the limit."""


class TooManyConnections(Unavailable):
    """The member, the service, the address or the whole instance has all the sockets it may have."""


class MessageMalformed(CoveyError):
    """A socket message that the protocol does not know. Mend the client: the socket is closed with 4400."""


class KeyUnusable(CoveyError):
    """A key that tokens should be checked or signed with is none. Mend its setting or its file."""
