"""Configuration of the log shipper, an OpenTelemetry Collector: from a node's files to a receiver.

It is made so that no line is lost, whoever is killed when; some may arrive twice (at least once):

- What was read up to where is written down after the lines are in the queue, and the queue is on
  the node's disk: `SYNCHRONOUS` and `file_storage` see to it.
- Nothing of a line is held in memory between two looks at a file. A runtime cuts a long line into
  pieces; they are read as one, or not yet. That is why stdout and stderr have a reader each: their
  pieces stand in one file and can alternate.
- A full queue stops the reading; nothing is thrown away. The kubelet's files are then the buffer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from workshopdemo.logsql import PORT

Stream = Literal["stdout", "stderr"]

SYNCHRONOUS: Final = "--feature-gates=stanza.synchronousLogEmitter"
"""Argument of the collector, without which this configuration loses lines: it would write down how
far it has read while the last lines still wait in memory, up to 0.1 s, for the queue."""

NODE_NAME_ENV: Final = "K8S_NODE_NAME"
"""Environment variable with the node's name."""

HEALTH_PORT: Final = 13133
"""For probes: GET / answers 200 while the collector runs."""

_OTLP_PATH: Final = "/insert/opentelemetry/v1/logs"

_PIECES: Final = 8
"""So many pieces of 16 KiB are joined, 128 KiB, those that the other stream has in between counted.
A longer line arrives as several, none of it lost. A reader holds up to a hundred lines of each file
at a time, so this bounds its memory."""

_TOKEN_BYTES: Final = 256 * 1024
"""What is read as one at most; with any runtime's defaults, the pieces are less."""

_FILES_AT_ONCE: Final = 256

_QUEUE_BYTES: Final = 128 * 1024 * 1024
"""On the node's disk: what is written while the receiver is away."""


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Where the logs go: any that speaks OTLP over HTTP."""

    logs_url: str
    """The whole URL that logs are posted to."""

    ca_file: str | None = None
    """Authorities to trust instead of the system's."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are in the collector's container."""

    logs: str = "/var/log/pods"
    """The kubelet's directory."""

    state: str = "/var/lib/log-shipper"
    """Offsets and queue; has to outlive the Pod."""

    health: str = f":{HEALTH_PORT}"
    """Address and port to answer probes at."""


def aggregator(host: str, port: int = PORT) -> Receiver:
    """The built-in VictoriaLogs as a receiver."""
    return Receiver(logs_url=f"http://{host}:{port}{_OTLP_PATH}")


def otlp_http(endpoint: str, ca_file: str | None = None) -> Receiver:
    """A receiver by its base URL, to which OTLP adds a path of its own.

    Its headers are not in this configuration: see programs/header_values.
    """
    return Receiver(logs_url=f"{endpoint.rstrip('/')}/v1/logs", ca_file=ca_file)


def collector_config(
    *,
    namespace: str,
    receiver: Receiver,
    left_out: Sequence[str] = (),
    places: Places | None = None,
) -> dict[str, Any]:
    """The configuration, as data: its JSON is YAML, which the collector reads.

    Args:
        namespace: the only one whose logs are read.
        receiver: where they go.
        left_out: names of containers whose logs are not, whatever Pod they are in.
        places: of files and ports.
    """
    places = places or Places()
    streams: tuple[Stream, ...] = ("stdout", "stderr")
    readers = {
        f"file_log/{stream}": _reader(stream, namespace, left_out, places) for stream in streams
    }
    return {
        "extensions": _extensions(places),
        "receivers": readers,
        "processors": {
            # Has the readers wait while memory is short.
            "memory_limiter": {
                "check_interval": "1s",
                "limit_percentage": 80,
                "spike_limit_percentage": 20,
            }
        },
        "exporters": {"otlp_http": _exporter(receiver)},
        "service": {
            "extensions": ["file_storage", "health_check"],
            "pipelines": {
                "logs": {
                    "receivers": list(readers),
                    "processors": ["memory_limiter"],
                    "exporters": ["otlp_http"],
                }
            },
            # Nobody reads its metrics, and their port would be one more that is open.
            "telemetry": {"metrics": {"level": "none"}},
        },
    }


def _extensions(places: Places) -> dict[str, Any]:
    return {
        "file_storage": {
            "directory": _literal(places.state),
            "create_directory": True,
            # The kernel keeps what a killed process has written. Only a node that loses its power
            # may lose some, as it then loses what the runtime has written of the logs.
            "fsync": False,
            # A database that such an end has spoiled is laid aside, and all is read again.
            "recreate": True,
        },
        "health_check": {"endpoint": places.health},
    }


