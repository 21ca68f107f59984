"""deploy/kind is a directory that runs, not a package: this imports a module of it for a test."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

KIND = Path(__file__).resolve().parents[2] / "deploy" / "kind"


def load(name: str) -> ModuleType:
    """Import deploy/kind/<name>.py, leaving the search path as it was."""
    sys.path.insert(0, str(KIND))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(KIND))
