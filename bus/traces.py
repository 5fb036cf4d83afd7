"""Traces that cross the log: whoever writes an event leaves in it where its trace stands, whoever reads goes on there.

    the mutation -> the append -> (the log: `traceparent`) -> the call -> the events it brings -> their fan-out

Off unless the composition root switches them on; what was not sampled carries nothing and costs nothing further on.
Attributes are names of things and numbers: never what was asked or answered, nor about whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry.trace import Span, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_HEADER: Final = "traceparent"
_propagator: Final = TraceContextTextMapPropagator()


class _Switch:
    """One for the process: a span's parent, too, is known by where in the process one is."""

    tracer: Tracer | None = None


_switch: Final = _Switch()


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Traces are on while within."""
    before, _switch.tracer = _switch.tracer, tracer
    try:
        yield
    finally:
        _switch.tracer = before


@contextmanager
def began(name: str, **attributes: str | int) -> Iterator[None]:
    """A step within the trace that is under way; else the first of a new one."""
    if _switch.tracer is None:
        yield
        return
    with _switch.tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        yield from _typed(span)


@contextmanager
def continued(name: str, traceparent: str | None, **attributes: str | int) -> Iterator[None]:
    """A step of the trace that an event carries; nothing where it carries none."""
    if _switch.tracer is None or traceparent is None:
        yield
        return
    context = _propagator.extract({_HEADER: traceparent})
    with _switch.tracer.start_as_current_span(
        name, context=context, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        yield from _typed(span)


def present() -> str | None:
    """The `traceparent` of the step that is under way; None where none is, or none that was sampled."""
    if _switch.tracer is None or not get_current_span().get_span_context().trace_flags.sampled:
        return None
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_HEADER)


def _typed(span: Span) -> Iterator[None]:
    """An exception's type is told; not its words, which may repeat somebody's data."""
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        raise
