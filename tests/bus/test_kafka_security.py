"""Against a broker that takes no client without TLS and a password, on a listener of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bus.clock import SystemClock
from bus.errors import LogUnavailable
from bus.ids import MemberId, TenantId
from bus.kafka.log import KafkaLog
from bus.kafka.security import KafkaLink, Scram, ScramMechanism, Tls, client_options, no_answer
from bus.kafka.topics import create_topics, log_plans
from bus.metrics import Metrics
from tests.bus.conftest import submitted
from tests.bus.kafka_logs import open_kafka_log
from tests.services.certificates import Authority
from tests.services.kafka import KafkaServer
from tests.services.process import free_ports

PASSWORD = "throw-away"
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, service_addresses: dict[str, str]) -> Iterator[KafkaLink]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("broker")
    chain = folder / "broker.pem"
    chain.write_bytes(key.read_bytes() + certificate.read_bytes())
    port, secure_port, controller_port = free_ports(3)
    server = KafkaServer(
        folder / "kafka",
        port=port,
        voters={1: controller_port},
        properties={
            "listeners": f"PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secure_port},"
            f"CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secure_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": _LOGIN,
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": _LOGIN,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(chain),
        },
        format_options=(
            "--add-scram",
            f"SCRAM-SHA-512=[name=covey,password={PASSWORD}]",
            "--add-scram",
            f"SCRAM-SHA-256=[name=covey,password={PASSWORD}]",
        ),
    )
    asyncio.run(server.start())
    link = KafkaLink(
        servers=(f"127.0.0.1:{secure_port}",),
        tls=Tls(ca=authority.ca),
        scram=Scram(username="covey", password=PASSWORD),
    )
    yield link
    asyncio.run(server.stop())


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ScramMechanism)
async def test_the_log_works_over_tls_with_a_password(secured: KafkaLink, mechanism: ScramMechanism) -> None:
    prefix = f"{mechanism.value.lower()}."
    assert secured.scram is not None
    link = msgspec.structs.replace(secured, scram=msgspec.structs.replace(secured.scram, mechanism=mechanism))
    await create_topics(
        link, log_plans(partitions=2, replication=1, min_insync_replicas=1, retention_days=1, prefix=prefix)
    )
    async with open_kafka_log(link, prefix) as log:
        assert await log.append([submitted()]) != [None]
        assert len(await log.read_member(TenantId("t1"), MemberId("m1"), after=0, limit=10)) == 1


@pytest.mark.services
@pytest.mark.slow
async def test_a_wrong_password_another_authority_and_no_tls_are_refused(secured: KafkaLink, tmp_path: Path) -> None:
    wrong = Scram(username="covey", password="another")
    stranger = Tls(ca=Authority(tmp_path, "a stranger").ca)
    for link in (
        msgspec.structs.replace(secured, scram=wrong),
        msgspec.structs.replace(secured, tls=stranger),
        msgspec.structs.replace(secured, tls=None),
        msgspec.structs.replace(secured, scram=None),
    ):
        with pytest.raises(LogUnavailable) as refused:
            await KafkaLog.open(link, clock=SystemClock(), metrics=Metrics(), prefix="secured.")
        assert "another" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    link = KafkaLink(servers=("kafka:9092",), scram=Scram(username="covey", password="hidden"))
    assert "hidden" not in repr(link)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match=r"missing\.pem"):
        client_options(KafkaLink(servers=("kafka:9092",), tls=Tls(ca=tmp_path / "missing.pem")))


def test_where_an_account_may_be_why_nobody_answers_its_settings_are_named() -> None:
    link = KafkaLink(servers=("k1:9092", "k2:9092"))
    secured = msgspec.structs.replace(link, scram=Scram(username="covey", password=PASSWORD))
    assert "COVEY_KAFKA_" not in str(no_answer(client_options(link)))
    told = str(no_answer(client_options(secured)))
    assert "k1:9092, k2:9092 (COVEY_LOG)" in told and "COVEY_KAFKA_" in told and PASSWORD not in told
