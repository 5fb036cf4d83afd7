"""The payers Covey knows: every id and alias of a payer leads to its one canonical id.

Caches, caps and breakers go by that id, so two of them for one payer would be two of everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bus.ids import PayerId
from payer.errors import DirectoryInvalid

_FILE: Final = Path(__file__).with_name("payers.json")
_LONGEST_GIVEN: Final = 80
_SIMILAR: Final = 0.6
_A_BEGINNING: Final = 0.9
"""How alike a name is to its own beginning: as good as one that is nearly the same."""
_GUESSES_REMEMBERED: Final = 1_024


class PayerRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payer as the directory knows it."""

    id: PayerId
    """The canonical id, which is also the one that is sent; text, since leading zeros count."""
    name: str
    aliases: tuple[str, ...] = ()
    """Other ids it goes by."""
    simulated: bool = False
    """Exists only in the payer simulator."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    payers: tuple[PayerRecord, ...]


class Directory:
    """Finds payers by whatever they are called. Does not change once made; what it guessed lately it remembers."""

    def __init__(self, payers: Iterable[PayerRecord]) -> None:
        """Raises DirectoryInvalid where an id or alias is empty or leads to two payers."""
        self._payers = tuple(sorted(payers, key=lambda payer: (payer.name.casefold(), payer.id)))
        self._by_key: dict[str, PayerRecord] = {}
        for payer in self._payers:
            for key in {_folded(given) for given in (payer.id, *payer.aliases)}:
                if not key:
                    raise DirectoryInvalid(f"Payer {payer.id!r} has an empty id or alias.")
                other = self._by_key.setdefault(key, payer)
                if other is not payer:
                    raise DirectoryInvalid(f"{key!r} is an id or alias of two payers: {other.id!r} and {payer.id!r}.")
        self._by_id = {payer.id: payer for payer in self._payers}
        self._names = tuple((payer, _names(payer)) for payer in self._payers)
        self._ranked = lru_cache(_GUESSES_REMEMBERED)(self._rank)

    @classmethod
    def load(cls, include_simulated: bool, path: Path = _FILE) -> Directory:
        """The payers of the file that comes with Covey; the simulator's own only where asked for.

        Raises DirectoryInvalid.
        """
        try:
            payers = msgspec.json.decode(path.read_bytes(), type=_File).payers
        except (OSError, ValueError) as error:
            raise DirectoryInvalid(f"The file of payers {path.name} cannot be read: {error}") from error
        return cls(payer for payer in payers if include_simulated or not payer.simulated)

    def find(self, given: str) -> PayerRecord | None:
        """The payer of which this is an id or alias, in any case of letters and with spaces around it."""
        return self._by_key.get(_folded(given))

    def get(self, payer_id: PayerId) -> PayerRecord | None:
        """The payer with this canonical id."""
        return self._by_id.get(payer_id)

    def nearest(self, given: str, limit: int = 3) -> tuple[PayerRecord, ...]:
        """Payers that may have been meant, the likeliest first; none where nothing is alike."""
        return self._ranked(_folded(given[:_LONGEST_GIVEN]))[:limit]

    def _rank(self, wanted: str) -> tuple[PayerRecord, ...]:
        matcher = SequenceMatcher(b=wanted)  # it keeps what it found out about its second text
        likely = [(likeness, payer) for payer, names in self._names if (likeness := _likeness(wanted, names, matcher))]
        return tuple(payer for _, payer in sorted(likely, key=lambda entry: -entry[0]))

    def search(self, text: str | None) -> Sequence[PayerRecord]:
        """The payers with the text in a name, id or alias (all of them without one), by name."""
        wanted = _folded(text or "")
        return tuple(payer for payer, names in self._names if any(wanted in name for name in names))


def _folded(given: str) -> str:
    return given.strip().casefold()


def _names(payer: PayerRecord) -> tuple[str, ...]:
    return tuple(_folded(name) for name in (payer.id, payer.name, *payer.aliases))


def _likeness(wanted: str, names: Iterable[str], matcher: SequenceMatcher[str]) -> float:
    """How alike the likeliest of the names is to what is wanted, from 0 to 1; 0 where none is alike.

    `matcher` has what is wanted as its second text. The true likeness costs many times what its upper bounds cost, so
    only names that may yet win are measured.
    """
    best, least = 0.0, _SIMILAR
    for name in names:
        if wanted and name.startswith(wanted):
            likeness = _A_BEGINNING
        else:
            matcher.set_seq1(name)
            if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
                continue
            likeness = matcher.ratio()
        if likeness >= least:
            best = least = likeness
    return best
