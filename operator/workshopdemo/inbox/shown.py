"""What the inbox tells in JSON."""

from datetime import datetime

import msgspec

from workshopdemo.inbox import views
from workshopdemo.inbox.card import parts_text
from workshopdemo.inbox.faults import ActiveFault
from workshopdemo.inbox.markup import LONGEST
from workshopdemo.inbox.message import Alert, AlertState, Json, Message, Signature, rfc3339


class ShownFlip(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """When an alert became what; expired: nobody resolved it."""

    at: str
    state: AlertState
    expired: bool


class ShownAlert(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An alert as it stands."""

    state: AlertState
    starts_at: str
    ends_at: str
    received: int
    """How often it was posted."""

    flips: tuple[ShownFlip, ...]


class ShownSignature(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Of a webhook; verified is null where the inbox has no key."""

    count: int
    verified: bool | None


class ShownMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message, with its body as it was received."""

    id: int
    received: str
    last_received: str | None
    namespace: str
    demo: str
    target: str
    dialect: str
    event: str | None
    repeats: int
    thread: str | None
    title: str
    text: str
    headers: dict[str, str]
    alert: ShownAlert | None
    signature: ShownSignature | None
    body: msgspec.Raw


def message(stored: Message, now: datetime) -> ShownMessage:
    """A message, for people and programs."""
    card = views.card(stored, now)
    address = stored.address
    return ShownMessage(
        id=stored.id,
        received=rfc3339(stored.received),
        last_received=rfc3339(stored.last_received) if stored.last_received else None,
        namespace=address.namespace,
        demo=address.demo,
        target=address.target,
        dialect=address.dialect,
        event=stored.event,
        repeats=stored.repeats,
        thread=stored.thread,
        title=card.title,
        text=parts_text(card.parts)[:LONGEST],
        headers=dict(stored.headers),
        alert=_alert(stored, stored.alert, now) if stored.alert else None,
        signature=_signature(stored.signature) if stored.signature else None,
        body=msgspec.Raw(stored.body),
    )


def fault(active: ActiveFault) -> Json:
    """A fault as it was asked for, and how often it has happened."""
    return {"id": active.id, "used": active.used, **msgspec.to_builtins(active.fault)}


def fault_words(active: ActiveFault) -> str:
    """The same in a sentence, for the page."""
    wanted = active.fault
    who = " / ".join(name for name in wanted.filter if name) or "everybody"
    what = [f"after {wanted.delay:g} s" if wanted.delay else ""]
    if wanted.reset:
        what.append("the connection is reset")
    elif wanted.answers:
        what.append(f"the answer is {wanted.status or 200}")
    if wanted.after_storing:
        what.append("though the message is taken")
    if wanted.count is not None:
        what.append(f"{wanted.count - active.used} times more")
    return f"On purpose, for {who}: {', '.join(part for part in what if part)}"


def _alert(stored: Message, alert: Alert, now: datetime) -> ShownAlert:
    alert.settle(now)
    return ShownAlert(
        state=alert.state(now),
        starts_at=rfc3339(alert.starts),
        ends_at=rfc3339(alert.ends),
        received=stored.repeats + 1,
        flips=tuple(
            ShownFlip(at=rfc3339(flip.at), state=flip.state, expired=flip.expired)
            for flip in alert.flips
        ),
    )


def _signature(signature: Signature) -> ShownSignature:
    return ShownSignature(count=signature.count, verified=signature.verified)
