"""How this process reaches Kafka: addresses, encryption, and who it says it is."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct

from bus.errors import LogUnavailable


class ScramMechanism(StrEnum):
    """How a password is proven without being sent (RFC 5802)."""

    SHA_256 = "SCRAM-SHA-256"
    SHA_512 = "SCRAM-SHA-512"


class Scram(Struct, frozen=True, kw_only=True):
    """An account of Kafka's own."""

    username: str
    password: str
    mechanism: ScramMechanism = ScramMechanism.SHA_512

    def __repr__(self) -> str:
        return f"Scram(username={self.username!r}, mechanism={self.mechanism.value!r})"


class Tls(Struct, frozen=True, kw_only=True):
    """Encryption; the broker's name is always checked against its certificate."""

    ca: Path | None = None
    """A PEM file with the authorities that may sign brokers' certificates; the system's own when absent."""
    certificate: Path | None = None
    """A PEM file with this client's certificate and chain, where brokers ask for one; goes with `key`."""
    key: Path | None = None
    """A PEM file with its private key, unencrypted."""


class KafkaLink(Struct, frozen=True, kw_only=True):
    """Where the cluster is and how it is spoken to."""

    servers: tuple[str, ...]
    """`host:port` of some brokers; the others are learned from them."""
    tls: Tls | None = None
    scram: Scram | None = None


def client_options(link: KafkaLink) -> dict[str, Any]:
    """What every client of aiokafka is made with.

    Raises LogUnavailable where a file of the TLS settings is missing or unusable.
    """
    protocol = ("SASL_" if link.scram else "") + ("SSL" if link.tls else "PLAINTEXT")
    options: dict[str, Any] = {"bootstrap_servers": list(link.servers), "security_protocol": protocol}
    if link.tls is not None:
        options["ssl_context"] = _context(link.tls)
    if link.scram is not None:
        options["sasl_mechanism"] = link.scram.mechanism.value
        options["sasl_plain_username"] = link.scram.username
        options["sasl_plain_password"] = link.scram.password
    return options


def no_answer(options: Mapping[str, Any]) -> LogUnavailable:
    """What is raised where no broker lets a client in that was made with these `client_options`.

    The library says nothing of why: a broker that is away and one that refuses the account look the same.
    """
    servers = ", ".join(options["bootstrap_servers"])
    secured = options["security_protocol"] != "PLAINTEXT"
    also = " Does it take what COVEY_KAFKA_* says?" if secured else ""
    return LogUnavailable(f"No Kafka answers at {servers} (COVEY_LOG). Is it running, and is the address right?{also}")


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (tls.ca, tls.certificate, tls.key) if path is not None)
        raise LogUnavailable(f"Kafka's TLS files cannot be used ({files}): {type(error).__name__}.") from error
    return context
