"""Logs of strangers: whatever they contain, what is told is bounded and readable."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshopdemo.observe.text import MAX_LINE, MAX_LINES, clean, shorten, shorten_middle


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("one\ntwo\n", "one\ntwo"),
        ("\x1b[31mred\x1b[0m plain", "red plain"),
        ("\x1b]0;title\x07text", "text"),
        ("10%\r50%\r100%\r\n", "100%"),
        ("a\tb", "a    b"),
        ("\n\n  \nlast", "last"),
        ("bell\x07 nul\x00", "bell\ufffd nul\ufffd"),
        ("left\u202eright", "left\ufffdright"),
        ("naïve 🎉 日本", "naïve 🎉 日本"),
        ("", ""),
    ],
)
def test_what_is_told(log: str, told: str) -> None:
    assert clean(log) == told


@given(st.text(max_size=400) | st.binary(max_size=400).map(lambda b: b.decode(errors="replace")))
def test_any_log_is_tamed(log: str) -> None:
    told = clean(log)
    lines = told.split("\n")
    assert len(lines) <= MAX_LINES
    assert all(len(line) <= MAX_LINE for line in lines)
    assert not any(unicodedata.category(c).startswith("C") for line in lines for c in line)
    assert clean(told) == told


def test_a_line_of_a_megabyte_is_cut_and_marked() -> None:
    told = clean("x" * 2**20)
    assert len(told) == MAX_LINE
    assert told.endswith("…")


@given(st.text(max_size=200), st.integers(3, 200))
def test_shortening_keeps_the_end_within_the_limit(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short.encode()) <= limit
    assert shorten(short, limit) == short
    if short != text:
        assert short.startswith("…")
        assert text.endswith(short[1:])


@given(st.text("abc ", max_size=60), st.integers(min_value=5, max_value=50))
def test_shortening_in_the_middle_keeps_both_ends_within_the_limit(text: str, limit: int) -> None:
    short = shorten_middle(text, limit)
    assert len(short) <= limit
    assert (short == text) == (len(text) <= limit)
    beginning, _, end = short.partition(" … ")
    assert text.startswith(beginning)
    assert text.endswith(end)
