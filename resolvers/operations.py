"""What operators see."""

from __future__ import annotations

import msgspec

from delivery.caller import Caller
from resolvers.errors import Forbidden
from scheduler.admission import AdmissionStatus
from scheduler.dispatcher import Dispatcher


class Operations:
    """The use case behind `scheduler`."""

    def __init__(self, *, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def scheduler(self, caller: Caller) -> AdmissionStatus:
        """Slots, queue and breakers; of the tenants only the caller's own. Raises Forbidden."""
        if not caller.is_operator:
            raise Forbidden("Only operators may see the scheduler.")
        status = await self._dispatcher.status()
        own = tuple(tenant for tenant in status.tenants if tenant.tenant_id == caller.tenant_id)
        return msgspec.structs.replace(status, tenants=own)
