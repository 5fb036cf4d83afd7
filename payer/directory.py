"""The payers Covey knows: every id and alias of a payer leads to its one canonical id.

Caches, caps and breakers go by that id, so two of them for one payer would be two of everything.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bus.ids import PayerId
from payer.errors import DirectoryInvalid

_FILE: Final = Path(__file__).with_name("payers.json")
_LONGEST_GIVEN: Final = 80
_SIMILAR: Final = 0.5


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
    """Finds payers by whatever they are called. Does not change once made."""

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
        wanted = _folded(given[:_LONGEST_GIVEN])
        ranked = [(max(_likeness(wanted, key) for key in _names(payer)), payer) for payer in self._payers]
        likely = sorted((entry for entry in ranked if entry[0] >= _SIMILAR), key=lambda entry: -entry[0])
        return tuple(payer for _, payer in likely[:limit])

    def search(self, text: str | None) -> Sequence[PayerRecord]:
        """The payers with the text in a name, id or alias (all of them without one), by name."""
        wanted = _folded(text or "")
        return tuple(payer for payer in self._payers if any(wanted in name for name in _names(payer)))


def _folded(given: str) -> str:
    return given.strip().casefold()


def _names(payer: PayerRecord) -> list[str]:
    return [_folded(name) for name in (payer.id, payer.name, *payer.aliases)]


def _likeness(wanted: str, name: str) -> float:
    """From 0 to 1; a name that begins with what was given is as good as one that is nearly the same."""
    if wanted and name.startswith(wanted):
        return 0.9
    return difflib.SequenceMatcher(None, wanted, name).ratio()
