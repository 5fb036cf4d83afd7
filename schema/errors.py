"""Errors that are not data, as clients see them: a code of the contract's list, words for people, and nothing of ours.

This is the one place where the domain's errors get their codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphql import FieldNode, GraphQLError

from bus.errors import LogUnavailable, StateUnavailable
from delivery.errors import ErrorCode, RequestRefused
from delivery.payloads import Payloads
from resolvers.errors import Forbidden, InputInvalid, NotFound
from resolvers.problems import Path
from schema.places import Places
from warming.errors import CacheUnavailable

ERRORS_MAX: Final = 5
"""Of one answer."""


def coded(code: ErrorCode, message: str, **extensions: object) -> GraphQLError:
    """An error that may leave as it is."""
    return GraphQLError(message, extensions={"code": code.value, **extensions})


def bad_input(message: str, path: Path, **extensions: object) -> GraphQLError:
    """A mistake of the client's: BAD_USER_INPUT, which always says where."""
    return coded(ErrorCode.BAD_USER_INPUT, message, path=list(path), **extensions)


def is_coded(error: GraphQLError) -> bool:
    """Whether the error may leave as it is."""
    return error.extensions is not None and "code" in error.extensions


class ErrorMask:
    """Turns whatever execution brought into errors that may leave."""

    def __init__(self, payloads: Payloads) -> None:
        """`payloads` logs what nobody expected, under an id that the client is told."""
        self._payloads = payloads

    def errors(self, errors: Sequence[GraphQLError], places: Places) -> list[GraphQLError]:
        """What may leave of these, which one operation brought; at most five."""
        return [self._error(error, places) for error in errors[:ERRORS_MAX]]

    def raised(self, error: Exception, places: Places) -> GraphQLError:
        """The same for an exception that no field is to blame for."""
        if isinstance(error, GraphQLError):
            return self._error(error, places)
        return _expected(error, places) or self._internal(error)

    def _error(self, error: GraphQLError, places: Places) -> GraphQLError:
        cause: Exception = error
        while isinstance(cause, GraphQLError) and cause.original_error is not None:
            cause = cause.original_error
        told = _expected(cause, places) or self._internal(cause)
        return GraphQLError(told.message, path=error.path, extensions=told.extensions)

    def _internal(self, error: Exception) -> GraphQLError:
        entry: dict[str, Any] = self._payloads.internal("schema", error)
        return GraphQLError(entry["message"], extensions=entry["extensions"])


def _expected(error: Exception, places: Places) -> GraphQLError | None:
    """What is told of an error that can happen; None of one that cannot."""
    match error:
        case InputInvalid():
            problems = [
                {"path": list(problem.path), "code": problem.code.value, "message": problem.message}
                for problem in error.problems
            ]
            return bad_input(str(error), error.problems[0].path, problems=problems)
        case Forbidden():
            return coded(ErrorCode.FORBIDDEN, str(error))
        case NotFound():
            return coded(ErrorCode.NOT_FOUND, str(error))
        case RequestRefused():
            return coded(error.code, str(error))
        case LogUnavailable() | StateUnavailable() | CacheUnavailable():
            return coded(ErrorCode.UNAVAILABLE, "This cannot be told at the moment. Try again shortly.")
        case GraphQLError(nodes=[node, *_]) if not isinstance(node, FieldNode):
            # The executor's own word on an argument: a variable is null where the schema has no null.
            message = "A variable has no value that is allowed here."
            return bad_input(message, places.of_value(node))
        case UnicodeEncodeError():  # of text that was given: nothing of ours is like that
            return bad_input("A text holds half a character, which no text can hold.", places.of_half_character())
        case _:
            return None
