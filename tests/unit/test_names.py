"""Names of children: legal, readable, and never the same for two."""

import re

from hypothesis import given
from hypothesis import strategies as st

from workshopdemo import names

LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
legal = st.from_regex(LABEL, fullmatch=True).filter(lambda text: len(text) <= 63)


@given(legal, legal.filter(lambda text: len(text) <= 40), st.integers())
def test_a_job_name_leaves_room_for_its_pods(demo: str, entry: str, run: int) -> None:
    name = names.job_name(demo, entry, [demo, entry, run])
    assert LABEL.match(name)
    assert len(name) + len("-99-abcde") <= 63


def test_a_short_name_is_readable_whole() -> None:
    assert names.job_name("bookshop", "migrate", [1]).startswith("bookshop-migrate-")


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_hashes_differ_when_identities_do(left: list[str], right: list[str]) -> None:
    assert (names.short_hash(left) == names.short_hash(right)) == (left == right)


def test_the_hash_is_the_same_on_every_machine() -> None:
    assert names.short_hash(["demo", 1, None]) == names.short_hash(["demo", 1, None])
    assert re.fullmatch(r"[bcdfghjklmnpqrstvwxz2456789]{6}", names.short_hash("x"))
