"""A real Kafka of one's own, without ZooKeeper: to fill, to stop, to kill one broker of."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.services.addresses import FOLDER
from tests.services.process import ServerFailed, ServerProcess, free_ports, listens

_CLUSTER: Final = "Y292ZXktdGVzdC1jbHVzdGVyMQ"
_JAVA: Final = ("-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def jars() -> Path:
    """Where Kafka's jars lie. Raises ServerFailed where `scripts/services` never fetched them."""
    found = sorted(FOLDER.glob("kafka-*/kafka_*.jar"))
    if not found:
        raise ServerFailed("Kafka's jars are missing; `scripts/services start` fetches them.")
    return found[-1].parent


def _classes() -> Path:
    """What Java made of Kafka's classes when it last ran for that."""
    return jars() / "classes.jsa"


def _java(*options: str) -> list[str]:
    """The command up to the class to run. An archive of another Java, or of jars elsewhere, is passed over by Java."""
    archive = () if options or not _classes().exists() else (f"-XX:SharedArchiveFile={_classes()}", "-Xlog:cds=off")
    return ["java", *_JAVA, *archive, *options, "-cp", f"{jars()}/*"]


async def archive_classes(folder: Path) -> None:
    """Once for the jars: a broker then starts with two thirds of the work. `folder` is for a broker of a moment."""
    if _classes().exists():
        return
    unfinished = _classes().with_suffix(".part")
    broker = KafkaServer(folder, java_options=[f"-XX:ArchiveClassesAtExit={unfinished}"])
    await broker.start()
    await broker.stop()
    broker.process.forget()
    if unfinished.exists():  # else Java was too slow for us, and brokers start as they always did
        unfinished.rename(_classes())


class KafkaServer:
    """One broker that is a controller too. Topics are not made by asking for them."""

    def __init__(
        self,
        folder: Path,
        *,
        node_id: int = 1,
        port: int | None = None,
        voters: Mapping[int, int] | None = None,
        properties: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
        java_options: Sequence[str] = (),
    ) -> None:
        """`voters` are the controllers' ports by node id, this node's included; alone it is its own.

        `properties` add to its settings or replace them; `format_options` go to Kafka's storage tool, `java_options`
        to the broker's Java.
        """
        self.node_id = node_id
        self.port = port or free_ports(1)[0]
        self._voters = dict(voters or {node_id: free_ports(1)[0]})
        self._properties = dict(properties or {})
        self._format_options = tuple(format_options)
        self._settings = folder.absolute() / "server.properties"
        self.process = ServerProcess(folder, [*_java(*java_options), "kafka.Kafka", str(self._settings)])

    @classmethod
    def cluster(cls, folder: Path, brokers: int) -> list[Self]:
        """Brokers that are one cluster; to be started together, for one alone has no majority."""
        ports = free_ports(2 * brokers)
        voters = dict(enumerate(ports[brokers:], start=1))
        return [
            cls(folder / str(node_id), node_id=node_id, port=ports[node_id - 1], voters=voters) for node_id in voters
        ]

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it unless it runs; returns once clients can use it. Raises ServerFailed."""
        if not self._settings.exists():
            await asyncio.to_thread(self._format)
        await self.process.start(self._answers)

    async def stop(self) -> None:
        """End it in good order."""
        await self.process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop it from running, with all its connections open."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let it run on."""
        self.process.thaw()

    def _format(self) -> None:
        folder = self._settings.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in self._all_properties().items()))
        tool = [*_java(), "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._settings)]
        done = subprocess.run([*tool, *self._format_options], capture_output=True, check=False)
        if done.returncode != 0:
            self._settings.unlink()
            raise ServerFailed(f"Kafka's folder could not be made:\n{done.stderr.decode()}")

    def _all_properties(self) -> dict[str, str]:
        controller = f"CONTROLLER://127.0.0.1:{self._voters[self.node_id]}"
        copies = str(min(len(self._voters), 3))
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in self._voters.items()),
            "listeners": f"PLAINTEXT://{self.address},{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "log.retention.check.interval.ms": "1000",
            "log.initial.task.delay.ms": "1000",
            "log.dirs": str(self._settings.parent / "log"),
        } | self._properties

    async def _answers(self) -> bool:
        if not await listens(self.port):  # the client would complain of it aloud
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=2000)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
        return any(broker["node_id"] == self.node_id for broker in cluster["brokers"])
