"""What was written and what arrived, counted: the arithmetic of log shipping."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

import msgspec

from workshopdemo.logsql import SeriesCount
from workshopdemo.model import Emitter, NodeLogs
from workshopdemo.observe.times import parse_time

_LINE: Final = re.compile(
    r"(?P<time>[-0-9]{10}T\S{8,40}) run=(?P<run>[1-9][0-9]{0,6}) series=(?P<series>[0-9a-f]{8})"
    r" seq=(?P<seq>[1-9][0-9]{0,6}) of=(?P<of>[1-9][0-9]{0,6}) "
)
"""The beginning of an emitter's line (programs/log_emitter), with the kubelet's time before it.

Whoever may run a command in its container may write there too: no number is larger than any that
an emitter may be asked for, and so the status always has room for it.
"""


@dataclass(frozen=True)
class LastLine:
    """The newest line that an emitter has written, by the kubelet."""

    series: str
    run: int
    seq: int
    of: int
    time: datetime

    @property
    def is_last(self) -> bool:
        """Whether it has written all it has to."""
        return self.seq >= self.of


@dataclass(frozen=True)
class EmitterPod:
    """A Pod that writes lines."""

    pod: str
    node: str
    restarts: int


@dataclass(frozen=True)
class Survey:
    """What was found when kubelets and aggregator were last asked."""

    last: Mapping[str, LastLine] = field(default_factory=dict)
    """By name of Pod."""

    ends: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The last line that was seen of each series before that, by name of Pod: who is started anew
    writes another series, and nobody else knows how far the one before had come."""

    received: tuple[SeriesCount, ...] | None = None
    """None: the aggregator was not heard yet."""

    gaps: Mapping[str, int] | None = None
    """Lines that have been missing for as long as counts, by name of Pod; None: not known yet."""

    trouble: str | None = None
    """Why the aggregator could not be asked."""

    unheard: datetime | None = None
    """Since when it could not."""

    def received_of(self, pod: str) -> Sequence[SeriesCount]:
        """What has arrived of a Pod's series."""
        return self._by_pod.get(pod, ())

    @cached_property
    def _by_pod(self) -> Mapping[str, Sequence[SeriesCount]]:
        found: dict[str, list[SeriesCount]] = defaultdict(list)
        for one in self.received or ():
            found[one.pod].append(one)
        return dict(found)


def parse_line(text: str | None) -> LastLine | None:
    """What an emitter's line tells, None if it is none."""
    found = _LINE.match(text or "")
    if found is None or int(found["seq"]) > int(found["of"]):
        return None
    try:
        time = parse_time(found["time"])
    except ValueError:
        return None
    return LastLine(
        series=found["series"],
        run=int(found["run"]),
        seq=int(found["seq"]),
        of=int(found["of"]),
        time=time,
    )


def newest_line(text: str | None) -> LastLine | None:
    """Of the last lines of an emitter's log, the one with the highest number; None if none is.

    It need not stand at the end: the runtime reads standard output and standard error beside each
    other, and what was written to one may get before what was written earlier to the other.
    """
    found = [line for one in (text or "").split("\n") if (line := parse_line(one)) is not None]
    series = found[-1].series if found else None
    own = (line for line in found if line.series == series)
    return max(own, key=lambda line: line.seq, default=None)


@dataclass(frozen=True)
class Tally:
    """How many lines of a Pod were written, and how many of them have arrived."""

    written: int
    received: int


def tallies(pods: Iterable[str], survey: Survey, run: int) -> dict[str, Tally]:
    """Count the lines of each Pod in that run."""
    return {pod: _tally(pod, survey, run) for pod in pods}


def _tally(pod: str, survey: Survey, run: int) -> Tally:
    own = survey.received_of(pod)
    last = survey.last.get(pod)
    if last is not None and last.run != run:
        return Tally(0, 0)  # the Pod of the run before, about to be replaced
    highest = {one.series: one.highest for one in own}
    if last is not None:
        ends = {**survey.ends.get(pod, {}), last.series: last.seq}
        for series, end in ends.items():
            highest[series] = max(highest.get(series, 0), end)
    return Tally(sum(highest.values()), sum(one.distinct for one in own))


def overdue(before: Mapping[str, Tally], now: Mapping[str, Tally]) -> dict[str, int]:
    """Lines of each Pod that were written by then and have not arrived by now, at least.

    What has arrived may be newer lines: that many are certainly missing, and once nothing more is
    written it is exact. Holes alone would tell less: two streams are read beside each other, and
    of the slower one many lines are always on their way.
    """
    nothing = Tally(0, 0)
    return {
        pod: max(before.get(pod, nothing).written - tally.received, 0) for pod, tally in now.items()
    }


def node_logs(
    emitter: EmitterPod, asked: Emitter, survey: Survey, told: NodeLogs | None, *, knows: bool
) -> NodeLogs:
    """The count of a node.

    Args:
        emitter: the Pod that writes there.
        asked: spec.logShipping.emitter.
        survey: what was found.
        told: what the status says of this very Pod in this run.
        knows: whether there is an aggregator to ask.
    """
    own = survey.received_of(emitter.pod)
    last = survey.last.get(emitter.pod)
    if last is not None and last.run != asked.run:
        last, own = None, []  # the Pod of the run before, about to be replaced
    counted = _tally(emitter.pod, survey, asked.run).written
    written = max(counted, told.written if told else 0)
    finished = _has_written_all(last, own, asked.lines)
    row = NodeLogs(
        node=emitter.node,
        emitter=emitter.pod,
        restarts=emitter.restarts,
        written=written,
        complete=finished,
    )
    if not knows:
        return row
    received, duplicate = _arrived(own, survey, told)
    before = (told.missing or 0) if told else 0
    missing = survey.gaps.get(emitter.pod, 0) if survey.gaps is not None else before
    return msgspec.structs.replace(
        row,
        complete=finished and received >= written,
        received=received,
        missing=min(missing, max(written - received, 0)),
        duplicate=duplicate,
        lag=_lag(last, own),
    )


def _has_written_all(last: LastLine | None, own: Sequence[SeriesCount], lines: int) -> bool:
    """Whether the kubelet or the aggregator has the last line of all.

    The kubelet says nothing of a log that it has just laid aside: what is written next stands in
    another file, and after the last line nothing is.
    """
    if last is None:
        return any(one.highest >= lines for one in own)
    arrived = max((one.highest for one in own if one.series == last.series), default=0)
    return max(last.seq, arrived) >= last.of


def _arrived(own: Sequence[SeriesCount], survey: Survey, told: NodeLogs | None) -> tuple[int, int]:
    """Lines that arrived, and those that did so again; as told before, if none was heard since."""
    if survey.received is None:
        return (told.received or 0, told.duplicate or 0) if told else (0, 0)
    received = sum(one.distinct for one in own)
    return received, max(sum(one.rows for one in own) - received, 0)


def _lag(last: LastLine | None, own: Sequence[SeriesCount]) -> str | None:
    """How far behind the aggregator is; None where nothing is under way."""
    newest = max((one.newest for one in own if one.newest), default=None)
    if last is None or newest is None or newest >= last.time:
        return None
    return f"{(last.time - newest).total_seconds():.0f}s"
