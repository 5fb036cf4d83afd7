"""One trace from a submission through the log to the call and its events, and what must not be in it."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from bus.traces import tracing
from tests.resolvers.world import MEMBER, World, in_world, member


def traced(sampler: Sampler, *, on: bool = True) -> tuple[list[ReadableSpan], list[str | None]]:
    """The spans of one submission whose member listens, and the `traceparent` of each of its events."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    carried: list[str | None] = []

    async def scenario(world: World) -> None:
        items = world.use_cases.subscriptions.member(member(), None, after=None)
        await anext(items)
        state = (await world.submit()).request.state
        await world.clock.sleep(10)
        carried.extend([recorded.event.traceparent for recorded in await world.log.read_request(state.request_id)])
        await items.aclose()

    if on:
        with tracing(provider.get_tracer("test")):
            in_world(scenario)
    else:
        in_world(scenario)
    return list(exporter.get_finished_spans()), carried


def test_a_trace_crosses_the_log_to_the_call_and_to_every_event() -> None:
    spans, carried = traced(ALWAYS_ON)
    named = {span.name: span for span in spans}
    assert named.keys() == {"accept request", "append", "call payer", "fan out"}
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    root = named["accept request"].context
    assert root is not None
    for name in ("append", "call payer", "fan out"):
        parent = named[name].parent
        assert parent is not None and parent.span_id == root.span_id
    assert set(carried) == {f"00-{root.trace_id:032x}-{root.span_id:016x}-{root.trace_flags:02x}"}
    assert [span.attributes["type"] for span in spans if span.attributes and span.name == "fan out"] == [
        "rte.submitted",
        "rte.enqueued",
        "rte.scheduled",
        "rte.started",
        "rte.completed",
    ]


def test_no_span_tells_about_whom_it_is_or_what_was_asked() -> None:
    spans, _ = traced(ALWAYS_ON)
    told = " ".join(span.to_json() for span in spans)
    for secret in (MEMBER, "Ana", "Rivera", "W000000001", "1980"):
        assert secret not in told


def test_what_was_not_sampled_or_not_switched_on_leaves_nothing() -> None:
    for spans, carried in (traced(ALWAYS_OFF), traced(ALWAYS_ON, on=False)):
        assert spans == [] and set(carried) == {None}
