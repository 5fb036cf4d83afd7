"""The settings of the gateway: how many may connect, how long they live, how much they may ask and leave unread."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from setting_kinds import OperationsFile, Proxies


class GatewaySettings(BaseSettings):
    """A part of `Settings`."""

    max_connections: int = Field(
        10_000, ge=1, le=1_000_000, description="Open sockets and streams of this process; some 50 KiB of memory each."
    )
    connections_per_member: int = Field(
        50, ge=1, le=100_000, description="Of one member, over all instances: some tabs on some devices."
    )
    connections_per_service: int = Field(
        1000, ge=1, le=1_000_000, description="Of one service token's subject, over all instances."
    )
    connections_per_address: int = Field(
        2000,
        ge=1,
        le=1_000_000,
        description="Of one address, or IPv6 /64: many people may share one. Connections from this machine are not "
        "counted. Behind a proxy elsewhere, name it in `COVEY_TRUSTED_PROXIES`, or it counts as one address.",
    )
    trusted_proxies: Proxies = Field(
        (), description="Whose `X-Forwarded-For` is believed; nobody's when absent, since anybody can send one."
    )
    max_subscriptions_per_connection: int = Field(100, ge=1, le=10_000, description="Operations running on one socket.")

    handshakes_at_once: int = Field(
        16, ge=1, le=10_000, description="Sockets being opened at once: in a storm what is live goes on between them."
    )
    handshakes_waiting: int = Field(
        5000, ge=0, le=1_000_000, description="Sockets that wait for that; more are told to come back (1013)."
    )
    come_back_seconds: float = Field(
        5, ge=0, le=300, description="Over this long those are sent away, one by one, so that they return spread out."
    )
    history_reads_at_once: int = Field(
        8,
        ge=1,
        le=1000,
        description="Reads of history at once: after a cut replays wait in order, beside what is live.",
    )
    head_bytes: int = Field(
        32_768, ge=8192, le=1_048_576, description="Request line and headers; browsers and gateways keep below 16 KiB."
    )
    url_bytes: int = Field(8192, ge=256, le=65_536, description="What RFC 9110 wants to be possible; ours are short.")
    head_seconds: float = Field(
        20, gt=0, le=300, description="A head is one packet or a few: slower is somebody who holds connections."
    )
    body_seconds: float = Field(20, gt=0, le=300, description="The same of a body, which is small.")

    connection_init_seconds: float = Field(10, gt=0, le=300, description="A socket that says nothing is closed then.")
    ping_seconds: float = Field(
        20, gt=0, le=300, description="How often a socket is pinged (WebSocket's ping): below the 30 s of many proxies."
    )
    pong_seconds: float = Field(20, gt=0, le=300, description="A peer that answers no ping for so long is gone.")
    idle_seconds: float = Field(
        600, gt=0, le=86_400, description="A socket on which nothing runs for so long is closed: it only costs."
    )
    expiry_warning_seconds: float = Field(
        60, ge=0, le=3600, description="So long before its token ends a client is told, to fetch another and send it."
    )
    revocations_kept_seconds: float = Field(
        86_400, gt=0, le=31_536_000, description="How long a revocation is remembered: as long as any token lives."
    )
    revocations_limit: int = Field(
        100_000, ge=1, le=10_000_000, description="Revocations that are remembered; some 500 bytes each."
    )

    write_deadline_seconds: float = Field(30, gt=0, le=300, description="A reader that takes nothing is cut off then.")
    unread_bytes: int = Field(
        32_768, ge=1024, le=16_777_216, description="Of a slow reader, held in the process: some 50 events."
    )
    kernel_unread_bytes: int = Field(
        65_536, ge=4096, le=16_777_216, description="And in the kernel, which else lets it grow to megabytes a socket."
    )
    undelivered_events: int = Field(
        64, ge=1, le=100_000, description="And for one subscription; behind more of them it reads the log instead."
    )
    idle_checkpoint_seconds: float = Field(
        60, gt=0, le=3600, description="A silent stream gets a Checkpoint this often, so that its cursor stays fresh."
    )
    drain_seconds: float = Field(
        20,
        ge=0,
        le=3600,
        description="Over this long connections are closed at a stop, so that clients return spread out.",
    )

    operations_per_second: float = Field(100, gt=0, le=100_000, description="Operations of one member, over time.")
    operations_burst: int = Field(200, ge=1, le=1_000_000, description="Operations of one member, at once.")
    people_per_member_per_day: int = Field(
        10, ge=1, le=10_000, description="Different people asked about a member, so that nobody fishes for strangers."
    )
    message_bytes: int = Field(65_536, ge=1024, le=16_777_216, description="An HTTP body, or a message on a socket.")
    operations_file: OperationsFile | None = Field(
        None, description="The only operations that are served, a JSON object of documents; every one when absent."
    )
    document_bytes: int = Field(16_384, ge=256, le=16_777_216, description="A GraphQL document.")
    document_tokens: int = Field(2000, ge=10, le=1_000_000, description="Tokens of a document, counted while parsing.")
    document_depth: int = Field(15, ge=1, le=100, description="Fields within fields.")
    document_aliases: int = Field(30, ge=0, le=10_000, description="Aliases of a document.")
    document_complexity: int = Field(1000, ge=1, le=1_000_000, description="The summed cost of a document's fields.")
