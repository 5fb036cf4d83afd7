"""What the cache on disk does beyond the contract: restarts, damage, and what is on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus.sealing import PlainSealer, TenantSealer
from tests.warming.answers import ACME, GLOBEX, NOON, answer
from warming.errors import CacheUnavailable
from warming.sqlite_cache import SqliteCache

Open = Callable[..., Awaitable[SqliteCache]]


@pytest.fixture
async def open_cache(path: Path) -> AsyncIterator[Open]:
    async with AsyncExitStack() as opened:

        async def open_(epoch: str = "log-1", **options: Any) -> SqliteCache:
            cache = await SqliteCache.open(path, epoch=epoch, **options)
            opened.push_async_callback(cache.close)
            return cache

        yield open_


async def filled(open_cache: Open, **options: Any) -> None:
    cache = await open_cache(**options)
    await cache.put(ACME, "q", answer())
    await cache.advance(7)
    await cache.close()


async def test_a_restart_keeps_answers_and_position(open_cache: Open) -> None:
    await filled(open_cache)
    with capture_logs() as lines:
        again = await open_cache()
    assert await again.get(ACME, "q") == answer()
    assert await again.position() == 7
    assert lines == []


async def test_a_restart_remembers_how_full_it_was(open_cache: Open) -> None:
    await filled(open_cache, capacity=1)
    again = await open_cache(capacity=1)
    await again.put(ACME, "newer", answer(1))
    assert await again.get(ACME, "q") is None


KEY, OTHER_KEY = TenantSealer(b"k" * 32), TenantSealer(b"o" * 32)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"epoch": "log-1"}, {"epoch": "log-2"}),
        ({}, {"sealer": KEY}),
        ({"sealer": PlainSealer()}, {"sealer": KEY}),
        ({"sealer": KEY}, {}),
        ({"sealer": KEY}, {"sealer": OTHER_KEY}),
    ],
)
async def test_a_file_of_another_log_or_key_is_made_anew(
    open_cache: Open, before: dict[str, Any], after: dict[str, Any]
) -> None:
    await filled(open_cache, **before)
    with capture_logs() as lines:
        again = await open_cache(**after)
    assert await again.position() == 0
    assert await again.get(ACME, "q") is None
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("coverage_cache_rebuilt", "made for another log, key or version")
    ]


async def test_a_file_of_another_version_is_made_anew(open_cache: Open, path: Path) -> None:
    await filled(open_cache)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE origin SET format = 0")
    connection.close()
    assert await (await open_cache()).position() == 0


@pytest.fixture(params=[b"", b"not a database at all" * 400], ids=["empty", "garbage"])
def unreadable(path: Path, request: pytest.FixtureRequest) -> None:
    path.write_bytes(request.param)


@pytest.mark.usefixtures("unreadable")
async def test_a_file_that_cannot_be_read_is_made_anew(open_cache: Open) -> None:
    with capture_logs() as lines:
        cache = await open_cache()
    assert await cache.put(ACME, "q", answer())
    assert await cache.get(ACME, "q") == answer()
    assert lines[0]["reason"] == "unreadable"


def damage(path: Path) -> None:
    """Overwrite every page but the first, as a failing disk might."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


async def test_damage_found_while_running_is_thrown_away_and_the_next_start_rebuilds(
    open_cache: Open, path: Path
) -> None:
    await filled(open_cache)
    cache = await open_cache(hot_capacity=0)
    damage(path)
    with capture_logs() as lines:
        assert await cache.get(ACME, "q") is None
    assert [line["reason"] for line in lines] == ["damaged"]
    assert await cache.put(ACME, "q", answer(1))
    assert await cache.get(ACME, "q") == answer(1)
    await cache.advance(9)
    assert await cache.position() == 0


async def test_a_damaged_file_that_cannot_be_made_anew_is_said(
    open_cache: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(open_cache)
    cache = await open_cache(hot_capacity=0)
    damage(path)

    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CacheUnavailable):
        await cache.put(ACME, "q", answer())
    assert await cache.get(ACME, "q") is None


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CacheUnavailable):
        await SqliteCache.open(tmp_path / "nowhere" / "views.sqlite3", epoch="log-1")


async def test_another_programs_file_is_refused_and_left_alone(open_cache: Open, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE events (position)")
    before = path.read_bytes()
    with pytest.raises(CacheUnavailable, match="of another program: move it away"):
        await open_cache()
    assert path.read_bytes() == before


async def test_a_full_disk_refuses_what_is_put_and_answers_what_is_held(open_cache: Open, path: Path) -> None:
    cache = await open_cache(hot_capacity=0)
    await cache.put(ACME, "held", answer())
    with sqlite3.connect(path) as connection:  # a trigger that fails stands in for the disk: the same error
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON coverage BEGIN SELECT load_extension('x'); END")
    connection.close()
    with pytest.raises(CacheUnavailable):
        await cache.put(ACME, "q", answer())
    with pytest.raises(CacheUnavailable):
        await cache.put_all([(ACME, "held", answer(1)), (ACME, "q", answer())])
    assert await cache.get(ACME, "held") == answer()
    assert await cache.get(ACME, "q") is None


async def test_a_body_that_cannot_be_decoded_is_no_answer(open_cache: Open, path: Path) -> None:
    await filled(open_cache)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE coverage SET body = x'7b'")
    connection.close()
    assert await (await open_cache()).get(ACME, "q") is None


async def test_a_closed_cache_refuses_and_closes_only_once(open_cache: Open) -> None:
    cache = await open_cache()
    await asyncio.gather(cache.close(), cache.close())
    assert await cache.get(ACME, "q") is None
    with pytest.raises(CacheUnavailable):
        await cache.advance(1)


async def test_memory_before_the_file_is_bounded_and_keeps_what_was_asked_for_last(
    open_cache: Open, path: Path
) -> None:
    cache = await open_cache(hot_capacity=2)
    for key in ("a", "b"):
        await cache.put(ACME, key, answer())
    await cache.get(ACME, "a")
    await cache.put(ACME, "c", answer())
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM coverage")
    connection.close()
    assert [await cache.get(ACME, key) for key in ("a", "b", "c")] == [answer(), None, answer()]


@pytest.mark.parametrize("turns", range(4))
async def test_a_caller_who_goes_away_half_way_leaves_memory_and_file_alike(open_cache: Open, turns: int) -> None:
    cache = await open_cache()
    await cache.put(ACME, "q", answer(1))
    leaving = asyncio.create_task(cache.put(ACME, "q", answer(2)))
    for _ in range(turns):
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await cache.position()  # the thread has done all that came before
    from_memory = await cache.get(ACME, "q")
    await cache.close()
    assert from_memory == await (await open_cache()).get(ACME, "q")


async def test_sealed_answers_are_not_readable_on_disk_and_only_by_their_tenant(open_cache: Open, path: Path) -> None:
    await filled(open_cache, sealer=KEY)
    assert not any(b"Open Choice" in file.read_bytes() for file in path.parent.iterdir())
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO coverage SELECT 'globex', question_key, obtained_at, body FROM coverage")
    connection.close()
    again = await open_cache(sealer=KEY)
    assert await again.get(GLOBEX, "q") is None
    assert await again.get(ACME, "q") == answer()


async def test_what_is_deleted_leaves_the_disk(open_cache: Open, path: Path) -> None:
    cache = await open_cache()
    await cache.put(ACME, "q", answer())
    assert any(b"Open Choice" in file.read_bytes() for file in path.parent.iterdir())
    await cache.delete_before(NOON + timedelta(seconds=1))
    assert not any(b"Open Choice" in file.read_bytes() for file in path.parent.iterdir())
