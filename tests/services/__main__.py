"""What `scripts/services` runs: real Kafka and Redis that stay for many test runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from tests.services.addresses import ADDRESSES, FOLDER
from tests.services.kafka import KafkaServer, archive_classes
from tests.services.process import ServerFailed, free_ports
from tests.services.redis import RedisServer

_RUN: Final = FOLDER / "run"


def _servers(layout: dict[str, Any]) -> list[KafkaServer | RedisServer]:
    """The same objects for the same layout, in whichever process."""
    voters = {int(node_id): port for node_id, port in layout["controllers"].items()}
    return [
        *(
            KafkaServer(_RUN / f"kafka-{node_id}", node_id=node_id, port=port, voters=voters)
            for node_id, port in zip(voters, layout["brokers"], strict=True)
        ),
        RedisServer(_RUN / "redis", port=layout["redis_port"]),
    ]


def _new_layout(brokers: int) -> dict[str, Any]:
    ports = free_ports(2 * brokers + 1)
    return {
        "brokers": ports[:brokers],
        "controllers": {str(node_id): port for node_id, port in enumerate(ports[brokers:-1], start=1)},
        "redis_port": ports[-1],
    }


def _kept_layout() -> dict[str, Any] | None:
    path = _RUN / "layout.json"
    return json.loads(path.read_text()) if path.exists() else None


async def _start(brokers: int) -> None:
    layout = _kept_layout()
    if layout is not None and len(layout["brokers"]) != brokers:
        if any(server.process.pid is not None for server in _servers(layout)):
            raise ServerFailed(
                f"Kafka runs with {len(layout['brokers'])} brokers; `scripts/services stop` comes first."
            )
        await _stop()
        layout = None
    layout = layout or _new_layout(brokers)
    _RUN.mkdir(parents=True, exist_ok=True)
    (_RUN / "layout.json").write_text(json.dumps(layout))
    await archive_classes(_RUN / "archived")
    await asyncio.gather(*(server.start() for server in _servers(layout)))
    redis = _servers(layout)[-1]
    assert isinstance(redis, RedisServer)
    addresses = {
        "kafka": ",".join(f"127.0.0.1:{port}" for port in layout["brokers"]),
        "brokers": brokers,
        "redis": redis.url,
    }
    ADDRESSES.write_text(json.dumps(addresses) + "\n")
    _tell()


async def _stop() -> None:
    """End what runs and delete what it kept; Kafka's jars stay."""
    ADDRESSES.unlink(missing_ok=True)
    layout = _kept_layout()
    if layout is None:
        return
    servers = _servers(layout)
    await asyncio.gather(*(server.stop() for server in servers))
    for server in servers:
        server.process.forget()
    (_RUN / "layout.json").unlink()


def _status() -> bool:
    layout = _kept_layout()
    running = layout is not None and all(server.process.pid is not None for server in _servers(layout))
    if running and ADDRESSES.exists():
        _tell()
    return running


def _tell() -> None:
    sys.stdout.write(ADDRESSES.read_text())


def main(arguments: Sequence[str]) -> int:
    """Exit codes: 0 done or running, 1 not running or failed, 2 used wrongly."""
    parser = argparse.ArgumentParser(prog="scripts/services", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start them unless they run; prints their addresses")
    start.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="how many brokers Kafka has")
    commands.add_parser("stop", help="end what was started, and delete what it kept")
    commands.add_parser("status", help="print the addresses; exit code 1 where something does not run")
    asked = parser.parse_args(arguments)
    try:
        match asked.command:
            case "start":
                asyncio.run(_start(asked.brokers))
            case "stop":
                asyncio.run(_stop())
            case _:
                if not _status():
                    sys.stderr.write("Kafka and Redis do not run, or not all of them; try scripts/services start.\n")
                    return 1
    except ServerFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
