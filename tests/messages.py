"""Messages for the tests of the dialects: one as it is, and any that strangers could cause."""

from datetime import UTC, datetime
from typing import Final, get_args

from hypothesis import strategies as st

from workshopdemo.model import Notice
from workshopdemo.notify.message import Kind, Message
from workshopdemo.notify.wire import Credentials

NOW: Final = datetime(2026, 3, 2, 2, 1, 0, tzinfo=UTC)

FAILURE: Final = Message(
    id="0b6c9d8e-54a1-5c2f-9a57-3f1de6a0c111",
    outcome="Failure",
    kind="CronJob",
    namespace="workshop",
    demo="bookshop",
    entry="nightly-report",
    thread="6a1f0a52-7d3e-4c39-8d0b-2f8c2e1a9b77",
    headline="nightly-report failed for the third time in a row",
    time="2026-03-02T02:00:41Z",
    job="bookshop-nightly-report-29540280",
    job_uid="11111111-2222-3333-4444-555555555555",
    scheduled="2026-03-02 03:00 Europe/Berlin (2026-03-02T02:00:00Z)",
    since="failing since 2026-02-28T02:00:40Z, last success 2026-02-27T02:00:12Z",
    first_failure="2026-02-28T02:00:40Z",
    failures=3,
    reason="BackoffLimitExceeded",
    why="every attempt failed, and backoffLimit allows no more",
    exit_code=1,
    node="worker-2",
    attempts=2,
    started="2026-03-02T02:00:00Z",
    finished="2026-03-02T02:00:41Z",
    duration="41 s",
    next_run="2026-03-03 03:00 Europe/Berlin (2026-03-03T02:00:00Z)",
    lesson="the lesson expects its runs to be: complete",
    log='connecting to bookshop-db-0 …\nrelation "sales" does not exist\nexit 1',
    commands=(
        "kubectl logs job/bookshop-nightly-report-29540280 -n workshop",
        "kubectl describe job bookshop-nightly-report-29540280 -n workshop",
    ),
)

HOSTILE: Final = (
    "<!channel> <!here|x> <@U123> <users/all> @here @channel *b* _i_ ~s~ `c` ``` </code><b>x</b>"
    " <a href='https://evil.example'>y</a> &amp; &lt; \x00\x1b[31m\ud800\u202e\u2066\u2028\r\n\"\\"
)

_texts = st.one_of(
    st.text(max_size=40),
    st.text(alphabet='<>&`"\\\n *@!/usersall\ud800\u202e🎉', max_size=300),
    st.builds(lambda piece, times: piece * times, st.text(min_size=1, max_size=5), st.just(5000)),
    st.builds(lambda text, times: text * times, st.just(HOSTILE), st.integers(1, 200)),
)
_times = st.one_of(
    st.sampled_from(["2026-03-02T02:00:41Z", "", "9999-12-31T23:59:59-14:00", "2026-W01-1T00:00Z"]),
    st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat()),
    _texts,
)
_maybe = st.none() | _texts

anything: Final = st.builds(
    Message,
    id=st.uuids().map(str) | _texts,
    outcome=st.sampled_from(get_args(Notice)),
    kind=st.sampled_from(get_args(Kind)),
    namespace=_texts,
    demo=_texts,
    entry=_texts,
    thread=_texts,
    headline=_texts,
    time=_times,
    job=_maybe,
    job_uid=_maybe,
    scheduled=_maybe,
    since=_maybe,
    first_failure=st.none() | _times,
    failures=st.integers(0, 10**9),
    reason=_maybe,
    why=_maybe,
    exit_code=st.none() | st.integers(-(2**31), 2**31),
    node=_maybe,
    attempts=st.integers(0, 10**9),
    started=_maybe,
    finished=_maybe,
    duration=_maybe,
    next_run=_maybe,
    lesson=_maybe,
    log=_texts,
    commands=st.lists(_texts, max_size=60).map(tuple),
    may_repeat=st.booleans(),
)
"""Any message at all: also what none of our own code would ever compose."""


def everywhere(text: str) -> Message:
    """A message with this text wherever one stands."""
    return Message(
        id=text, outcome="Failure", kind="Job", namespace=text, demo=text, entry=text, thread=text,
        headline=text, time=text, job=text, job_uid=text, scheduled=text, since=text,
        first_failure=text, reason=text, why=text, node=text, started=text, finished=text,
        duration=text, next_run=text, lesson=text, log=text, commands=(text,) * 60,
    )  # fmt: skip


def to(url: str) -> Credentials:
    """Credentials that are no more than a URL."""
    return Credentials(url=url)
