"""One delivery: claimed in the ledger, sent, judged, noted."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from workshopdemo.addressbook import Address
from workshopdemo.courier.alerts import AlertKeeper
from workshopdemo.courier.line import Parcel
from workshopdemo.errors import ClusterError, RefusedAddressError, TargetConfigError
from workshopdemo.ledger import Ledger
from workshopdemo.notify.dialects import DIALECTS, alertmanager
from workshopdemo.notify.marks import SETTLED, Mark
from workshopdemo.notify.pace import pause
from workshopdemo.notify.sender import Sender
from workshopdemo.notify.wire import (
    TRY_STATES,
    Answer,
    Fate,
    HttpRequest,
    TargetKind,
    TryState,
    Verdict,
)
from workshopdemo.notify.words import without_secrets
from workshopdemo.observe import format_time, parse_time

logger = logging.getLogger(__name__)

LEASE: Final = 60.0
"""Seconds after which another operator's claim that has not changed is taken over: it has died.
Twice as long as a request may take."""

_NOTE_TRIES: Final = 8
_NOTE_PAUSE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a try, for the line."""

    fate: Fate | None = None
    """None: nothing was sent."""

    words: str = ""
    after: float | None = None
    code: int | None = None
    is_ours: bool = False
    """Whether our own guard refused, so that no request was made."""


NOTHING: Final = Outcome()


