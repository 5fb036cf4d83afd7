"""The payer directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.ids import PayerId
from payer.directory import Directory, PayerRecord
from payer.errors import DirectoryInvalid
from payer.simulator.behaviour import Behaviour
from payer.simulator.people import MOCK_PEOPLE


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Directory.load(include_simulated=True)


def payer(payer_id: str, name: str = "A payer", *aliases: str) -> PayerRecord:
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


def test_searching_finds_parts_of_names_ids_and_aliases_in_the_order_of_names(directory: Directory) -> None:
    assert [found.name for found in directory.search("HEALTHCARE")] == ["UnitedHealthcare", "UnitedHealthcare Dental"]
    assert [found.id for found in directory.search("medicare")] == ["CMS", "MBILU"]
    everything = directory.search(None)
    assert list(everything) == sorted(everything, key=lambda found: (found.name.casefold(), found.id))
    assert directory.search("  ") == everything
    assert directory.search("no such") == ()


def test_an_alias_of_two_payers_is_refused() -> None:
    with pytest.raises(DirectoryInvalid, match=r"'one' is an id or alias of two payers: 'P1' and 'P2'"):
        Directory([payer("P1", "First", "ONE"), payer("P2", "Second", " one ")])
    with pytest.raises(DirectoryInvalid, match="'p1'"):
        Directory([payer("P1", "First"), payer("P2", "Second", "p1")])


def test_an_empty_alias_is_refused() -> None:
    with pytest.raises(DirectoryInvalid, match="empty"):
        Directory([payer("P1", "First", " ")])


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
