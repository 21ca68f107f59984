"""The Postgres scenario: the Pod of a member, what it reads, and the way to the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources as files
from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import StatefulSet, WorkshopDemo
from workshopdemo.plan.component import metadata
from workshopdemo.plan.meta import (
    SECCOMP,
    Manifest,
    container_security,
    field_env,
    http_probe,
    ordinary,
    resources,
)
from workshopdemo.settings import Settings
from workshopdemo.testimony import PORT, TESTIMONY_PATH

DATABASE: Final = "database"
"""Component."""

POSTGRES: Final = "postgres"
WITNESS: Final = "witness"
"""Containers of a member."""

POSTGRES_PORT: Final = 5432
USER: Final = "bookshop"
"""Role and database of the bookshop's programs."""

PASSWORD: Final = "password"  # noqa: S105 - the name of a key
REPLICATION_PASSWORD: Final = "replicationPassword"  # noqa: S105 - the name of a key

PASSWORDS: Final = (PASSWORD, REPLICATION_PASSWORD)
"""Keys of the Secret."""

POSTGRES_UID: Final = 999
"""The image's own user: PostgreSQL's programs refuse one that /etc/passwd does not have."""

SCRIPTS_DIRECTORY: Final = "/etc/database"
_SECRET_DIRECTORY: Final = "/etc/database-secret"  # noqa: S105 - a directory
_SOCKETS: Final = "/run/postgresql"
_DATA: Final = "/data"


@dataclass(frozen=True)
class DatabaseAccess:
    """The way to a demo's database, for the programs of its Jobs."""

    host: str
    secret: str
    config_map: str
    image: str

    @property
    def password(self) -> dict[str, Any]:
        """Where a container gets the password from."""
        return {"secretKeyRef": {"name": self.secret, "key": PASSWORD}}


def has_database(demo: WorkshopDemo) -> bool:
    """Whether the demo's StatefulSet is a database."""
    asked = demo.spec.stateful_set
    return asked is not None and asked.scenario == "Postgres"


def database_access(demo: WorkshopDemo, settings: Settings) -> DatabaseAccess | None:
    """The way to the demo's database, None if it has none."""
    if not has_database(demo):
        return None
    name = names.component_name(demo.name, DATABASE)
    return DatabaseAccess(name, name, name, settings.postgres_image)


def credentials(demo: WorkshopDemo) -> Manifest:
    """The Secret, without its passwords: they are made once, and are nobody's to plan."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(demo, DATABASE),
        "type": "Opaque",
    }


@cache
def scripts() -> Mapping[str, str]:
    """What runs in the containers of PostgreSQL's image, by file name."""
    directory = files.files("workshopdemo.programs") / POSTGRES
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(directory.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sh")
    }


def script_map(demo: WorkshopDemo) -> Manifest:
    """The ConfigMap with the scripts."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(demo, DATABASE),
        "data": dict(scripts()),
    }


def member_pod(
    asked: StatefulSet, settings: Settings, *, name: str, members: str
) -> dict[str, Any]:
    """The spec of a member's Pod.

    Args:
        asked: the section.
        settings: the operator's.
        name: of the StatefulSet, its Service, its Secret and its ConfigMap.
        members: name of the headless Service.
    """
    return ordinary() | {
        # The volume's files are this user's own; where storage gives them to a group at each
        # mount, that is done once: PostgreSQL refuses what a group may write.
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": POSTGRES_UID,
            "runAsGroup": POSTGRES_UID,
            "fsGroup": POSTGRES_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            **SECCOMP,
        },
        # A fast shutdown writes a checkpoint.
        "terminationGracePeriodSeconds": 30,
        "containers": [_postgres(asked, settings, name, members), _witness(settings, name)],
        "volumes": [
            {"name": "scripts", "configMap": {"name": name}},
            {"name": "secret", "secret": {"secretName": name}},
            _memory("sockets", "16Mi"),
            _memory("shm", "64Mi"),
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


def _postgres(asked: StatefulSet, settings: Settings, name: str, members: str) -> dict[str, Any]:
    answers = {"exec": {"command": ["pg_isready", "--quiet", f"--host={_SOCKETS}"]}}
    return {
        "name": POSTGRES,
        "image": asked.image or settings.postgres_image,
        "command": ["sh", f"{SCRIPTS_DIRECTORY}/start.sh"],
        "env": [
            field_env("MEMBER", "metadata.name"),
            {"name": "PGDATA", "value": f"{_DATA}/pgdata"},
            {"name": "PRIMARY_HOST", "value": f"{name}-0.{members}"},
        ],
        "ports": [{"name": POSTGRES, "containerPort": POSTGRES_PORT}],
        # A copy of the primary's data may take its time.
        "startupProbe": answers
        | {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 900},
        "readinessProbe": answers | {"periodSeconds": 5, "timeoutSeconds": 5},
        "livenessProbe": answers
        | {"periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6},
        "resources": asked.resources or resources("50m", "64Mi", "256Mi"),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "scripts", "mountPath": SCRIPTS_DIRECTORY, "readOnly": True},
            {"name": "secret", "mountPath": _SECRET_DIRECTORY, "readOnly": True},
            {"name": "sockets", "mountPath": _SOCKETS},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a mount of its own
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - likewise
        ],
    }


def _witness(settings: Settings, name: str) -> dict[str, Any]:
    return {
        "name": WITNESS,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["python3", "-m", "workshopdemo.programs.witness"],
        "env": [*witness_env(), {"name": "DATABASE_HOST", "value": name}],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": resources("10m", "32Mi", "128Mi"),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "secret", "mountPath": _SECRET_DIRECTORY, "readOnly": True},
            {"name": "sockets", "mountPath": _SOCKETS},
        ],
    }


def witness_env() -> list[dict[str, Any]]:
    """What a member is told of itself."""
    return [
        field_env("MEMBER", "metadata.name"),
        field_env("NODE_NAME", "spec.nodeName"),
        field_env("POD_UID", "metadata.uid"),
    ]


def answers_for_itself() -> dict[str, Any]:
    """A probe that is answered by who knows its own story."""
    return http_probe(TESTIMONY_PATH, "http")


def _memory(name: str, limit: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": limit}}
