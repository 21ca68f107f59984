"""The messages, in bounded memory that one noisy demo does not take from the others."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from workshopdemo.inbox.message import Address, Filter, Message

_OVERHEAD: Final = 2048
"""Bytes that a message takes beside what a stranger chooses the length of, generously."""

_MOST_ADDRESSES: Final = 5000
"""Counted; the one not heard of for longest is forgotten first."""


@dataclass(kw_only=True)
class Counts:
    """What has happened since the messages were last cleared."""

    stored: int = 0
    repeats: int = 0
    dropped: int = 0
    """Stored once, and gone since for want of room."""

    refused: dict[str, int] = field(default_factory=dict)
    """By status code; `reset` where the connection was closed without an answer."""

    def refuse(self, how: str) -> None:
        """One more was not taken, or its sender was told so."""
        self.refused[how] = self.refused.get(how, 0) + 1


def total(counts: Iterable[Counts]) -> Counts:
    """All together."""
    found = Counts()
    for one in counts:
        found.stored += one.stored
        found.repeats += one.repeats
        found.dropped += one.dropped
        for how, count in one.refused.items():
            found.refused[how] = found.refused.get(how, 0) + count
    return found


@dataclass
class _Share:
    """What one demo has in the store."""

    ids: dict[int, int] = field(default_factory=dict)
    """Size of each message by its id, the oldest first."""

    size: int = 0


class Store:
    """Everything that was received and is still there."""

    def __init__(self, *, most_messages: int, most_bytes: int) -> None:
        """Empty; neither bound is ever exceeded."""
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._messages: dict[int, Message] = {}
        self._by_event: dict[tuple[Address, str], int] = {}
        self._shares: dict[tuple[str, str], _Share] = {}
        self._counts: dict[Address, Counts] = {}
        self._size = 0
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size(self) -> int:
        """Bytes, as they are counted against the budget."""
        return self._size

    def next_id(self) -> int:
        """The id that the next message will have."""
        return self._last_id + 1

    def add(self, message: Message) -> None:
        """Keep a new message; the oldest of whoever has most makes room for it."""
        self._last_id += 1
        message.id = self._last_id
        self._messages[message.id] = message
        if message.event is not None:
            self._by_event[message.address, message.event] = message.id
        self._weigh(message)
        self.counts(message.address).stored += 1
        self._make_room(message.id)

    def repeat(self, message: Message, at: datetime) -> None:
        """It came again, and may have grown by it."""
        message.repeats += 1
        message.last_received = at
        self._weigh(message)
        self.counts(message.address).repeats += 1
        self._make_room(message.id)

    def find(self, address: Address, event: str) -> Message | None:
        """What was stored of the same event."""
        found = self._by_event.get((address, event))
        return None if found is None else self._messages[found]

    def select(self, wanted: Filter) -> list[Message]:
        """Those that are meant, the oldest first."""
        return [one for one in self._messages.values() if wanted.matches(one.address)]

    def clear(self, wanted: Filter) -> int:
        """Forget those that are meant, and their counts; gives how many messages went."""
        going = self.select(wanted)
        for message in going:
            self._remove(message)
        for address in [one for one in self._counts if wanted.matches(one)]:
            del self._counts[address]
        return len(going)

    def counts(self, address: Address) -> Counts:
        """Of one address, to be counted up."""
        counts = self._counts.pop(address, None) or Counts()
        self._counts[address] = counts
        if len(self._counts) > _MOST_ADDRESSES:
            del self._counts[next(iter(self._counts))]
        return counts

    def counted(self, wanted: Filter) -> Counts:
        """Of all addresses that are meant, together."""
        return total(one for address, one in self._counts.items() if wanted.matches(address))

    def demos(self) -> Iterator[tuple[str, str]]:
        """Namespace and name of those that have messages here."""
        return iter(sorted(self._shares))

    def _weigh(self, message: Message) -> None:
        share = self._shares.setdefault(_demo(message), _Share())
        texts = (message.body, message.event or "", *message.headers.values())
        size = _OVERHEAD + sum(map(len, texts))
        grown = size - share.ids.get(message.id, 0)
        share.ids[message.id] = size
        share.size += grown
        self._size += grown

    def _make_room(self, newest: int) -> None:
        """Drop the oldest of the fullest demo until all fits; what just came is never the one."""
        while len(self._messages) > self._most_messages:
            self._drop(newest, lambda share: len(share.ids) - (newest in share.ids))
        while self._size > self._most_bytes and len(self._messages) > 1:
            self._drop(newest, lambda share: share.size - share.ids.get(newest, 0))

    def _drop(self, newest: int, fullness: Callable[[_Share], int]) -> None:
        share = max(self._shares.values(), key=fullness)
        message = self._messages[next(one for one in share.ids if one != newest)]
        self._remove(message)
        self.counts(message.address).dropped += 1

    def _remove(self, message: Message) -> None:
        share = self._shares[_demo(message)]
        size = share.ids.pop(message.id)
        share.size -= size
        self._size -= size
        if not share.ids:
            del self._shares[_demo(message)]
        if message.event is not None:
            del self._by_event[message.address, message.event]
        del self._messages[message.id]


def _demo(message: Message) -> tuple[str, str]:
    return message.address.namespace, message.address.demo
