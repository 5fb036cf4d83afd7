"""Connections and tokens, as operators see and end them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from delivery.presence import InstanceSockets


@strawberry.type(description="One instance, and the connections of the caller's tenant on it: sockets and streams.")
class InstanceConnections:
    instance: strawberry.ID = strawberry.field(description="A name that the instance made up when it started.")
    members: int = strawberry.field(description="Connections of members.")
    services: int = strawberry.field(description="Connections of services.")
    operators: int = strawberry.field(description="Connections of operators.")

    @classmethod
    def of(cls, sockets: InstanceSockets) -> InstanceConnections:
        by_kind = sockets.by_kind
        return cls(
            instance=strawberry.ID(sockets.instance),
            members=by_kind.get("member", 0),
            services=by_kind.get("service", 0),
            operators=by_kind.get("operator", 0),
        )


@strawberry.input(description="Whose tokens end. Exactly one is to be given.")
class RevokeAccessInput:
    member_id: strawberry.ID | None = strawberry.field(default=None, description="All tokens of this member.")
    token_id: strawberry.ID | None = strawberry.field(default=None, description="The token with this `jti`.")
    everybody: bool = strawberry.field(
        default=False, description="All tokens of the tenant: members', services', and operators' own."
    )


@strawberry.type(
    description="What was named has ended: on every instance within a second, and for new connections and requests. "
    "Of a member or tenant, tokens issued later are good."
)
class AccessRevoked:
    remembered_until: datetime = strawberry.field(description="Until when such tokens are refused.")
