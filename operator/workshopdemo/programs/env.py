"""What a program is told: environment variables, read in one way, with errors for a person."""

import os
import re
from pathlib import Path

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class SettingError(ValueError):
    """A variable makes no sense; the text names it and says what would."""


def text(name: str, default: str = "") -> str:
    """Its value without blanks around it; one that is empty counts as not set."""
    return os.environ.get(name, "").strip() or default


def whole_number(name: str, *, default: int, at_least: int = 0) -> int:
    """A whole number, `at_least` or more."""
    value = text(name, str(default))
    if not (value.isascii() and value.isdecimal()) or int(value) < at_least:
        raise SettingError(f"{name} must be a whole number, {at_least} or more; it is {value!r}.")
    return int(value)


def plain_name(name: str, *, default: str) -> str:
    """A name that becomes a file's or directory's: nothing in it may lead elsewhere."""
    value = text(name, default)
    if not _PLAIN_NAME.fullmatch(value):
        raise SettingError(f"{name} must be letters, digits, '.', '_' and '-'; it is {value!r}.")
    return value


def data_directory() -> Path:
    """DATA_DIR, the demo's volume.

    It is not made when it is missing: then no volume is mounted there, and what is written would
    be gone with the Pod.
    """
    path = Path(text("DATA_DIR", "/data"))
    if not path.is_dir():
        raise SettingError(f"DATA_DIR is {path}, and no directory is there: is a volume mounted?")
    return path
