"""Asks members of StatefulSets who they are, beside the looks.

A demo's look hands in whom to ask and takes what was found, as with the surveyor. A change that a
watch tells of is asked about at once, and again until nothing moves; at rest seldom, as only what a
replica lags behind changes without one.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from workshopdemo.desks import Desks
from workshopdemo.errors import MemberError
from workshopdemo.names import DemoKey
from workshopdemo.observe import Hearing, MemberPod, Silence
from workshopdemo.queue import WorkQueue
from workshopdemo.testimony import Testimony

PAUSE: Final = 2.0
"""Seconds until members are asked again after something has changed, or while one is silent."""

REST: Final = 15.0
"""Seconds until members are asked again after nothing has."""


class Members(Protocol):
    """The members, as far as asking goes."""

    async def testimony(self, address: str) -> Testimony:
        """What the member at that address says.

        Raises:
            MemberError: it did not answer, or not sensibly.
        """


Order = tuple[MemberPod, ...]
"""Whom to ask."""


@dataclass
class _Desk:
    """What is known of a demo."""

    order: Order
    asked: Order = ()
    """The order by which was asked last."""

    hearing: Hearing | None = None


class Registrar:
    """Asks for all demos."""

    def __init__(
        self,
        *,
        queue: WorkQueue[DemoKey],
        members: Members,
        wake: Callable[[DemoKey], None],
        now: Callable[[], datetime],
    ) -> None:
        """Know nothing yet.

        Args:
            queue: of its own.
            members: asks members.
            wake: is told when there is news of a demo.
            now: the time of day.
        """
        self._members = members
        self._wake = wake
        self._now = now
        self._desks: Desks[Order, _Desk] = Desks(queue, _Desk)

    def offer(self, key: DemoKey, order: Order | None) -> Hearing | None:
        """Have these asked from now on, until it is offered None; gives what was found so far."""
        desk = self._desks.offer(key, order)
        return desk.hearing if desk is not None else None

    async def serve(self, key: DemoKey) -> float | None:
        """Ask once; gives the seconds until the next time, or None."""
        desk = self._desks.get(key)
        if desk is None:
            return None
        order, before = desk.order, desk.hearing or Hearing()
        is_new = desk.asked != order
        desk.asked = order
        answers = await asyncio.gather(*(self._ask(member) for member in order))
        if self._desks.get(key) is not desk or desk.order != order:
            return self._desks.again(key)
        hearing = self._heard(dict(zip(order, answers, strict=True)), before)
        is_news = hearing != desk.hearing
        if is_news:
            desk.hearing = hearing
            self._wake(key)
        return PAUSE if is_new or is_news or hearing.silent or hearing.idle else REST

    async def _ask(self, member: MemberPod) -> Testimony | MemberError:
        try:
            said = await self._members.testimony(member.address)
        except MemberError as error:
            return error
        if (said.member, said.pod) != (member.pod, member.uid):
            # Its address was another Pod's a moment ago.
            return MemberError("another Pod answers in the member's place")
        return said

    def _heard(
        self, answers: Mapping[MemberPod, Testimony | MemberError], before: Hearing
    ) -> Hearing:
        now = self._now()
        said = {
            member.uid: answer
            for member, answer in answers.items()
            if not isinstance(answer, MemberError)
        }
        silent = {
            member.uid: Silence(
                before.silent[member.uid].since if member.uid in before.silent else now, str(answer)
            )
            for member, answer in answers.items()
            if isinstance(answer, MemberError)
        }
        idle = {
            uid: before.idle.get(uid, now)
            for uid, answer in said.items()
            if answer.streaming is False
        }
        # Who said something before and is restarting now has still said it.
        kept = {uid: before.said[uid] for uid in silent if uid in before.said}
        return Hearing(said=kept | said, silent=silent, idle=idle)
