"""Which deliveries are under way, and what is tried when.

What is kept here is lost with the process; the ledger and the demos' statuses are enough to begin
anew.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from workshopdemo import names
from workshopdemo.addressbook import Address, AddressBook
from workshopdemo.courier.delivering import Delivering, Outcome
from workshopdemo.courier.line import PACED, Line, LineKey, Parcel
from workshopdemo.errors import ClusterError, RefusedAddressError, TargetConfigError
from workshopdemo.ledger import Ledger
from workshopdemo.model import Delivery, Target
from workshopdemo.names import DemoKey
from workshopdemo.notify.deliveries import Letter, LineState, alert_name, dialect_of
from workshopdemo.notify.message import Message
from workshopdemo.notify.pace import Pace, pause
from workshopdemo.notify.sender import Sender
from workshopdemo.notify.wire import TargetKind, TryState
from workshopdemo.queue import WorkQueue

logger = logging.getLogger(__name__)

LOOK_AGAIN: Final = 15.0
"""Seconds between looks at whether a refused target was corrected."""


class Courier:
    """Takes letters, and delivers each once to its target."""

    def __init__(
        self,
        *,
        queue: WorkQueue[LineKey],
        book: AddressBook,
        ledger: Ledger,
        sender: Sender,
        identity: str,
        tried: Callable[[TargetKind, TryState], None],
        wake: Callable[[DemoKey], None],
        clock: Callable[[], float],
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        """Begin with nothing.

        Args:
            queue: serves the lines; see `serve`.
            book: where targets are.
            ledger: what was sent before, and by whom.
            sender: makes the requests.
            identity: of this operator among others; the same after a crash of its process.
            tried: is told of each try to deliver, by kind of target, when it has ended.
            wake: asks for a look at a demo, of which a delivery has changed.
            clock: the event loop's time, in seconds.
            now: the time of day.
            rng: for the jitter of pauses.
        """
        self._queue = queue
        self._book = book
        self._sender = sender
        self._wake = wake
        self._clock = clock
        self._rng = rng
        self._delivering = Delivering(
            ledger=ledger,
            sender=sender,
            identity=identity,
            tried=tried,
            clock=clock,
            now=now,
            rng=rng,
        )
        self._lines: dict[str, dict[str, Line]] = {}
        """By UID of the demo and name of the target."""

        self._paces: dict[str, Pace] = {}

    def offer(
        self,
        demo: DemoKey,
        uid: str,
        targets: Sequence[Target],
        letters: Iterable[Letter],
        alerts: Mapping[str, Mapping[str, Message]],
    ) -> None:
        """Take over what is to be delivered, as a demo says it; what is known already goes on."""
        for target in targets:
            self._update(demo, uid, target, alerts.get(target.name, {}))
        wanted: set[str] = set()
        for letter in letters:
            wanted.add(letter.id)
            line = self._lines[uid][letter.target.name]
            if letter.id not in line.parcels:
                now = self._clock()
                line.parcels[letter.id] = Parcel(letter, now, now, letter.delivery)
                self._queue.wake(line.key)
        for line in self._lines_of(uid):
            line.retain(wanted)
        self._withdraw(uid, {target.name for target in targets})

    def current(self, uid: str) -> dict[str, Delivery]:
        """Deliveries of a demo as they stand now, by id."""
        return {
            identifier: parcel.delivery
            for line in self._lines_of(uid)
            for identifier, parcel in line.parcels.items()
        }

    def states(self, uid: str) -> dict[str, LineState]:
        """How a demo's targets do; one that was not tried yet is missing."""
        return {
            line.target.name: line.state for line in self._lines_of(uid) if line.state is not None
        }

    def leave(self, uid: str) -> None:
        """The demo is gone: deliver nothing more of it, but end its alerts."""
        self._withdraw(uid, set())

    async def finish(self) -> None:
        """The operator is to stop: begin no delivery any more, and end those under way."""
        await self._delivering.finish()

    async def serve(self, key: LineKey) -> float | None:
        """Try what is due on a line; gives the seconds until something is due again."""
        line = self._line(key)
        if line is None:
            return None
        now = self._clock()
        line.alerts.forget(now)
        due = line.due(now)
        if line.not_before > now or not (due or line.alerts.due <= now):
            return self._wait(line)
        before = line.picture()
        address = await self._address(line)
        if address is not None:
            await self._try(line, due, address)
        if line.picture() != before:
            self._wake(line.demo)
        return self._wait(line)

    def _wait(self, line: Line) -> float | None:
        """Seconds until something is due on a line; forgets one that nothing is left of."""
        if not line.parcels and not line.alerts.moments() and not line.is_wanted:
            self._drop(line)
        return line.wait(self._clock())

    def _lines_of(self, uid: str) -> list[Line]:
        return list(self._lines.get(uid, {}).values())

    def _line(self, key: LineKey) -> Line | None:
        return self._lines.get(key.demo_uid, {}).get(key.target)

    def _drop(self, line: Line) -> None:
        lines = self._lines.get(line.key.demo_uid, {})
        lines.pop(line.key.target, None)
        if not lines:
            self._lines.pop(line.key.demo_uid, None)

    def _update(
        self, demo: DemoKey, uid: str, target: Target, alerts: Mapping[str, Message]
    ) -> None:
        key = LineKey(uid, target.name)
        line = self._line(key)
        if line is None:
            line = Line(demo, uid, target)
            self._lines.setdefault(uid, {})[target.name] = line
        line.is_wanted = True
        if line.target != target:
            # Whatever was wrong may be right now.
            line.target, line.not_before, line.failures = target, self._clock(), 0
            self._make_due(line)
        if line.alerts.offer(alerts, self._clock()) or line.alerts.moments():
            self._queue.wake(key, after=max(line.alerts.due - self._clock(), 0.0))

    def _withdraw(self, uid: str, targets: Collection[str]) -> None:
        for line in self._lines_of(uid):
            if line.target.name in targets:
                continue
            line.is_wanted = False
            line.parcels.clear()
            if line.alerts.offer({}, self._clock()) or line.alerts.moments():
                self._queue.wake(line.key)
            else:
                self._drop(line)

    def _make_due(self, line: Line) -> None:
        for parcel in line.parcels.values():
            parcel.due = min(parcel.due, self._clock())
        self._queue.wake(line.key)

    async def _address(self, line: Line) -> Address | None:
        """Where to send; None if nothing can be sent now."""
        try:
            address = await self._book.look_up(line.demo.namespace, line.demo.name, line.target)
        except TargetConfigError as error:
            self._refuse(line, str(error))
            return None
        except ClusterError as error:
            self._hold(line, str(error))
            return None
        is_refused = line.state is not None and line.state.state == "Refused"
        if is_refused and (
            address.digest == line.refused or await self._is_still_refused(line, address)
        ):
            self._look_again_later(line)
            return None
        line.refused = None
        return address

    async def _is_still_refused(self, line: Line, address: Address) -> bool:
        """Whether our own guard refuses the address still; asked before anything is written."""
        try:
            await self._sender.check(
                address.credentials.url, address.kind, reveal_host=address.is_public
            )
        except RefusedAddressError as error:
            self._refuse(line, str(error))
            return True
        return False

    async def _try(self, line: Line, due: Sequence[Parcel], address: Address) -> None:
        if dialect_of(line.target) in PACED:
            url = names.digest(address.credentials.url)
            pace = self._paces.setdefault(url, Pace(self._clock))
            async with pace.turn():
                outcomes = await self._deliver(line, due, address)
                pace.hold(max((outcome.after or 0.0 for outcome in outcomes), default=0.0))
            self._paces = {url: pace for url, pace in self._paces.items() if not pace.is_idle()}
        else:
            outcomes = await self._deliver(line, due, address)
        if line.alerts.due <= self._clock():
            outcomes += await self._repeat_alerts(line, address)
        self._judge(line, address, outcomes)

    async def _deliver(self, line: Line, due: Sequence[Parcel], address: Address) -> list[Outcome]:
        outcomes = await asyncio.gather(
            *(self._delivering.deliver(line.uid, parcel, address) for parcel in due)
        )
        for parcel, outcome in zip(due, outcomes, strict=True):
            if outcome.fate == "Delivered" and dialect_of(line.target) == "Alertmanager":
                message = parcel.letter.message
                if parcel.letter.key == "Success":
                    line.alerts.calmed(message, self._clock())
                else:
                    line.alerts.fired(alert_name(parcel.delivery), message, self._clock())
        return list(outcomes)

    async def _repeat_alerts(self, line: Line, address: Address) -> list[Outcome]:
        outcomes = await self._delivering.repeat(line.alerts, address)
        if all(outcome.fate == "Delivered" for outcome in outcomes):
            line.alerts.told(self._clock())
        return outcomes

    def _judge(self, line: Line, address: Address, outcomes: Sequence[Outcome]) -> None:
        """What the answers say about the target itself."""
        by_fate = {outcome.fate: outcome for outcome in outcomes}
        if "TargetRefused" in by_fate:
            refusal = by_fate["TargetRefused"]
            # Nothing reaches the receiver until the address has changed. Where it was our own guard
            # that refused, no request was made, and what a name resolves to may change unseen.
            line.refused = None if refusal.is_ours else address.digest
            self._refuse(line, refusal.words)
        elif "Retry" in by_fate:
            failure = by_fate["Retry"]
            self._hold(line, failure.words, failure.after)
        elif "Delivered" in by_fate or "MessageRefused" in by_fate:
            line.failures = 0
            line.state = LineState(state="Delivering", message=None)

    def _hold(self, line: Line, words: str, after: float | None = None) -> None:
        """Try again after a pause: the receiver, or the way to it, may heal."""
        line.failures += 1
        wait = max(pause(line.failures, self._rng), after or 0.0)
        line.not_before = self._clock() + wait
        line.state = LineState(state="Retrying", message=words)
        logger.warning("%s: %s: %s; again in %.0f s", line.demo, line.key, words, wait)

    def _refuse(self, line: Line, words: str) -> None:
        if line.state is None or line.state.state != "Refused":
            logger.warning("%s: %s: %s", line.demo, line.key, words)
        line.state = LineState(state="Refused", message=words)
        self._look_again_later(line)

    def _look_again_later(self, line: Line) -> None:
        line.not_before = self._clock() + LOOK_AGAIN
