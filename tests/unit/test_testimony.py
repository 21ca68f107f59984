"""What a member says, read strictly: at its address may be anybody."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

# pytest takes whatever is called test… in here for a test.
from workshopdemo import testimony as spoken
from workshopdemo.programs import testimony as program
from workshopdemo.testimony import ENTRIES, BadTestimonyError

POD = "0c6f6a6e-6f4e-4c1a-9d37-5a3c2d0a7b11"


def entry(number: int, **more: Any) -> dict[str, Any]:
    words = {"number": number, "time": "2026-11-25T14:00:00Z", "node": "worker", "pod": POD}
    return words | {"checksum": f"{number:064x}"} | more


def answer(starts: int = 3, **more: Any) -> dict[str, Any]:
    """As the interface has it."""
    return {
        "member": "shop-database-1",
        "scenario": "Postgres",
        "node": "worker",
        "pod": POD,
        "identifier": "7412345678901234567",
        "starts": starts,
        "first": "2026-11-25T14:00:00Z",
        "intact": True,
        "entries": [entry(n) for n in range(max(1, starts - ENTRIES + 1), starts + 1)],
        "rows": 7,
        "role": "Replica",
        "streaming": True,
        "lagBytes": 0,
    } | more


def test_what_a_member_says_is_read() -> None:
    said = spoken.testimony(json.dumps(answer(25)).encode())
    assert (said.member, said.pod, said.starts, said.rows) == ("shop-database-1", POD, 25, 7)
    assert (said.role, said.streaming, said.lag_bytes) == ("Replica", True, 0)
    assert said.checksum_of(25) == f"{25:064x}"
    assert said.checksum_of(5) is None, "too old to be told"


def test_a_diary_says_less_and_a_later_version_may_say_more() -> None:
    words = answer(more={"of": ["what", "comes"]})
    for name in ("role", "streaming", "lagBytes"):
        del words[name]
    said = spoken.testimony(json.dumps(words).encode())
    assert (said.role, said.streaming, said.lag_bytes) == (None, None, None)


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"more": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b"9" * 100_000,
        json.dumps(answer()).encode() + b"x",
    ],
)
def test_what_is_no_such_object_is_refused(hostile: bytes) -> None:
    with pytest.raises(BadTestimonyError):
        spoken.testimony(hostile)


@pytest.mark.parametrize(
    "lie",
    [
        {"member": ""},
        {"member": "x" * 254},
        {"member": None},
        {"pod": 5},
        {"identifier": "a b"},
        {"identifier": "a\n"},
        {"identifier": "7" * 65},
        {"starts": -1},
        {"starts": True},
        {"starts": "3"},
        {"starts": 3.5},
        {"starts": float("nan")},
        {"starts": 2**31, "entries": [entry(2**31)]},
        {"rows": 2**31},
        {"rows": float("inf")},
        {"lagBytes": -1},
        {"lagBytes": 2**63},
        {"lagBytes": 1e400},
        {"first": "yesterday"},
        {"first": "2026-13-45T99:99:99Z"},
        {"first": "2026-11-25T14:00:00Z\n"},
        {"first": "٢٠٢٦-11-25T14:00:00Z"},
        {"first": "2026-11-25T14:00:00+01:00"},
        {"intact": "yes"},
        {"intact": 1},
        {"role": "Boss"},
        {"streaming": 0},
        {"entries": {}},
        {"entries": []},
        {"entries": [entry(n) for n in range(1, ENTRIES + 2)], "starts": ENTRIES + 1},
        {"entries": [entry(3), entry(2), entry(1)]},
        {"entries": [entry(1), entry(3)]},
        {"entries": [entry(1), entry(2)]},
        {"entries": [entry(2), entry(3, checksum="F" * 64)]},
        {"entries": [entry(2), entry(3, checksum="0" * 63)]},
        {"entries": [entry(2), entry(3, checksum="0" * 64 + "\n")]},
        {"entries": [entry(2), entry(3, time="now")]},
        {"entries": [entry(2), {"number": 3}]},
        {"entries": [[], []]},
        {"entries": "x" * 900_000},
    ],
    ids=lambda lie: str(lie)[:40].replace("\n", " "),
)
def test_what_cannot_be_so_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(BadTestimonyError) as raised:
        spoken.testimony(json.dumps(answer() | lie).encode())
    assert str(raised.value) == "", "no word of an answer gets into a sentence of ours"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("missing", ["member", "pod", "identifier", "starts", "first", "entries"])
def test_what_is_not_said_is_missed(missing: str) -> None:
    words = answer()
    del words[missing]
    with pytest.raises(BadTestimonyError):
        spoken.testimony(json.dumps(words).encode())


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(answer())), anything), st.binary(max_size=50))
def test_no_answer_does_harm(lies: dict[str, Any], tail: bytes) -> None:
    for hostile in (tail, json.dumps(answer() | lies).encode()):
        try:
            said = spoken.testimony(hostile)
        except BadTestimonyError:
            continue
        assert msgspec.json.encode(said)


def test_of_damaged_data_only_that_is_told() -> None:
    words = answer(intact=False, identifier="", first=None, entries=[entry(1, time="\x00?")])
    said = spoken.testimony(json.dumps(words).encode())
    assert (said.member, said.pod, said.intact) == ("shop-database-1", POD, False)
    assert (said.entries, said.first, said.identifier) == ((), None, "")


@pytest.mark.parametrize("count", [0, 1, ENTRIES, ENTRIES + 5])
def test_what_the_programs_say_is_what_the_operator_reads(count: int) -> None:
    place = program.Place(member="shop-diary-0", node="worker", pod=POD)
    entries: list[program.Entry] = []
    for number in range(1, count + 1):
        new = program.Entry(
            number=number, member=place.member, pod=POD, node="worker", time="2026-11-25T14:00:00Z"
        )
        entries.append(new.sealed(entries[-1].checksum if entries else ""))
    words = program.Testimony(
        place=place,
        scenario="Diary",
        identifier="abc",
        entries=entries,
        is_intact=True,
        rows=count,
    ).as_json()
    said = spoken.testimony(json.dumps(words).encode())
    assert (said.member, said.pod, said.starts, said.rows) == (place.member, POD, count, count)
    assert [one.number for one in said.entries] == [one.number for one in entries[-ENTRIES:]]
    assert said.checksum_of(count) == (entries[-1].checksum if entries else None)
