"""The simulated payers: what each answers just now, and how long that takes."""

from __future__ import annotations

from random import Random
from typing import Final
from uuid import UUID

from bus.clock import Clock
from bus.ids import PayerId
from payer.directory import Directory, PayerRecord
from payer.simulator.answers import Reply
from payer.simulator.behaviour import Behaviour, seconds_of
from payer.simulator.inquiry import Inquiry
from payer.simulator.people import Finding, Refusal, look_up

_FLAKY_SHARE: Final = 0.5


class SimulatedPayers:
    """The directory's payers: what they say of a person depends on the seed alone; when, and faults, on chance."""

    def __init__(self, directory: Directory, seed: int, speed: float, clock: Clock) -> None:
        self.directory = directory
        self._seed = seed
        self._speed = speed
        self._clock = clock
        self._chance = Random(seed)  # noqa: S311 -- to be foreseen, not to be secret
        self._behaviours: dict[PayerId, Behaviour] = {}

    def behaviour(self, payer: PayerRecord) -> Behaviour:
        """As set last, else as the payer's id says; real payers answer."""
        named = Behaviour(payer.id) if payer.simulated else Behaviour.SIMOK
        return self._behaviours.get(payer.id, named)

    def behave(self, payer: PayerRecord, behaviour: Behaviour | None) -> None:
        """From now on; None is how it behaved at the start."""
        if behaviour is None:
            self._behaviours.pop(payer.id, None)
        else:
            self._behaviours[payer.id] = behaviour

    def seconds(self, behaviour: Behaviour) -> float:
        """How long the next call takes, at the simulator's speed."""
        return seconds_of(behaviour, self._chance) / self._speed

    def finding(self, payer: PayerRecord, inquiry: Inquiry, behaviour: Behaviour) -> Finding:
        """What the payer answers."""
        if behaviour is Behaviour.SIMDOWN:
            return Refusal(code="42", location="PAYER")
        if behaviour is Behaviour.SIMREJECT:
            return Refusal(code="75")
        if behaviour is Behaviour.SIMFLAKY and self._chance.random() < _FLAKY_SHARE:
            return Refusal(code="80", location="PAYER")
        return look_up(payer.id, inquiry, self._seed)

    def new_id(self) -> str:
        """An id that no other answer or batch has."""
        return f"{UUID(int=self._chance.getrandbits(128))}"

    def reply(
        self, payer: PayerRecord, inquiry: Inquiry, finding: Finding, *, test_mode: bool, unique: str | None = None
    ) -> Reply:
        """The finding as an answer, with an id of its own unless one is given."""
        return Reply(
            id=f"ec_{unique or self.new_id()}",
            inquiry=inquiry,
            payer=payer,
            finding=finding,
            plan_begin=self._clock.now().date().replace(month=1, day=1),
            test_mode=test_mode,
        )
