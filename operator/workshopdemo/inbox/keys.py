"""The keys with which webhooks are signed, as far as the inbox was told."""

from collections.abc import Sequence
from typing import Final

from workshopdemo.inbox.message import Address, Filter

_MOST_KEYS: Final = 100


class Keys:
    """By whose deliveries they are for."""

    def __init__(self) -> None:
        self._keys: dict[Filter, bytes] = {}

    def put(self, wanted: Filter, key: bytes | None) -> None:
        """Know a key from now on; None: know none.

        Raises:
            ValueError: there are too many.
        """
        if key is None:
            self._keys.pop(wanted, None)
            return
        if wanted not in self._keys and len(self._keys) >= _MOST_KEYS:
            raise ValueError(f"there are {_MOST_KEYS} signing secrets already: remove some first")
        self._keys[wanted] = key

    def of(self, address: Address) -> Sequence[bytes]:
        """Any of these may have signed."""
        return [key for wanted, key in self._keys.items() if wanted.matches(address)]

    def filters(self) -> list[Filter]:
        """For whom there are keys."""
        return list(self._keys)
