"""Settings of the inbox: read once, at start-up, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from workshopdemo.errors import InvalidSpecError

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an administrator may set; the chart's values say what each means."""

    port: int = 8081
    log_level: str = "INFO"
    most_messages: int = 2000


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment.

    Raises:
        InvalidSpecError: a variable has a value that means nothing.
    """
    level = environment.get("WORKSHOPDEMO_LOG_LEVEL") or Settings.log_level
    if level not in _LEVELS:
        problem = f"{level!r} is none of {', '.join(_LEVELS)}"
        raise InvalidSpecError("WORKSHOPDEMO_LOG_LEVEL", problem)
    return Settings(
        port=_number(environment, "WORKSHOPDEMO_INBOX_PORT", Settings.port, 65535),
        log_level=level,
        most_messages=_number(
            environment, "WORKSHOPDEMO_INBOX_MAX_MESSAGES", Settings.most_messages, 100_000
        ),
    )


def _number(environment: Mapping[str, str], name: str, default: int, most: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal() or not 0 < int(value) <= most:
        raise InvalidSpecError(name, f"{value!r} is no number from 1 to {most}")
    return int(value)
