"""Settings of the operator: read once, at start-up, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from workshopdemo.errors import InvalidSpecError

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an administrator may set; the chart's values say what each means."""

    image: str
    """The operator's own image: the demos' programs run from it."""

    collector_image: str = ""
    """The OpenTelemetry Collector, with the components of its contrib distribution."""

    aggregator_image: str = ""
    """VictoriaLogs."""

    postgres_image: str = ""
    """PostgreSQL, with its server and client programs and a user 999 called postgres."""

    pull_policy: PullPolicy = "IfNotPresent"
    """Of the operator's own image."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; none means the whole cluster."""

    probe_port: int = 8080
    log_format: LogFormat = "text"
    log_level: LogLevel = "INFO"

    concurrency: int = 16
    """How many demos are reconciled at the same time."""

    resync_seconds: float = 300.0
    """How often each demo is looked at although nothing seems to have happened."""

    status_interval_seconds: float = 1.0
    """At most one status write per demo in this time."""

    identity: str = ""
    """Which operator this is, where two might run for a moment: the name of its Pod."""

    api_host: str = ""
    """Address of the API server's Service, as Kubernetes tells every Pod."""

    inbox_url: str = ""
    """Root of the inbox, such as http://workshop-demo-inbox.workshop-system.svc:80; empty: none."""

    demos_per_namespace: int = 0
    """So many demos of a namespace are served; 0: all."""

    exempt_namespaces: tuple[str, ...] = ()
    """Namespaces that this does not hold for."""

    allowed_hosts: tuple[str, ...] = ()
    """What demos' targets may reach although it is in the cluster or private: `host:port`,
    `*.domain:port` or `CIDR:port`; in the order in which the chart's values have them."""


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from the environment.

    Raises:
        InvalidSpecError: a variable is missing or has a value that means nothing.
    """
    return Settings(
        image=_image(environment, "WORKSHOPDEMO_IMAGE", "the operator's own image"),
        collector_image=_image(
            environment, "WORKSHOPDEMO_COLLECTOR_IMAGE", "the OpenTelemetry Collector's image"
        ),
        aggregator_image=_image(
            environment, "WORKSHOPDEMO_AGGREGATOR_IMAGE", "VictoriaLogs' image"
        ),
        postgres_image=_image(environment, "WORKSHOPDEMO_POSTGRES_IMAGE", "PostgreSQL's image"),
        pull_policy=cast(
            "PullPolicy", _choice(environment, "WORKSHOPDEMO_PULL_POLICY", get_args(PullPolicy))
        ),
        namespaces=tuple(sorted(set(_list(environment, "WORKSHOPDEMO_NAMESPACES")))),
        probe_port=_port(environment, "WORKSHOPDEMO_PROBE_PORT", Settings.probe_port),
        log_format=cast(
            "LogFormat", _choice(environment, "WORKSHOPDEMO_LOG_FORMAT", get_args(LogFormat))
        ),
        log_level=cast(
            "LogLevel", _choice(environment, "WORKSHOPDEMO_LOG_LEVEL", get_args(LogLevel))
        ),
        identity=environment.get("WORKSHOPDEMO_IDENTITY", "").strip(),
        api_host=environment.get("KUBERNETES_SERVICE_HOST", "").strip(),
        inbox_url=environment.get("WORKSHOPDEMO_INBOX_URL", "").strip().rstrip("/"),
        demos_per_namespace=_count(environment, "WORKSHOPDEMO_DEMOS_PER_NAMESPACE"),
        exempt_namespaces=_list(environment, "WORKSHOPDEMO_EXEMPT_NAMESPACES"),
        allowed_hosts=_list(environment, "WORKSHOPDEMO_ALLOWED_HOSTS"),
    )


_FIELD_OF = {
    "WORKSHOPDEMO_PULL_POLICY": "pull_policy",
    "WORKSHOPDEMO_LOG_FORMAT": "log_format",
    "WORKSHOPDEMO_LOG_LEVEL": "log_level",
}


def _list(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """What stands between commas."""
    found = (one.strip() for one in environment.get(name, "").split(","))
    return tuple(one for one in found if one)


def _image(environment: Mapping[str, str], name: str, what: str) -> str:
    image = environment.get(name, "").strip()
    if not image:
        raise InvalidSpecError(name, f"is not set: name {what}")
    return image


def _choice(environment: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environment.get(name, "") or str(getattr(Settings, _FIELD_OF[name]))
    if value not in choices:
        raise InvalidSpecError(name, f"{value!r} is none of {', '.join(choices)}")
    return value


def _count(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "") or "0"
    if not value.isdecimal():
        raise InvalidSpecError(name, f"{value!r} is no number from 0")
    return int(value)


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, "") or str(default)
    if not value.isdecimal() or not 0 < int(value) < 65536:  # noqa: PLR2004 - the TCP port range
        raise InvalidSpecError(name, f"{value!r} is no TCP port")
    return int(value)
