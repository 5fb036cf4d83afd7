"""`covey dlq` against dead letters on a real Kafka."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from bus.consumer import Delivery, Handlers, Retries, open_consumer
from bus.consumer.errors import DeadLetterUnknown
from bus.events import Submitted
from bus.kafka.security import KafkaLink
from bus.sealing import PlainSealer
from console import dlq
from console.errors import UsedWrongly
from tests.bus.conftest import submitted
from tests.bus.consumer.kafka_topics import Topics

NOWHERE = KafkaLink(servers=("127.0.0.1:1",))
NO_RETRIES = Retries(topics=())


async def with_dead_letters(topics: Topics, group: str, count: int) -> Counter[str]:
    """Let a group give up so many events; what it handled later, by subject."""
    handlers, handled = Handlers(), Counter[str]()

    @handlers.on(Submitted)
    async def handle(delivery: Delivery[Submitted]) -> None:
        handled[delivery.event.subject] += 1
        raise ValueError(delivery.data.question.subscriber.last_name)

    await topics.add_group(handlers, group, NO_RETRIES)
    await topics.publish(*(submitted(f"{group}-{number}", member=f"m{number}") for number in range(count)))
    async with open_consumer(
        topics.link, group=group, handlers=handlers, retries=NO_RETRIES, prefix=topics.prefix
    ) as consumer:
        running = asyncio.create_task(consumer.run())
        async with asyncio.timeout(30):
            while len(handled) < count:  # noqa: ASYNC110 - the handler counts for several tests
                await asyncio.sleep(0.05)
        consumer.stop()
        await running
    return handled


@pytest.mark.services
async def test_they_are_listed_shown_and_sent_back(topics: Topics) -> None:
    await with_dead_letters(topics, "mail", 3)
    lines: list[str] = []
    assert await dlq.list_dead(topics.link, group="mail", prefix=topics.prefix, write=lines.append) == len(lines)
    assert len(lines) == 3
    assert all("  rte.submitted  mail-" in line and line.endswith("  attempts 1  ValueError") for line in lines)

    shown: list[str] = []
    letter = lines[0].split()[0]
    await dlq.show(topics.link, letter=letter, sealer=PlainSealer(), with_data=False, write=shown.append)
    facts = dict(line.split("  ", 1) for line in shown if "  " in line.strip())
    assert facts["letter"].strip() == letter
    assert f"{topics.prefix}rte.events, partition" in facts["first read at"]
    assert shown[-1].endswith(" handle")
    assert not any(word in "\n".join(lines + shown) for word in ("Rivera", "W000000001", "m0", "m1", "m2"))

    with_data: list[str] = []
    await dlq.show(topics.link, letter=letter, sealer=PlainSealer(), with_data=True, write=with_data.append)
    assert with_data[:-1] == shown
    assert '"Rivera"' in with_data[-1]

    told: list[str] = []
    await dlq.retry(topics.link, letters=[letter], every=False, group=None, write=told.append)
    assert told == [f"{letter} sent back"]
    left: list[str] = []
    await dlq.list_dead(topics.link, group=None, prefix=topics.prefix, write=left.append)
    assert left == lines[1:]
    with pytest.raises(DeadLetterUnknown, match="sent back already"):
        await dlq.show(topics.link, letter=letter, sealer=PlainSealer(), with_data=False, write=told.append)


@pytest.mark.services
async def test_all_of_one_group_are_sent_back_and_those_of_another_stay(topics: Topics) -> None:
    await with_dead_letters(topics, "mail", 2)
    await with_dead_letters(topics, "post", 2)
    listed: list[str] = []
    await dlq.list_dead(topics.link, group=None, prefix=topics.prefix, write=listed.append)
    of_mail, of_post = ([line for line in listed if f".{group}.dlq/" in line] for group in ("mail", "post"))
    assert of_mail
    assert of_post
    told: list[str] = []
    await dlq.retry(topics.link, letters=[], every=True, group="post", prefix=topics.prefix, write=told.append)
    assert told == [f"{line.split()[0]} sent back" for line in of_post]
    left: list[str] = []
    await dlq.list_dead(topics.link, group=None, prefix=topics.prefix, write=left.append)
    assert left == of_mail


@pytest.mark.services
@pytest.mark.parametrize("letter", ["{prefix}rte.events.mail.dlq/0/99", "nowhere.mail.dlq/0/0"])
async def test_one_that_is_not_there_is_told_so(topics: Topics, letter: str) -> None:
    await topics.add_group(_no_matter(), "mail", NO_RETRIES)
    with pytest.raises(DeadLetterUnknown, match="There is no dead letter"):
        await dlq.show(
            topics.link,
            letter=letter.format(prefix=topics.prefix),
            sealer=PlainSealer(),
            with_data=False,
            write=print,
        )


def _no_matter() -> Handlers:
    handlers = Handlers()

    @handlers.on(Submitted)
    async def handle(delivery: Delivery[Submitted]) -> None: ...

    return handlers


@pytest.mark.parametrize("letter", ["", "rte.events/0/1", "rte.events.mail.dlq/0", "rte.events.mail.5s.retry/0/1"])
async def test_what_names_no_dead_letter_is_used_wrongly(letter: str) -> None:
    with pytest.raises(UsedWrongly, match="names no dead letter"):
        await dlq.retry(NOWHERE, letters=[letter], every=False, group=None, write=print)


@pytest.mark.parametrize(("letters", "every"), [([], False), (["rte.events.mail.dlq/0/1"], True)])
async def test_letters_are_named_or_all_are_meant(letters: list[str], every: bool) -> None:
    with pytest.raises(UsedWrongly, match="--all"):
        await dlq.retry(NOWHERE, letters=letters, every=every, group=None, write=print)
