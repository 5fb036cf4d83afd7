"""The real program over TLS and with accounts of its own at Kafka and Redis, by settings alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.services.certificates import Authority
from tests.services.kafka import KafkaServer
from tests.services.process import ServerProcess, free_ports, listens
from tests.system.program import ended, question
from tests.system.shared.cluster import cluster

pytestmark = [pytest.mark.services, pytest.mark.slow]
PASSWORD: Final = "a-throw-away-password"
_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class Secured:
    """A Kafka and a Redis that let in nobody without a certificate of their authority and a password."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "authority")
        shown, shown_key = authority.issue("covey")
        self._kafka_port, plain_port, controller_port, self._redis_port = free_ports(4)
        self.kafka = self._new_kafka(folder, authority, plain_port, controller_port)
        self.redis = self._new_redis(folder / "redis", authority)
        self.address = f"127.0.0.1:{self._kafka_port}"
        self.state = f"rediss://127.0.0.1:{self._redis_port}/0"
        self.settings = {
            "kafka_tls": "true",
            "kafka_ca": str(authority.ca),
            "kafka_certificate": str(shown),
            "kafka_key": str(shown_key),
            "kafka_username": "covey",
            "kafka_password": PASSWORD,
            "kafka_scram": "SCRAM-SHA-256",
            "redis_ca": str(authority.ca),
            "redis_certificate": str(shown),
            "redis_key": str(shown_key),
            "redis_username": "covey",
            "redis_password": PASSWORD,
        }

    async def start(self) -> None:
        await asyncio.gather(self.kafka.start(), self.redis.start(lambda: listens(self._redis_port)))

    async def stop(self) -> None:
        await asyncio.gather(self.kafka.stop(), self.redis.stop())

    def _new_kafka(self, folder: Path, authority: Authority, plain_port: int, controller_port: int) -> KafkaServer:
        certificate, key = authority.issue("broker")
        chain = folder / "broker.pem"
        chain.write_bytes(key.read_bytes() + certificate.read_bytes())
        listeners = f"PLAINTEXT://127.0.0.1:{plain_port},SASL_SSL://127.0.0.1:{self._kafka_port}"
        return KafkaServer(
            folder / "kafka",
            port=plain_port,
            voters={1: controller_port},
            properties={
                "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
                "advertised.listeners": listeners,
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
                "sasl.enabled.mechanisms": "SCRAM-SHA-256",
                "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": _LOGIN,
                "listener.name.sasl_ssl.ssl.client.auth": "required",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(chain),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(authority.ca),
            },
            format_options=("--add-scram", f"SCRAM-SHA-256=[name=covey,password={PASSWORD}]"),
        )

    def _new_redis(self, folder: Path, authority: Authority) -> ServerProcess:
        folder.mkdir()
        certificate, key = authority.issue("redis")
        users = folder / "users.acl"
        rights = "~covey:* ~{covey}:* &{covey}:* +@all -@admin -@dangerous +info"
        users.write_text(f"user default off\nuser covey on >{PASSWORD} {rights}\n")
        command = ["redis-server", "--port", "0", "--tls-port", str(self._redis_port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        command += ["--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "yes"]
        command += ["--aclfile", str(users), "--dir", str(folder), "--set-proc-title", "no"]
        return ServerProcess(folder, command)


@pytest_asyncio.fixture
async def secured(tmp_path: Path, service_addresses: dict[str, str]) -> AsyncIterator[Secured]:
    del service_addresses  # Kafka's jars are there
    servers = Secured(tmp_path)
    await servers.start()
    try:
        yield servers
    finally:
        await servers.stop()


async def test_the_program_works_over_encrypted_links_with_accounts_of_its_own(
    tmp_path: Path, secured: Secured
) -> None:
    async with cluster(tmp_path, secured.address, secured.state, keep=True, links=secured.settings) as together:
        gateway, worker = await asyncio.gather(together.serve(), together.worker())
        client = together.client(gateway)
        request_id = await client.submitted(question("m-1", "SIMOK"))
        assert (await client.follow(request_id))[-1]["type"] == "COMPLETED"
        assert (await together.run("rebuild")).code == 0
        assert (await together.run("topics", "check")).code == 0

        for changed in ({"COVEY_KAFKA_PASSWORD": "wrong"}, {"COVEY_KAFKA_CERTIFICATE": "", "COVEY_KAFKA_KEY": ""}):
            refused = await ended("topics", "check", env={**together.env, **changed})
            assert refused.code == 1
            assert "Traceback" not in refused.err
            assert PASSWORD not in refused.err
        for changed in ({"COVEY_REDIS_PASSWORD": "wrong"}, {"COVEY_REDIS_CERTIFICATE": "", "COVEY_REDIS_KEY": ""}):
            refused = await ended("rebuild", env={**together.env, **changed})
            assert refused.code == 1
            assert "Traceback" not in refused.err
        assert PASSWORD not in gateway.written() + worker.written()
