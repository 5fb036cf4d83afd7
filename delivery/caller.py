"""Who is calling, as a verified token tells it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from bus.ids import MemberId, TenantId


class Role(StrEnum):
    """What a caller may be; a token may carry several."""

    MEMBER = "member"
    SERVICE = "service"
    OPERATOR = "operator"


class Caller(Struct, frozen=True, kw_only=True):
    """A verified identity. Made from a token only."""

    subject: str
    tenant_id: TenantId
    roles: frozenset[Role]
    member_id: MemberId | None
    """Set for members: who they are in our terms."""
    expires_at: datetime
    """When what this caller may do ends; a socket opened by a connect token ends by the token that fetched it."""
    token_id: str | None = None
    session_token_id: str | None = None
    """Of a connect token: the id of the token that fetched it, which ends both when it is revoked."""
    issued_at: datetime | None = None
    """When the session began; a member's revocation ends what is not known to have begun later."""
    connect_only: bool = False
    """Came by a token that only opens sockets: may do what its member may, except to get another such token."""

    def may_see_member(self, tenant_id: TenantId, member_id: MemberId) -> bool:
        """Members see their own; services all members of their tenant; operators no health data."""
        if tenant_id != self.tenant_id:
            return False
        if Role.SERVICE in self.roles:
            return True
        return Role.MEMBER in self.roles and member_id == self.member_id

    @property
    def is_operator(self) -> bool:
        return Role.OPERATOR in self.roles

    @property
    def is_service(self) -> bool:
        return Role.SERVICE in self.roles
