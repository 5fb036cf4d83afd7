"""Structured logs on stderr: JSON lines in production, readable in development; the libraries' logs go the same way.

The task that accepts a request binds its id, the one that makes a call the call's, so that all their lines have it. No
access log is written: what was asked is health data.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

_HEALTH_DATA: Final = frozenset(
    {"birth_date", "card", "coverage", "date_of_birth", "dependent", "first_name", "last_name", "member_id_on_card"}
    | {"name", "question", "ssn", "subscriber"}
)


def configure(*, level: str, json_lines: bool) -> None:
    """Send every log of the process to stderr, from `level` ("info") on."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_health_data,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(json_lines))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "strawberry", "strawberry.execution"):
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
        library.setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").addFilter(_worth_telling)
    # It writes hundreds of lines a second while a broker is away; the log's own code tells of that once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # httpx tells every URL it asks at info.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not a stack trace for every frame that some client writes in no UTF-8 (it is closed with 1007, and counted), nor
    for every answer that a second signal breaks off."""
    cause = record.exc_info[1] if record.exc_info else None
    return not record.getMessage().startswith("Invalid UTF-8") and not isinstance(cause, asyncio.CancelledError)


def _rendering(json_lines: bool) -> list[Processor]:
    # Neither shows the local variables of a traceback: they are where health data is.
    if json_lines:
        return [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ]
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback),
    ]


def drop_health_data(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """The last net, not the plan: nothing under a key that is known to hold health data is written, at any depth."""
    return {key: _without(value) for key, value in line.items() if key.lower() not in _HEALTH_DATA}


def _without(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if str(key).lower() not in _HEALTH_DATA}
    if isinstance(value, list | tuple):
        return [_without(inner) for inner in value]
    return value
