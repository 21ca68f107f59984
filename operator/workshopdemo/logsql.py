"""Questions to the aggregator, in LogsQL, and what its answers say."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

PORT: Final = 9428
"""Of VictoriaLogs."""

QUERY_PATH: Final = "/select/logsql/query"

EMITTER_CONTAINER: Final = "log-emitter"

_NAMESPACE: Final = "k8s.namespace.name"
_POD: Final = "k8s.pod.name"
_CONTAINER: Final = "k8s.container.name"

# Kubernetes makes the names of Pods: what is longer is cut, and five characters are added.
_POD_PREFIX_LIMIT: Final = 58
_POD_SUFFIX: Final = "[a-z0-9]{5}"


@dataclass(frozen=True, kw_only=True)
class SeriesCount:
    """What arrived of the lines that one start of an emitter wrote."""

    pod: str
    series: str
    rows: int
    """Lines, those that arrived twice counted twice."""

    distinct: int
    highest: int
    """Of the numbers, which begin with 1: so many lines were written at least."""

    newest: datetime
    """When the newest of them was written."""


class BadAnswerError(ValueError):
    """Not what was asked for."""


def emitter_query(*, namespace: str, daemon_set: str, run: int) -> str:
    """Counts, for each Pod and series, what arrived of a run: `series_counts` reads the answer.

    Args:
        namespace: the demo's.
        daemon_set: name of the emitters' DaemonSet.
        run: the run, as its lines say it.
    """
    stream = _stream(
        namespace,
        f'"{_CONTAINER}"={_quoted(EMITTER_CONTAINER)}',
        _matching(_POD, _pods_pattern(daemon_set)),
    )
    return (
        f"{stream} _msg:={_quoted(f'run={run} series=')}*"
        ' | extract "series=<series> seq=<seq> of=" from _msg'
        # What somebody else has written into such a log does not spoil the answer.
        ' | filter series:~"^[0-9a-f]{8}$" seq:~"^[1-9][0-9]{0,6}$"'
        f' | stats by ("{_POD}", series)'
        " count() rows, count_uniq(seq) distinct, max(seq) highest, max(_time) newest"
    )


def job_query(*, namespace: str, job: str, pods: Collection[str] = ()) -> str:
    """The log of a Job: all its Pods' lines by time, in a column with the Job's name.

    Args:
        namespace: the demo's.
        job: its name.
        pods: the names of its Pods, if they are known. Without them they are found by the Job's
            name: where that is too long for a Pod's name, Pods of Jobs that begin alike are found
            too.
    """
    pattern = "|".join(map(_exactly, sorted(pods))) or _pods_pattern(job)
    column = _quoted(job)
    # `fields` comes last: for CSV, VictoriaLogs 1.52 takes the columns from there. When it has to
    # find them out and nothing matches, it crashes.
    return (
        f"{_stream(namespace, _matching(_POD, pattern))}"
        f" | sort by (_time) | rename _msg as {column} | fields {column}"
    )


def log_command(
    *, namespace: str, service: str, job: str, pods: Collection[str] = (), port: int = PORT
) -> str:
    """The command that prints the log of a Job from the aggregator, with nothing but kubectl.

    Args:
        namespace: the demo's.
        service: name of the aggregator's Service.
        job: the Job's name.
        pods: names of its Pods, see `job_query`.
        port: of the Service.
    """
    query = quote(job_query(namespace=namespace, job=job, pods=pods), safe="()*,:=~")
    # As CSV with a single column it reads like the log itself. `quote` leaves no quote mark.
    path = (
        f"/api/v1/namespaces/{quote(namespace, safe='')}"
        f"/services/{quote(service, safe='')}:{port}/proxy{QUERY_PATH}?format=csv&query={query}"
    )
    return f"kubectl get --raw '{path}'"


class _Row(msgspec.Struct, frozen=True):
    pod: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,252}\Z")] = msgspec.field(
        name=_POD
    )
    series: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}\Z")]
    rows: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}\Z")]
    distinct: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}\Z")]
    highest: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}\Z")]
    newest: datetime


def series_counts(answer: bytes) -> tuple[SeriesCount, ...]:
    """Read the answer to `emitter_query`: JSON objects, one a line, in any order.

    Raises:
        BadAnswerError: it is something else.
    """
    try:
        return tuple(_count(line) for line in answer.splitlines() if line.strip())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswerError(type(error).__name__) from None


def _count(line: bytes) -> SeriesCount:
    row = msgspec.json.decode(line, type=_Row)
    if row.newest.tzinfo is None:
        raise BadAnswerError("a time without a zone")
    return SeriesCount(
        pod=row.pod,
        series=row.series,
        rows=int(row.rows),
        distinct=int(row.distinct),
        highest=int(row.highest),
        newest=row.newest,
    )


def _pods_pattern(owner: str) -> str:
    """Pattern of the names of the Pods of a DaemonSet or Job; an Indexed Job's have an index."""
    prefix = f"{owner}-"
    if len(prefix) >= _POD_PREFIX_LIMIT:
        return f"{_exactly(prefix[:_POD_PREFIX_LIMIT])}{_POD_SUFFIX}"
    return f"{_exactly(prefix)}([0-9]+-)?{_POD_SUFFIX}"


def _exactly(name: str) -> str:
    """Pattern of a name; Go's patterns, unlike Python's, have no meaning for a `-` either way."""
    return re.escape(name).replace(r"\-", "-")


def _stream(namespace: str, *filters: str) -> str:
    """A filter of log streams. Its patterns match whole values."""
    return "{" + ",".join([f'"{_NAMESPACE}"={_quoted(namespace)}', *filters]) + "}"


def _matching(field: str, pattern: str) -> str:
    return f'"{field}"=~{_quoted(pattern)}'


def _quoted(text: str) -> str:
    """A string of LogsQL, which are those of Go: JSON's are among them."""
    return json.dumps(text)
