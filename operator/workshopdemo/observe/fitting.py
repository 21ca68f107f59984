"""Rows of nodes within the size of a status: what there is to say something of comes first."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from workshopdemo.model import (
    LogShippingStatus,
    NodeLogs,
    NodePods,
    ServiceDiscoveryStatus,
    UncoveredNode,
)

MOST_ROWS: Final = 200
"""Of a section's nodes; the CRD allows no more."""

_Row = TypeVar("_Row", NodeLogs, NodePods, UncoveredNode)
_Section = TypeVar("_Section", LogShippingStatus, ServiceDiscoveryStatus)
_Rank = tuple[bool, ...]


def size_of(value: object) -> int:
    """Bytes of something as JSON."""
    return len(msgspec.json.encode(value))


def fit_rows(section: _Section, room: int) -> _Section:
    """As many rows as fit into so many bytes; the totals stay those of all."""
    rows, uncovered = section.nodes, section.uncovered
    half = max(room // 2, room - size_of(rows))
    told = _first(uncovered, lambda one: (one.as_asked,), half)
    nodes = _first(rows, _unremarkable, room - size_of(told), MOST_ROWS)
    return msgspec.structs.replace(section, uncovered=told, nodes=nodes)


def _unremarkable(row: NodeLogs | NodePods) -> _Rank:
    return (not row.missing, row.complete) if isinstance(row, NodeLogs) else ()


def _first(
    rows: Sequence[_Row],
    rank: Callable[[_Row], _Rank],
    room: int,
    most: int | None = None,
) -> tuple[_Row, ...]:
    """The first rows by rank that fit, in the order they had."""
    if size_of(rows) <= room and (most is None or len(rows) <= most):
        return tuple(rows)
    ranked = sorted(range(len(rows)), key=lambda at: rank(rows[at]))
    kept = []
    for at in ranked[:most]:
        room -= size_of(rows[at]) + 1
        if room < 0:
            break
        kept.append(at)
    return tuple(rows[at] for at in sorted(kept))
