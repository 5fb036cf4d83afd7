"""`covey dlq`: events that a consumer group gave up. See which there are, look at one, send them back.

Nothing of what an event says is shown unless it is asked for: its data is health data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bus.consumer.dead_letters import DeadLetter, DeadLetters, LetterPlace
from bus.ids import TenantId
from bus.kafka.security import KafkaLink
from bus.sealing import Sealer
from console.errors import UsedWrongly

Write = Callable[[str], None]


async def list_dead(link: KafkaLink, *, group: str | None, write: Write, prefix: str = "") -> int:
    """Write a line for every dead letter that was not sent back; how many. Raises LogUnavailable."""
    async with DeadLetters.open(link) as dead_letters:
        found = await dead_letters.list(group=group, prefix=prefix)
    for dead in found:
        write(line(dead))
    return len(found)


async def show(link: KafkaLink, *, letter: str, sealer: Sealer, with_data: bool, write: Write) -> None:
    """Write what is known of one dead letter, a line a fact; its data last, where it was asked for.

    Raises UsedWrongly, DeadLetterUnknown, LogUnavailable; LogCorrupt for data sealed with another key.
    """
    (place,) = _places([letter])
    async with DeadLetters.open(link) as dead_letters:
        dead = await dead_letters.get(place)
    for fact in facts(dead):
        write(fact)
    if with_data and dead.value is not None:
        tenant = dict(dead.headers).get("ce_tenantid", b"").decode(errors="replace")
        write(sealer.unseal(TenantId(tenant), dead.value).decode(errors="replace"))


async def retry(
    link: KafkaLink, *, letters: Sequence[str], every: bool, group: str | None, write: Write, prefix: str = ""
) -> None:
    """Send dead letters back to their group, those named or every one (of one group): the group handles them again.

    Raises UsedWrongly, DeadLetterUnknown, LogUnavailable; what was sent back until then stays so.
    """
    if bool(letters) == every:
        raise UsedWrongly("Name the dead letters to send back as `covey dlq list` shows them, or give --all.")
    places = _places(letters)
    async with DeadLetters.open(link) as dead_letters:
        if every:
            places = [dead.place for dead in await dead_letters.list(group=group, prefix=prefix)]
        for place in places:
            await dead_letters.send_back(place)
            write(f"{place} sent back")


def line(dead: DeadLetter) -> str:
    """Place, time, type, subject, attempts and cause."""
    letter = dead.letter
    parts = [
        str(dead.place),
        letter.failed_at.isoformat(timespec="seconds"),
        dead.type or "no event",
        dead.subject,
        f"attempts {letter.attempts}",
        letter.cause,
    ]
    return "  ".join(part for part in parts if part)


def facts(dead: DeadLetter) -> list[str]:
    """The same and where it came from, for people; no ids of members."""
    letter, origin = dead.letter, dead.letter.origin
    attributes = {name: value.decode(errors="replace") for name, value in dead.headers}
    given = {
        "letter": str(dead.place),
        "group": letter.group,
        "failed at": letter.failed_at.isoformat(timespec="milliseconds"),
        "attempts": str(letter.attempts),
        "cause": letter.cause,
        "first read at": f"{origin.topic}, partition {origin.partition}, offset {origin.offset}",
        "type": dead.type or "no event",
        "event id": attributes.get("ce_id", ""),
        "source": attributes.get("ce_source", ""),
        "subject": dead.subject,
        "time": attributes.get("ce_time", ""),
        "traceparent": attributes.get("ce_traceparent", ""),
    }
    shown = [f"{name:<14} {value}" for name, value in given.items() if value]
    return [*shown, "trace", *(f"  {frame}" for frame in letter.trace.splitlines())]


def _places(letters: Sequence[str]) -> list[LetterPlace]:
    try:
        return [LetterPlace.parse(letter) for letter in letters]
    except ValueError as error:
        raise UsedWrongly(str(error)) from None
