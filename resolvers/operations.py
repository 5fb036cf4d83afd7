"""What operators see and do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from bus.ids import MemberId
from bus.metrics import Metrics
from delivery.caller import Caller
from delivery.presence import InstanceSockets, Presence
from delivery.revocation import Revocations, member_name, tenant_name, token_name
from resolvers.errors import Forbidden, InputInvalid
from resolvers.problems import InputProblem, ProblemCode
from scheduler.admission import AdmissionStatus
from scheduler.dispatcher import Dispatcher

_ID_LENGTH = 256


class Operations:
    """The use cases behind `scheduler`, `connections` and `revokeAccess`. Each raises Forbidden; the latter two
    StateUnavailable, where other instances cannot be reached."""

    def __init__(
        self, *, dispatcher: Dispatcher, presence: Presence, revocations: Revocations, metrics: Metrics
    ) -> None:
        self._dispatcher = dispatcher
        self._presence = presence
        self._revocations = revocations
        self._metrics = metrics

    async def scheduler(self, caller: Caller) -> AdmissionStatus:
        """Slots, queue and breakers; of the tenants only the caller's own."""
        if not caller.is_operator:
            raise Forbidden("Only operators may see the scheduler.")
        status = await self._dispatcher.status()
        own = tuple(tenant for tenant in status.tenants if tenant.tenant_id == caller.tenant_id)
        return msgspec.structs.replace(status, tenants=own)

    async def connections(self, caller: Caller) -> Sequence[InstanceSockets]:
        """Every instance, and how many connections the caller's tenant has there."""
        if not caller.is_operator:
            raise Forbidden("Only operators may see connections.")
        return await self._presence.of_tenant(caller.tenant_id)

    async def revoke(self, caller: Caller, *, member_id: str | None, token_id: str | None, everybody: bool) -> datetime:
        """End tokens of the caller's tenant: a member's, one by its `jti`, or all; until when that is remembered.

        It holds on this instance when this returns, and within a second on the others. Raises InputInvalid,
        RevocationsFull.
        """
        if not caller.is_operator:
            raise Forbidden("Only operators may revoke tokens.")
        given = [one for one in (member_id, token_id) if one is not None]
        if len(given) + everybody != 1 or any(not 0 < len(one) <= _ID_LENGTH for one in given):
            message = f"Name one: a member, a token (1 to {_ID_LENGTH} characters), or everybody."
            raise InputInvalid([InputProblem(path=("input",), code=ProblemCode.REQUIRED, message=message)])
        if member_id is not None:
            name = member_name(caller.tenant_id, MemberId(member_id))
        elif token_id is not None:
            name = token_name(caller.tenant_id, token_id)
        else:
            name = tenant_name(caller.tenant_id)
        revoked = await self._revocations.revoke(name)
        self._metrics.revocations.inc()
        return datetime.fromtimestamp(revoked.until, UTC)
