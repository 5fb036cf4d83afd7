"""`covey connections` and `covey revoke`: who is connected, in numbers, and whose tokens end."""

from __future__ import annotations

import json
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from console.asking import asked

_CONNECTIONS: Final = "query Connections { connections { instance members services operators } }"
_REVOKE: Final = "mutation Revoke($input: RevokeAccessInput!) { revokeAccess(input: $input) { rememberedUntil } }"


async def connections(*, url: str, token: str, as_json: bool) -> int:
    """Show every instance's connections of the token's tenant. Raises ServerUnreachable, ServerRefused."""
    found = (await asked(_CONNECTIONS, {}, url=url, token=token))["connections"]
    out = Console()
    if as_json:
        for instance in found:
            out.print(json.dumps(instance), soft_wrap=True, highlight=False)
        return 0
    table = Table("instance", "members", "services", "operators")
    for instance in found:
        table.add_row(*(str(instance[name]) for name in ("instance", "members", "services", "operators")))
    out.print(table)
    return 0


async def revoke(whose: dict[str, Any], *, url: str, token: str) -> int:
    """End tokens; `whose` is a `RevokeAccessInput`. Raises ServerUnreachable, ServerRefused."""
    answer = await asked(_REVOKE, {"input": whose}, url=url, token=token)
    until = answer["revokeAccess"]["rememberedUntil"]
    Console().print(f"Revoked. Such tokens are refused until {until}.", highlight=False, soft_wrap=True)
    return 0
