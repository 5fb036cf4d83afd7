"""Reading the cache without ever calling a payer."""

from __future__ import annotations

from bus.ids import MemberId
from delivery.caller import Caller
from resolvers.answers import Answers, CoverageAnswer, CoverageSource
from resolvers.errors import Forbidden
from resolvers.given import GivenQuestion
from resolvers.validation import InputRules
from warming.cache import CoverageCache


class CachedCoverage:
    """The use case behind `coverage`."""

    def __init__(self, *, rules: InputRules, cache: CoverageCache, answers: Answers) -> None:
        self._rules = rules
        self._cache = cache
        self._answers = answers

    async def coverage(self, caller: Caller, given: GivenQuestion) -> CoverageAnswer | None:
        """What the cache holds for the question, however old; None if nothing. Raises Forbidden, InputInvalid."""
        if not caller.may_see_member(caller.tenant_id, MemberId(given.member_id)):
            raise Forbidden("Members may ask about themselves, services about every member of their tenant.")
        question = self._rules.question(given, ("input",))
        held = await self._cache.get(caller.tenant_id, question.key(caller.tenant_id))
        return None if held is None else self._answers.coverage(held, CoverageSource.CACHE)
