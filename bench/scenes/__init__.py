"""One module a scene: its name is the scene's, `TITLE` says what is played, `measure` plays it.

A module in this folder is all that a new scene needs.
"""

import importlib
import pkgutil
from typing import Any, Protocol

from figures import Figure
from ground import Ground


class Scene(Protocol):
    """A module of this package."""

    TITLE: str

    def measure(self, ground: Ground) -> list[Figure]:
        """Play it once."""
        ...


def load() -> dict[str, Scene]:
    """All scenes, by name."""
    found: dict[str, Any] = {
        module.name: importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    }
    return found
