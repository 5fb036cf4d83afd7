"""The payer directory."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

import pytest
from hypothesis import given as every
from hypothesis import strategies as st

import payer.directory
from bus.ids import PayerId
from payer.directory import Directory, PayerRecord
from payer.errors import DirectoryInvalid
from payer.simulator.behaviour import Behaviour
from payer.simulator.people import MOCK_PEOPLE


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Directory.load(include_simulated=True)


def a_payer(payer_id: str, name: str = "A payer", *aliases: str) -> PayerRecord:
    return PayerRecord(id=PayerId(payer_id), name=name, aliases=aliases)


def test_every_payer_of_a_mock_person_and_every_simulated_one_is_in_the_file(directory: Directory) -> None:
    assert all(directory.get(PayerId(person.payer_id)) for person in MOCK_PEOPLE)
    assert {str(found.id) for found in directory.search(None) if found.simulated} == {str(named) for named in Behaviour}


def test_production_leaves_the_simulated_payers_out() -> None:
    real = Directory.load(include_simulated=False)
    assert not any(found.simulated for found in real.search(None))
    assert real.find("SIMOK") is None
    assert real.find("87726")


@pytest.mark.parametrize("given", ["87726", " 87726 ", "UHC", "uhc", "United"])
def test_every_id_and_alias_leads_to_the_canonical_payer(directory: Directory, given: str) -> None:
    found = directory.find(given)
    assert found is not None
    assert found.id == "87726"


@pytest.mark.parametrize("given", ["40", "0040", "087726", "", "UnitedHealthcare of Nowhere"])
def test_leading_zeros_count_and_nothing_is_guessed(directory: Directory, given: str) -> None:
    assert directory.find(given) is None


def test_a_canonical_id_is_not_an_alias(directory: Directory) -> None:
    assert directory.get(PayerId("UHC")) is None
    assert directory.get(PayerId("040"))


@pytest.mark.parametrize(
    ("given", "likeliest"),
    [("87725", "87726"), ("etna", "60054"), ("simokk", "SIMOK"), ("united health", "87726"), ("CIGMA", "62308")],
)
def test_what_was_nearly_right_is_guessed(directory: Directory, given: str, likeliest: str) -> None:
    nearest = directory.nearest(given)
    assert nearest[0].id == likeliest
    assert len(nearest) <= 3


@pytest.mark.parametrize("given", ["zzzzzzzz", "", "x" * 100_000])
def test_what_is_like_nothing_has_no_neighbours(directory: Directory, given: str) -> None:
    assert directory.nearest(given) == ()


def test_the_number_of_guesses_is_bounded(directory: Directory) -> None:
    assert len(directory.nearest("simulated payer", limit=2)) == 2


class _Counting(SequenceMatcher[str]):
    """Counts how often the whole price of a comparison was paid."""

    measured = 0

    def ratio(self) -> float:
        type(self).measured += 1
        return super().ratio()


def test_a_guess_measures_only_what_may_win_and_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payer.directory, "SequenceMatcher", _Counting)
    monkeypatch.setattr(_Counting, "measured", 0)
    directory = Directory.load(include_simulated=True)
    assert directory.nearest("zzzz quartz") == ()
    assert _Counting.measured == 0
    nearest = directory.nearest("etna")
    assert 0 < _Counting.measured < 20  # of the sixty names there are
    before = _Counting.measured
    assert directory.nearest(" ETNA", limit=1) == nearest[:1]
    assert _Counting.measured == before


def test_the_guesses_that_are_remembered_are_bounded(directory: Directory) -> None:
    for number in range(1_100):
        directory.nearest(f"{number}")
    assert directory._ranked.cache_info().currsize == 1_024


@every(st.text("aetnsimok ", max_size=12))
def test_a_guess_is_the_likeliest_by_the_whole_measure(wanted: str) -> None:
    payers = [a_payer("P1", "Aetna", "ETNA"), a_payer("P2", "Simok Mate"), a_payer("P3", "Tomasin", "as")]
    nearest = Directory(payers).nearest(wanted, limit=1)
    folded = wanted.strip()

    def likeness(of: PayerRecord) -> float:
        names = [name.casefold() for name in (of.id, of.name, *of.aliases)]
        return max(
            0.9 if folded and name.startswith(folded) else SequenceMatcher(b=folded, a=name).ratio() for name in names
        )

    best = max(map(likeness, payers))
    assert [likeness(found) for found in nearest] == ([best] if best >= 0.6 else [])


def test_searching_finds_parts_of_names_ids_and_aliases_in_the_order_of_names(directory: Directory) -> None:
    assert [found.name for found in directory.search("HEALTHCARE")] == ["UnitedHealthcare", "UnitedHealthcare Dental"]
    assert [found.id for found in directory.search("medicare")] == ["CMS", "MBILU"]
    everything = directory.search(None)
    assert list(everything) == sorted(everything, key=lambda found: (found.name.casefold(), found.id))
    assert directory.search("  ") == everything
    assert directory.search("no such") == ()


def test_an_alias_of_two_payers_is_refused() -> None:
    with pytest.raises(DirectoryInvalid, match=r"'one' is an id or alias of two payers: 'P1' and 'P2'"):
        Directory([a_payer("P1", "First", "ONE"), a_payer("P2", "Second", " one ")])
    with pytest.raises(DirectoryInvalid, match="'p1'"):
        Directory([a_payer("P1", "First"), a_payer("P2", "Second", "p1")])


def test_an_empty_alias_is_refused() -> None:
    with pytest.raises(DirectoryInvalid, match="empty"):
        Directory([a_payer("P1", "First", " ")])


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"payers": [{"id": "1"}]}', b'{"payers": [{"id": 1, "name": "x"}]}']
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "payers.json"
    path.write_bytes(content)
    with pytest.raises(DirectoryInvalid, match=r"payers\.json"):
        Directory.load(include_simulated=True, path=path)
    with pytest.raises(DirectoryInvalid):
        Directory.load(include_simulated=True, path=tmp_path / "absent.json")
