"""A receiver in the cluster, and what it says it has taken: the count that counts."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from kubernetes.client import ApiClient

SERVICE = "workshop-demo-inbox"
_IDENTIFIER = re.compile(r"\bid ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_JOB = re.compile(r"\bJob ([a-z0-9][-a-z0-9.]*[a-z0-9])[,\n]")
_HEADLINES = (
    ("Recovery", " works again after "),
    ("Success", " succeeded"),
    ("Failure", " failed"),
    ("Missed", " did not run "),
    ("Stuck", " cannot start"),
)


class About(NamedTuple):
    """What a message tells: to whom, of which Job, and how it ended."""

    target: str
    job: str
    outcome: str


@dataclass(frozen=True)
class Letter:
    """A message as the inbox has it."""

    about: About
    demo: str
    id: str
    """What the sender calls it, the same for each try."""

    text: str
    received: str
    """RFC 3339, of its first coming."""

    times: int
    """How often it came."""

    @property
    def may_repeat(self) -> bool:
        """Whether it says itself that it may have come before."""
        return "may be a repeat" in self.text.lower()


class Inbox:
    """An inbox, as far as one namespace's demos are concerned; the chart's if no other is named."""

    def __init__(
        self, api: ApiClient, system: str, namespace: str, service: str = SERVICE, port: int = 80
    ) -> None:
        self._api = api
        self._root = f"/api/v1/namespaces/{system}/services/http:{service}:{port}/proxy"
        self._namespace = namespace
        self._port = port
        self.host = f"{service}.{system}.svc"
        """Its name in the cluster."""

    def url(self, dialect: str, demo: str, target: str) -> str:
        """Where one could post to it, as if it were any receiver."""
        return f"http://{self.host}:{self._port}/{dialect}/{self._namespace}/{demo}/{target}"

    def messages(self, **names: str) -> list[dict[str, Any]]:
        """Messages in full, the oldest first."""
        found = self._ask("GET", "messages", names)
        assert not found["dropped"], "the inbox had no room for all messages"
        return list(found["messages"])

    def counts(self, **names: str) -> dict[str, Any]:
        """Totals: stored, repeats, refused by code."""
        return self._ask("GET", "counts", names)

    def letters(self, *targets: str, **names: str) -> list[Letter]:
        """Messages to these targets, or to all, in Slack's dialect or as webhooks."""
        found = [_letter(message) for message in self.messages(**names)]
        return [one for one in found if not targets or one.about.target in targets]

    def fails(self, **fault: Any) -> None:
        """Have something go wrong for this namespace; see the inbox's faults."""
        self._ask("POST", "faults", body=fault | {"namespace": self._namespace})

    def is_well(self) -> None:
        """Let nothing go wrong any more for this namespace."""
        self._ask("DELETE", "faults", {})

    def knows(self, secret: str, **names: str) -> None:
        """Have it check signatures with this key."""
        switch = {"signingSecret": secret, "namespace": self._namespace}
        self._ask("PUT", "settings", body=switch | names)

    def _ask(
        self,
        method: str,
        path: str,
        names: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        query = "" if names is None else "?" + urlencode({"namespace": self._namespace, **names})
        answer = self._api.call_api(
            method,
            f"{self._api.configuration.host}{self._root}/{path}{query}",
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body=body,
            _request_timeout=30,
        )
        return dict(json.loads(answer.read()))


def _letter(message: Mapping[str, Any]) -> Letter:
    data = message["body"].get("data") or {}
    text = f"{message['text']}\n"
    headline = data.get("headline") or message["title"].partition(" · ")[0]
    outcome = next(outcome for outcome, words in _HEADLINES if words in f"{headline} ")
    job = _JOB.search(text)
    identifier = _IDENTIFIER.search(text)
    return Letter(
        about=About(
            target=message["target"],
            job=data.get("job") or (job[1] if job else ""),
            outcome=data.get("outcome") or outcome,
        ),
        demo=message["demo"],
        id=message["event"] or (identifier[1] if identifier else ""),
        text=data.get("text") or text,
        received=message["received"],
        times=1 + message["repeats"],
    )


def tally(letters: Iterable[Letter]) -> Counter[About]:
    """How often each thing was told."""
    found: Counter[About] = Counter()
    for letter in letters:
        found[letter.about] += letter.times
    return found
