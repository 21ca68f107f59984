"""Answers → verdicts, as far as the receivers agree; what a stranger's answer says, in short."""

import html
import json
from collections.abc import Mapping
from typing import Final

from workshopdemo.notify.dialects.text import one_line
from workshopdemo.notify.wire import Answer, Fate, Verdict
from workshopdemo.observe.text import CUT

LONGEST_WORDS: Final = 160

_NO_REDIRECT: Final = "redirects are not followed: the URL must be the one that answers"
_OTHER_PAGE: Final = "a web page answered: the URL leads to something else"

_TIME_MAY_HEAL: Final = (408, 425, 429)
"""Request Timeout (RFC 9110), Too Early (RFC 8470), Too Many Requests (RFC 6585)."""

_THIS_MESSAGE: Final = (400, 409, 413, 415, 422)
"""What is wrong is what was sent; any other 4xx is about where it was sent, or by whom."""

_JSON_WORDS: Final = ("error", "message", "detail", "title", "error_description", "reason")


def by_status(answer: Answer) -> Verdict:
    """What an answer means by its status alone (RFC 9110)."""
    code = answer.code
    if code is None:
        return Verdict(fate="Retry", words=in_short(answer.problem))
    if is_success(answer):
        return Verdict(fate="Delivered")
    if 300 <= code < 400:  # noqa: PLR2004 - the class of redirects
        return Verdict(fate="TargetRefused", words=_NO_REDIRECT)
    fate = _fate(code)
    after = answer.retry_after if fate == "Retry" else None
    return Verdict(fate=fate, words=told(answer.body), after=after)


def is_success(answer: Answer) -> bool:
    """Whether the status says that all is well."""
    return answer.code is not None and 200 <= answer.code < 300  # noqa: PLR2004 - the class


def unless_page(answer: Answer) -> Verdict:
    """By its status; but an API that never answers with a web page is not there if one answers."""
    if is_success(answer) and is_page(answer.body):
        title = _title(answer.body)
        words = f"{_OTHER_PAGE}: {title}" if title.strip() else _OTHER_PAGE
        return Verdict(fate="TargetRefused", words=in_short(words))
    return by_status(answer)


def _fate(code: int) -> Fate:
    if code in _TIME_MAY_HEAL or not 400 <= code < 500:  # noqa: PLR2004 - the class
        return "Retry"
    return "MessageRefused" if code in _THIS_MESSAGE else "TargetRefused"


def told(body: str) -> str:
    """The words in an answer's body: of a web page its title, of JSON the message."""
    return in_short(_title(body) if is_page(body) else _message(parsed(body)) or body)


def in_short(text: str) -> str:
    """One line of at most `LONGEST_WORDS` characters.

    It is cut between words only: words are cleaned of secrets later, and half of one would not be
    recognised.
    """
    line = one_line(text)
    if len(line) <= LONGEST_WORDS:
        return line
    kept = line[: LONGEST_WORDS - len(CUT)].rpartition(" ")[0]
    return f"{kept} {CUT}" if kept else ""


def is_page(body: str) -> bool:
    """Whether it is HTML, or XML: a proxy's words, or those of some other server."""
    return body[:1024].lstrip("\ufeff \t\r\n").startswith("<")


def parsed(body: str) -> object:
    """The JSON value; None where there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def mapping(value: object) -> Mapping[str, object]:
    """The JSON object, or an empty one where there is something else."""
    return value if isinstance(value, dict) else {}


def _message(value: object) -> str:
    if isinstance(value, str):
        return value
    found = mapping(value)
    inner = mapping(found.get("error")).get("message")
    texts = [inner, *(found.get(name) for name in _JSON_WORDS)]
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _title(page: str) -> str:
    # No regular expression: a hostile page must not make one try again and again.
    start = page.lower().find("<title")
    opened = page.find(">", start)
    closed = page.find("<", opened)
    if -1 in (start, opened, closed):
        return ""
    return html.unescape(page[opened + 1 : closed])
