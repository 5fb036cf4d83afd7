"""Traces, where there is somewhere to send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bus.traces import tracing
from settings import Settings


@asynccontextmanager
async def traces(settings: Settings) -> AsyncIterator[None]:
    """On while within, if the settings say so; what is not sent by the end is sent then, for some seconds at most."""
    if settings.otlp_url is None:
        yield
        return
    # Slow to import, and of use only here.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource({"service.name": "covey"}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_url, timeout=5)))
    try:
        with tracing(provider.get_tracer("covey")):
            yield
    finally:
        await asyncio.to_thread(provider.shutdown)
