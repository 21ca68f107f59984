"""deploy/kind and docs/generate run as they are and are no packages: this imports their modules."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
KIND = ROOT / "deploy" / "kind"
GENERATE = ROOT / "docs" / "generate"


def load(name: str, folder: Path = KIND) -> ModuleType:
    """Import a module of that folder, leaving the search path as it was."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
