"""One look at a demo: what it is about, and what comes up on the way."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workshopdemo.errors import ClusterError
from workshopdemo.model import LogShippingStatus, Status, WorkshopDemo
from workshopdemo.observe import Absence, LogWanted, Transition
from workshopdemo.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A status that is to be written."""

    metadata: dict[str, Any]
    """Of the demo as it was when this was seen."""

    told: Status
    """The status that the demo had then."""

    status: Status
    ended: tuple[str, ...] = ()
    """UIDs of Jobs that are gone, whose end this tells."""

    gone: frozenset[str] = frozenset()
    """UIDs of children that were gone already: what is known of them is told by this."""


@dataclass
class Memory:
    """What is known of a demo beside its status: nothing that may not be lost."""

    logs: dict[str, str] = field(default_factory=dict)
    """Logs read, by UID of Pod, as long as the Pod is there."""

    whole: set[str] = field(default_factory=set)
    """UIDs of Pods whose log was read when nothing could be added to it any more."""

    removed: set[str] = field(default_factory=set)
    """UIDs of Pods whose removal was posted."""

    checked: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Version and intent of each child that was found to be as planned, by its UID."""

    absent: dict[Absence, datetime] = field(default_factory=dict)
    """What log shipping has no Pod for, and since when that was seen."""

    shipping: LogShippingStatus | None = None
    """What was last seen of log shipping: of very many nodes, the status has not all rows."""

    agentless: dict[str, datetime] = field(default_factory=dict)
    """Nodes without an agent, and since when that was seen."""

    credentials_until: float = float("-inf")
    """The Secret of the demo's database need not be looked for until then."""

    retained: bool = False
    """Whether claims of its members were to stay when it was last seen."""

    demo_uid: str | None = None
    """Whose it is."""

    leave_until: float = float("-inf")
    """The demo or its namespace is going: leave it alone until then."""

    written: float = float("-inf")
    """When its status was last written."""

    draft: Draft | None = None
    """The status that is to be written next."""

    def has_read(self, wanted: LogWanted) -> bool:
        """Whether all of this log was read already."""
        return wanted.pod_uid in self.whole

    def remember(self, wanted: LogWanted, log: str) -> None:
        """Keep a log that was read. An end that cannot be read does not replace what was."""
        if log or (wanted.is_final and wanted.pod_uid not in self.logs):
            self.logs[wanted.pod_uid] = log
        if wanted.is_final:
            self.whole.add(wanted.pod_uid)

    def note_absent(self, absent: Iterable[Absence], now: datetime) -> None:
        """Keep since when each of these is absent, and forget what is there again."""
        self.absent = {what: self.absent.get(what, now) for what in absent}

    def note_agentless(self, nodes: Iterable[str], now: datetime) -> None:
        """The same of nodes without an agent."""
        self.agentless = {node: self.agentless.get(node, now) for node in nodes}

    def gone(self, uids: Collection[str]) -> frozenset[str]:
        """Children that something is known of, other than these."""
        known = self.logs.keys() | self.checked.keys() | self.whole | self.removed
        return frozenset(known - set(uids))

    def forget(self, uids: Collection[str]) -> None:
        """Forget what is known of children that are gone."""
        self.whole -= set(uids)
        self.removed -= set(uids)
        for uid in uids:
            self.logs.pop(uid, None)
            self.checked.pop(uid, None)


@dataclass
class Look:
    """A look under way."""

    demo: WorkshopDemo
    plan: Plan
    memory: Memory
    problems: dict[tuple[str, str], ClusterError] = field(default_factory=dict)
    """Why a child could not be written, by its kind and name: told on the status."""

    troubles: list[ClusterError] = field(default_factory=list)
    """What else could not be done or asked now: it is logged, and tried again."""

    look_again: float | None = None
    """Seconds until something is known that no watch tells of; see `again_in`."""

    events: list[Transition] = field(default_factory=list)
    """What was done that the status does not tell."""

    def again_in(self, seconds: float) -> None:
        """Look again in so many seconds, or earlier if that was asked before."""
        if self.look_again is None or seconds < self.look_again:
            self.look_again = seconds

    def raise_if_retriable(self) -> None:
        """Ask for another look soon, if time may heal what went wrong.

        Raises:
            ClusterError: the first that may be healed.
        """
        for error in (*self.problems.values(), *self.troubles):
            if error.retriable:
                raise error
