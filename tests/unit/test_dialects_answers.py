"""What strangers answer, in few words: whatever it is, a status can show it."""

import time
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshopdemo.notify.dialects import DIALECTS
from workshopdemo.notify.dialects.answers import LONGEST_WORDS, in_short, told
from workshopdemo.notify.wire import Answer, Dialect, Fate


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", ""),
        ("not today\n", "not today"),
        ("two\r\n\tlines\x00 \x1b[31mred\u202e", "two lines\ufffd \ufffd[31mred\ufffd"),
        ("<html><head><title>502 Bad\n Gateway</title></head><body>nginx", "502 Bad Gateway"),
        ("\ufeff\n <!DOCTYPE html><TITLE lang=en>Caf\u00e9 &amp; Bar</TITLE>", "Café & Bar"),
        ("<html><body>no title</body>", ""),
        ("<title>never closed", ""),
        ("<title", ""),
        ("<?xml version='1.0'?><Error><Code>Denied</Code></Error>", ""),
        ('"a JSON string"', "a JSON string"),
        ('{"error": "no such hook"}', "no such hook"),
        ('{"error": {"code": 403, "message": "not you"}}', "not you"),
        ('{"code": 601, "message": "body is required"}', "body is required"),
        ('{"detail": "Not found."}', "Not found."),
        ('{"error": {}, "message": "  ", "title": "Bad"}', "Bad"),
        ('{"a": 1}', '{"a": 1}'),
        ("[1, 2]", "[1, 2]"),
        ('{"message": "\\ud800 half"}', "\ufffd half"),
        ("{not json", "{not json"),
        ("9" * 5000, ""),
        ("[" * 60_000, ""),
    ],
)
def test_what_is_told_of_a_body(body: str, words: str) -> None:
    assert told(body) == words


def test_words_are_cut_between_words_only() -> None:
    """The rest of a secret would not be recognised as one."""
    secret = "https://hooks.example/T0/B0/" + "s3cr3t" * 10
    words = told("word " * 25 + secret)
    assert words == "word " * 25 + "…"
    assert in_short("x" * 161) == ""
    assert in_short("x" * 160) == "x" * 160


def test_a_hostile_page_takes_no_time() -> None:
    bodies = ["<title" * 11_000, "<title>" * 9_000, "<" * 65_536, "{" * 65_536, " " * 65_536]
    start = time.process_time()
    for body in bodies:
        assert len(told(body)) <= LONGEST_WORDS
    assert time.process_time() - start < 2


_bodies = st.one_of(
    st.text(max_size=400),
    st.sampled_from(["<title>", "<html>", "ok", '{"error":', '"', "x "]).map(lambda one: one * 99),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=200),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message"]), inner)
        ),
        max_leaves=5,
    ).map(lambda value: str(value).replace("'", '"')),
)


@settings(max_examples=100, deadline=None)
@given(
    dialect=st.sampled_from(get_args(Dialect)),
    code=st.none() | st.integers(100, 599),
    body=_bodies,
    retry_after=st.none() | st.floats(0, 86_400),
    problem=st.text(max_size=400),
)
def test_any_answer_has_a_meaning(
    dialect: Dialect, code: int | None, body: str, retry_after: float | None, problem: str
) -> None:
    answer = Answer(code=code, body=body, retry_after=retry_after, problem=problem)
    verdict = DIALECTS[dialect].judge(answer)
    assert verdict.fate in get_args(Fate)
    assert len(verdict.words) <= LONGEST_WORDS
    assert verdict.words.isprintable()
    assert "<html" not in verdict.words
    if verdict.fate == "Delivered":
        assert code is not None
        assert 200 <= code < 300
        assert verdict.words == ""
    if code is None or code == 429 or code in (408, 425):
        assert verdict.fate == "Retry"
    assert verdict.after in (None, retry_after)
