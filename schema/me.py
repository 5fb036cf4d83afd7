"""Who is calling."""
# mypy: disallow-untyped-decorators=False
# Strawberry's decorators have no types.

from __future__ import annotations

from datetime import datetime

import strawberry

from delivery.caller import Caller, Role
from schema import enums  # noqa: F401 - makes the enums known
from schema.context import ContextInfo


@strawberry.type(description="What a member needs to open a socket.")
class WebsocketSubscribeInfo:
    url: str = strawberry.field(description="Where to connect, with subprotocol graphql-transport-ws.")
    auth_token: str = strawberry.field(
        description="Good for connecting only, for minutes: the `authToken` of connection_init's payload."
    )
    expires_at: datetime = strawberry.field(description="Until when a socket can be opened with it.")


@strawberry.type(description="A member.")
class Member:
    id: strawberry.ID = strawberry.field(description="Our own id, unique within the tenant.")

    @strawberry.field(description="What the member needs to open a socket. Not for who came by a connect token.")
    def websocket_subscribe_info(self, info: ContextInfo) -> WebsocketSubscribeInfo:
        issued = info.context.use_cases.websocket_info.issue(info.context.caller)
        return WebsocketSubscribeInfo(url=issued.url, auth_token=issued.token, expires_at=issued.expires_at)


@strawberry.type(description="Who is calling, as the token tells.")
class Me:
    id: strawberry.ID = strawberry.field(description="The token's subject.")
    tenant_id: strawberry.ID = strawberry.field(description="The tenant the caller belongs to.")
    roles: list[Role] = strawberry.field(description="What the caller may be.")
    member: Member | None = strawberry.field(description="The member the caller is; null if none.")

    @classmethod
    def of(cls, caller: Caller) -> Me:
        return cls(
            id=strawberry.ID(caller.subject),
            tenant_id=strawberry.ID(caller.tenant_id),
            roles=sorted(caller.roles),
            member=None if caller.member_id is None else Member(id=strawberry.ID(caller.member_id)),
        )