def _reader(
    stream: Stream, namespace: str, left_out: Sequence[str], places: Places
) -> dict[str, Any]:
    # A namespace's name has no `_`, so no other's directory begins like this.
    pods = f"{places.logs}/{namespace}_*"
    return {
        # The kubelet renames a full log to 0.log.<time>, and packs that at the next rotation.
        "include": [_literal(f"{pods}/*/*.log"), _literal(f"{pods}/*/*.log.*")],
        "exclude": [
            _literal(f"{pods}/*/*.gz"),
            _literal(f"{pods}/*/*.tmp"),
            *(_literal(f"{pods}/{container}/*") for container in left_out),
        ],
        "start_at": "beginning",
        "storage": "file_storage",
        "poll_interval": "200ms",
        "max_concurrent_files": _FILES_AT_ONCE,
        "include_file_path": True,
        "include_file_name": False,
        "multiline": {"line_end_pattern": _whole_line(stream)},
        "max_log_size": _TOKEN_BYTES,
        # For the last piece of a line whose writer died: then no end of it comes.
        "force_flush_period": "5s",
        "preserve_leading_whitespaces": True,
        "preserve_trailing_whitespaces": True,
        # A runtime cuts between any two bytes: only what is joined is UTF-8 again.
        "encoding": "utf-8-raw",
        # Anything that goes wrong behind the reader is tried again, for ever.
        "retry_on_failure": {"enabled": True, "max_interval": "5s", "max_elapsed_time": 0},
        "resource": {"k8s.node.name": f"${{env:{NODE_NAME_ENV}}}"},
        "operators": _operators(stream),
    }


def _other(stream: Stream) -> Stream:
    return "stderr" if stream == "stdout" else "stdout"


def _line_of(stream: Stream) -> str:
    return rf"[^ \n]* {stream} [^\n]*\n"


def _whole_line(stream: Stream) -> str:
    r"""Pattern of all pieces of one line of a stream, whatever the other stream has in between.

    A piece is `<time> <stream> P <text>`, the last one has F (Kubernetes' CRI). Anything else is a
    line of its own, the other stream's too; they are dropped later. No `$`: see `_literal`.
    """
    other = _other(stream)
    more = rf"(?:[^ \n]* (?:{stream} P|{other} )[^\n]*\n)"
    last = rf"[^ \n]* {stream} [^P\n][^\n]*\n"
    pieces = rf"{stream} P[^\n]*\n(?:{more}{{0,{_PIECES - 2}}}{last}|{more}{{{_PIECES - 1}}})"
    # The beginnings that all have in common stand once: this is what reading costs most.
    return (
        rf"\A[^ \n]*(?:\n| (?:{pieces}|{other} [^\n]*\n"
        r"|[^ \n]*(?: (?:[^P\n][^\n]*)?)?\n))"
    )


def _operators(stream: Stream) -> list[dict[str, Any]]:
    others = r'body matches "^[^ \\n]* stderr "'
    return [
        {
            "type": "filter",
            "id": "one-stream",
            # What is of no stream at all goes with stdout.
            "expr": others if stream == "stdout" else f"not ({others})",
        },
        {
            # Takes out each line break with what stands between two pieces.
            "type": "regex_replace",
            "id": "join",
            "field": "body",
            "regex": rf"\n(?:{_line_of(_other(stream))})*(?:[^ \n]* {stream} [PF][^ \n]* ?)?",
            "replace_with": "",
        },
        {
            # What is joined is whole.
            "type": "regex_replace",
            "id": "whole",
            "field": "body",
            "regex": rf"\A([^ ]* {stream}) P",
            "replace_with": _literal("${1} F"),
        },
        {"type": "sanitize_utf8", "id": "utf-8", "field": "body"},
        # Parses the time; takes namespace, Pod, container and restart from the file's path.
        {"type": "container", "id": "container"},
        {"type": "remove", "id": "no-path", "field": 'attributes["log.file.path"]'},
        {"type": "remove", "id": "no-tag", "field": "attributes.logtag", "on_error": "send_quiet"},
    ]


def _exporter(receiver: Receiver) -> dict[str, Any]:
    exporter: dict[str, Any] = {
        "logs_endpoint": _literal(receiver.logs_url),
        "timeout": "15s",
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "1s",
            "max_interval": "5s",
            "max_elapsed_time": 0,
        },
        "sending_queue": {
            "storage": "file_storage",
            "sizer": "bytes",
            "queue_size": _QUEUE_BYTES,
            "block_on_overflow": True,
            # So many requests are on their way at a time: what arrives twice after a kill.
            "num_consumers": 1,
        },
    }
    if receiver.ca_file is not None:
        exporter["tls"] = {"ca_file": _literal(receiver.ca_file)}
    return exporter


def _literal(text: str) -> str:
    """A text in which the collector finds nothing to put in: it reads `$$` as `$`."""
    return text.replace("$", "$$")
