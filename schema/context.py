"""What every resolver is given."""

from __future__ import annotations

from msgspec import Struct
from strawberry.types import Info

from delivery.caller import Caller
from resolvers.use_cases import UseCases


class Context(Struct, frozen=True):
    """Who calls, and what can be asked."""

    caller: Caller
    use_cases: UseCases


ContextInfo = Info[Context, None]