class Delivering:
    """Makes deliveries."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        sender: Sender,
        identity: str,
        tried: Callable[[TargetKind, TryState], None],
        clock: Callable[[], float],
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._ledger = ledger
        self._tried = tried
        self._sender = sender
        self._identity = identity
        self._clock = clock
        self._now = now
        self._rng = rng
        self._is_closed = False
        self._under_way = 0
        self._ended = asyncio.Event()

    async def finish(self) -> None:
        """Begin nothing any more, and wait for what is under way: cut off, it would be repeated."""
        self._is_closed = True
        while self._under_way:
            self._ended.clear()
            await self._ended.wait()

    async def deliver(self, demo_uid: str, parcel: Parcel, address: Address) -> Outcome:
        """Try a delivery, unless the ledger says that it is made or that somebody else makes it."""
        if self._is_closed:
            return NOTHING
        parcel.is_under_way = True
        self._under_way += 1
        try:
            return await self._deliver(demo_uid, parcel, address)
        finally:
            parcel.is_under_way = False
            self._under_way -= 1
            self._ended.set()

    async def _deliver(self, demo_uid: str, parcel: Parcel, address: Address) -> Outcome:
        mark = self._ledger.mark(demo_uid, parcel.letter)
        if mark is not None and not self._may_send(parcel, mark, address):
            is_refused = mark.state == "refused" and mark.config == address.digest
            return (
                Outcome(fate="TargetRefused", words=mark.words or "", code=mark.code)
                if is_refused
                else NOTHING
            )
        claim = self._claim(parcel, mark)
        parcel.claims.append(claim)
        try:
            standing = await self._ledger.write(demo_uid, parcel.letter, mark, claim)
        except ClusterError as error:
            return Outcome(fate="Retry", words=f"the ledger cannot be written: {error}")
        if standing != claim:
            return NOTHING  # somebody was quicker; the next look reads what they wrote
        outcome, verdict_mark = await self._send(parcel, claim, address)
        if outcome.fate is not None:
            self._tried(address.kind, TRY_STATES[outcome.fate])
        await self._note(demo_uid, parcel, claim, verdict_mark)
        return outcome

    async def repeat(self, keeper: AlertKeeper, address: Address) -> list[Outcome]:
        """Tell an Alertmanager again what fires, and what has ended lately."""
        now, credentials = self._now(), address.credentials
        requests = [
            alertmanager.request(message, credentials, now) for message in keeper.firing.values()
        ]
        for ended in keeper.ended.values():
            make = alertmanager.request if ended.is_success else alertmanager.resolution
            requests.append(make(ended.message, credentials, now))
        return [(await self._exchange(request, address))[0] for request in requests]

    def _may_send(self, parcel: Parcel, mark: Mark, address: Address) -> bool:
        """Whether the mark leaves the delivery to us; takes over from it what it tells."""
        now = self._clock()
        if mark.state in SETTLED:
            _take_over(parcel, mark, "Delivered" if mark.state == "sent" else "Failed")
            return False
        if mark.state == "sending" and mark.by != self._identity:
            if parcel.foreign != mark:
                parcel.foreign, parcel.foreign_since = mark, now
            parcel.due = max(parcel.foreign_since + LEASE, now)
            return now >= parcel.foreign_since + LEASE
        if mark.state == "refused":
            if mark.config == address.digest:
                _take_over(parcel, mark, "Refused")
                return False
            return True
        if mark.state == "retry" and mark.due is not None and mark not in parcel.claims:
            # From before this process began: the pause goes on.
            left = (parse_time(mark.due) - self._now()).total_seconds()
            _take_over(parcel, mark, "Pending")
            parcel.claims.append(mark)
            parcel.due = now + max(left, 0.0)
            return left <= 0
        return True

    def _claim(self, parcel: Parcel, mark: Mark | None) -> Mark:
        moment = format_time(self._now())
        is_abandoned = mark is not None and mark.state == "sending" and mark not in parcel.claims
        return Mark(
            state="sending",
            by=self._identity,
            at=moment,
            attempts=parcel.delivery.attempts + 1,
            first=(mark.first if mark else None) or moment,
            # A claim that nobody noted the end of: the receiver may have the message.
            unsure=is_abandoned or (mark is not None and mark.unsure),
        )

    async def _send(self, parcel: Parcel, claim: Mark, address: Address) -> tuple[Outcome, Mark]:
        message = replace(parcel.letter.message, may_repeat=claim.unsure)
        request = DIALECTS[address.dialect].request(message, address.credentials, self._now())
        outcome, may_have_arrived = await self._exchange(request, address)
        latency = f"{(self._clock() - parcel.seen) * 1000:.0f}ms"
        mark = msgspec.structs.replace(
            claim, at=format_time(self._now()), code=outcome.code, words=outcome.words or None
        )
        attempts = claim.attempts
        match outcome.fate:
            case "Delivered":
                mark = msgspec.structs.replace(mark, state="sent", latency=latency, unsure=False)
                parcel.change(
                    state="Delivered",
                    code=outcome.code,
                    attempts=attempts,
                    latency=latency,
                    message=None,
                )
            case "Retry":
                wait = max(pause(attempts, self._rng), outcome.after or 0.0)
                parcel.due = self._clock() + wait
                due = format_time(self._now() + timedelta(seconds=wait))
                unsure = claim.unsure or may_have_arrived
                mark = msgspec.structs.replace(mark, state="retry", due=due, unsure=unsure)
                parcel.change(
                    state="Pending", code=outcome.code, attempts=attempts, message=outcome.words
                )
            case "TargetRefused":
                mark = msgspec.structs.replace(mark, state="refused", config=address.digest)
                if outcome.is_ours:
                    mark = msgspec.structs.replace(mark, state="retry", config=None)
                parcel.change(
                    state="Refused", code=outcome.code, attempts=attempts, message=outcome.words
                )
            case _:
                mark = msgspec.structs.replace(mark, state="failed")
                parcel.change(
                    state="Failed", code=outcome.code, attempts=attempts, message=outcome.words
                )
        return outcome, mark

    async def _exchange(self, request: HttpRequest, address: Address) -> tuple[Outcome, bool]:
        """Send a request; gives what it came to, and whether it may have arrived unanswered."""
        credentials = address.credentials
        try:
            answers = await self._sender.post(
                request, kind=address.kind, ca=credentials.ca, reveal_host=address.is_public
            )
        except (RefusedAddressError, TargetConfigError) as error:
            return Outcome(fate="TargetRefused", words=str(error), is_ours=True), False
        judge = DIALECTS[address.dialect].judge
        answer, verdict = _decisive([(answer, judge(answer)) for answer in answers])
        words = without_secrets(verdict.words, credentials)
        if verdict.fate != "Delivered" and answer.code is not None:
            words = f"HTTP {answer.code}" + (f": {words}" if words else "")
        outcome = Outcome(
            fate=verdict.fate,
            words="" if verdict.fate == "Delivered" else words,
            after=verdict.after,
            code=answer.code,
        )
        return outcome, verdict.fate == "Retry" and answer.code is None and answer.may_have_arrived

    async def _note(self, demo_uid: str, parcel: Parcel, claim: Mark, mark: Mark) -> None:
        """Note what became of it; tried for a while, since a forgotten note means a repeat."""
        for attempt in range(_NOTE_TRIES):
            try:
                await self._ledger.write(demo_uid, parcel.letter, claim, mark)
            except ClusterError as error:
                if attempt == _NOTE_TRIES - 1:
                    logger.warning("%s: %s", parcel.letter.message.demo, error)
                await asyncio.sleep(_NOTE_PAUSE * 2**attempt)
            else:
                parcel.claims.append(mark)
                return


def _decisive(answers: list[tuple[Answer, Verdict]]) -> tuple[Answer, Verdict]:
    """The answer that counts: of several replicas one that took it is enough."""
    order: list[Fate] = ["Delivered", "Retry", "TargetRefused", "MessageRefused"]
    return min(answers, key=lambda pair: order.index(pair[1].fate))


def _take_over(parcel: Parcel, mark: Mark, state: str) -> None:
    parcel.change(
        state=state,
        code=mark.code,
        attempts=mark.attempts,
        latency=mark.latency,
        message=mark.words,
    )
