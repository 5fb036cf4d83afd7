"""The doors of one process: whose tokens open them, `/graphql` over HTTP and WebSocket, and GraphiQL's page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.routing import BaseRoute, Route

from bus.clock import Clock
from bus.ids import MemberId, TenantId, random_id
from delivery.caller import Caller, Role
from delivery.connect_tokens import ConnectTokens
from delivery.connections import Connections
from delivery.development_key import DevelopmentKey, sign_development_token
from delivery.drain import Drain
from delivery.graphiql import GraphiqlPage
from delivery.http import HttpDoor
from delivery.keys import KeySource, public_key
from delivery.lifetime import LifetimeLimits
from delivery.payloads import Payloads
from delivery.rates import Rates
from delivery.resumable import Subscriptions
from delivery.revocation import Revocations
from delivery.socket import SocketDoor
from delivery.sockets import GRAPHQL_PATH
from delivery.storm import Gate
from delivery.streams import Streams
from delivery.timers import Timers
from delivery.tokens import TokenVerifier
from resolvers.use_cases import UseCases
from schema.context import Context
from schema.execution import build_schema
from schema.limits import Limits
from schema.persisted import read_allowed
from settings import Settings
from wiring.foundation import Foundation

_WEB: Final = Path(__file__).parent.parent / "web"
_GRAPHIQL_MEMBER: Final = MemberId("m-1")
_GRAPHIQL_TOKEN_SECONDS: Final = 8 * 3600


class Keys(NamedTuple):
    """What tokens are checked with: the issuer's keys, or in development a key of our own, that also signs."""

    source: KeySource
    development: DevelopmentKey | None


class Doors(NamedTuple):
    """Where clients come in: over HTTP, and over WebSocket."""

    routes: Sequence[BaseRoute]
    sockets: SocketDoor


@asynccontextmanager
async def token_keys(base: Foundation) -> AsyncIterator[Keys]:
    """Raises KeyUnusable."""
    settings = base.settings
    if settings.jwt_jwks_url is not None:
        # Slow to import, and of use only here.
        import httpx  # noqa: PLC0415

        from delivery.jwks import JwksKeys  # noqa: PLC0415

        async with httpx.AsyncClient() as http:
            yield Keys(JwksKeys(url=settings.jwt_jwks_url, client=http, clock=base.clock), None)
    elif settings.jwt_public_key is not None:
        yield Keys(public_key(settings.jwt_public_key), None)
    else:
        development = DevelopmentKey.in_folder(settings.data)
        yield Keys(development.source, development)


def doors(
    base: Foundation,
    *,
    use_cases: UseCases,
    keys: Keys,
    connect_tokens: ConnectTokens,
    connections: Connections,
    drain: Drain,
    revocations: Revocations,
) -> Doors:
    """`/graphql` over HTTP and WebSocket, and GraphiQL where tokens may be minted."""
    settings, clock, metrics = base.settings, base.clock, base.metrics
    payloads = Payloads(metrics=metrics, new_id=random_id)
    rates = Rates(
        clock=clock,
        operations_per_second=settings.operations_per_second,
        burst=settings.operations_burst,
        tell=metrics.refusals.labels("operations").inc,
    )
    schema = build_schema(
        payloads=payloads,
        limits=_limits(settings),
        development=settings.development,
        rates=rates,
        allowed=None if settings.operations_file is None else read_allowed(settings.operations_file),
    )
    verifier = TokenVerifier(keys=keys.source, connect_tokens=connect_tokens, clock=clock, revoked=revocations.holds)
    page = None if keys.development is None else _graphiql(keys.development, settings, clock)

    def context(caller: Caller) -> Context:
        return Context(caller=caller, use_cases=use_cases)

    handshakes = Gate(
        at_once=settings.handshakes_at_once,
        waiting=settings.handshakes_waiting,
        tell=metrics.waiting_handshakes.set,
    )
    streams = Streams(
        schema=schema,
        connections=connections,
        drain=drain,
        context_factory=context,
        payloads=payloads,
        metrics=metrics,
        clock=clock,
        handshakes=handshakes,
        check=verifier.check,
    )
    http_door = HttpDoor(
        schema=schema,
        verifier=verifier,
        rates=rates,
        drain=drain,
        context_factory=context,
        payloads=payloads,
        streams=streams,
        subscriptions=Subscriptions(document_bytes=settings.document_bytes, tokens=settings.document_tokens),
        body_limit_bytes=settings.message_bytes,
        body_seconds=settings.body_seconds,
        page=page,
    )
    socket_door = SocketDoor(
        schema=schema,
        verifier=verifier,
        rates=rates,
        connections=connections,
        drain=drain,
        context_factory=context,
        payloads=payloads,
        metrics=metrics,
        clock=clock,
        timers=Timers(clock),
        init_timeout_seconds=settings.connection_init_seconds,
        max_subscriptions=settings.max_subscriptions_per_connection,
        lifetime=LifetimeLimits(warning_seconds=settings.expiry_warning_seconds, idle_seconds=settings.idle_seconds),
        handshakes=handshakes,
        random=base.random,
        come_back_seconds=settings.come_back_seconds,
    )
    route = Route(GRAPHQL_PATH, http_door)
    return Doors([route] if page is None else [page.route, route], socket_door)


def _graphiql(key: DevelopmentKey, settings: Settings, clock: Clock) -> GraphiqlPage:
    def mint() -> str:
        return sign_development_token(
            key,
            tenant_id=TenantId("demo"),
            roles=[Role.MEMBER],
            member_id=_GRAPHIQL_MEMBER,
            ttl_seconds=_GRAPHIQL_TOKEN_SECONDS,
            now=clock.now(),
            token_id=random_id(),
        )

    public_host = urlsplit(settings.public_url or "").hostname
    return GraphiqlPage(_WEB, mint_token=mint, member_id=_GRAPHIQL_MEMBER, public_host=public_host)


def _limits(settings: Settings) -> Limits:
    return Limits(
        document_bytes=settings.document_bytes,
        tokens=settings.document_tokens,
        depth=settings.document_depth,
        aliases=settings.document_aliases,
        complexity=settings.document_complexity,
    )
