"""Target → where and with what credentials to send, read from Secrets at the time of sending."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import msgspec

from workshopdemo import names
from workshopdemo.cluster import Cluster
from workshopdemo.errors import TargetConfigError
from workshopdemo.model import FromSecret, HttpTarget, Target
from workshopdemo.notify.deliveries import dialect_of, kind_of
from workshopdemo.notify.dialects.webhook import key_problem
from workshopdemo.notify.wire import Credentials, Dialect, TargetKind
from workshopdemo.settings import Settings

_INBOX_PATHS: dict[Dialect, str] = {
    "Slack": "slack/services/{namespace}/{demo}/{target}",
    "GoogleChat": "googlechat/v1/spaces/{namespace}.{demo}/messages?target={target}",
    "Alertmanager": "alertmanager/{namespace}/{demo}/{target}",
    "Webhook": "webhook/{namespace}/{demo}/{target}",
}
"""Paths of the inbox, see `workshopdemo.inbox`."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A target that can be sent to."""

    kind: TargetKind
    dialect: Dialect
    credentials: Credentials
    digest: str
    """Changes whenever anything of this may have changed; tells nothing of the secrets."""

    is_public: bool
    """Whether the URL stands in the spec, where everybody may read it."""


class AddressBook:
    """Looks up addresses."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings

    async def look_up(self, namespace: str, demo: str, target: Target) -> Address:
        """The target's address as it is now.

        Raises:
            TargetConfigError: a Secret, a key of it or the inbox is not there.
            ClusterError: it cannot be read now.
        """
        kind, dialect = kind_of(target), dialect_of(target)
        secrets = _Secrets(self._cluster, namespace)
        credentials = await self._credentials(namespace, demo, target, secrets)
        settings = self._settings
        surroundings = [settings.inbox_url, settings.allowed_hosts]
        return Address(
            kind=kind,
            dialect=dialect,
            credentials=credentials,
            digest=names.digest([msgspec.to_builtins(target), secrets.versions, surroundings]),
            is_public=secrets.url_is_public,
        )

    async def _credentials(
        self, namespace: str, demo: str, target: Target, secrets: "_Secrets"
    ) -> Credentials:
        if target.inbox is not None:
            return self._inbox(namespace, demo, target, target.inbox.dialect)
        for chat in (target.slack, target.google_chat):
            if chat is not None:
                url = await secrets.value(chat.url_from)
                return Credentials(url=url, secrets=secrets.values)
        return await _http(target.alertmanager or target.webhook or HttpTarget(), secrets)

    def _inbox(self, namespace: str, demo: str, target: Target, dialect: Dialect) -> Credentials:
        if not self._settings.inbox_url:
            raise TargetConfigError(
                "the chart's inbox is switched off: its administrator can say inbox.enabled=true"
            )
        path = _INBOX_PATHS[dialect].format(namespace=namespace, demo=demo, target=target.name)
        return Credentials(url=f"{self._settings.inbox_url.rstrip('/')}/{path}")


async def _http(target: HttpTarget, secrets: "_Secrets") -> Credentials:
    secrets.url_is_public = target.url is not None
    url = target.url or await secrets.value(target.url_from)
    basic = None
    if target.basic_auth is not None:
        password = await secrets.value(target.basic_auth.password_from)
        basic = (target.basic_auth.username, password)
    bearer = await secrets.value(target.bearer_token_from) if target.bearer_token_from else None
    keys = [
        await _signing_key(source, secrets)
        for source in (target.signing_secret_from, target.previous_signing_secret_from)
        if source is not None
    ]
    authority = await secrets.value(target.ca_from) if target.ca_from else None
    return Credentials(
        url=url,
        basic=basic,
        bearer=bearer,
        ca=authority,
        signing=tuple(keys),
        secrets=secrets.values,
    )


async def _signing_key(source: FromSecret, secrets: "_Secrets") -> str:
    key = await secrets.value(source)
    problem = key_problem(key)
    if problem is not None:
        reference = source.secret_key_ref
        raise TargetConfigError(f"key {reference.key} of Secret {reference.name}: {problem}")
    return key


class _Secrets:
    """Reads Secrets of one namespace, each once."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._read: dict[str, dict[str, Any]] = {}
        self._values: list[str] = []
        self.url_is_public = False

    @property
    def versions(self) -> list[list[str]]:
        """Which versions of which Secrets were read."""
        return sorted(
            [name, body["metadata"]["uid"], body["metadata"]["resourceVersion"]]
            for name, body in self._read.items()
        )

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that was read."""
        return tuple(self._values)

    async def value(self, source: FromSecret | None) -> str:
        """A value, without the white space around it that editors and `echo` leave."""
        if source is None:
            raise TargetConfigError("it has neither url nor urlFrom")
        reference = source.secret_key_ref
        if reference.name not in self._read:
            body = await self._cluster.get("Secret", self._namespace, reference.name)
            if body is None:
                raise TargetConfigError(
                    f"there is no Secret {reference.name}: kubectl create secret generic "
                    f"{reference.name} -n {self._namespace} --from-literal={reference.key}=…"
                )
            self._read[reference.name] = body
        encoded = (self._read[reference.name].get("data") or {}).get(reference.key)
        if encoded is None:
            raise TargetConfigError(f"Secret {reference.name} has no key {reference.key}")
        try:
            value = base64.b64decode(encoded, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError):
            raise TargetConfigError(
                f"key {reference.key} of Secret {reference.name} is no text"
            ) from None
        if not value:
            raise TargetConfigError(f"key {reference.key} of Secret {reference.name} is empty")
        self._values.append(value)
        return value
