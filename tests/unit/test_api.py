"""The adapter to the API server: what an answer means."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from lightkube import AsyncClient

from workshopdemo.cluster import api
from workshopdemo.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """An API server that gives one answer to everything, or answers as a function does."""
    given: dict[str, Any] = {}
    kubeconfig = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {}}
    config = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}
    kubeconfig.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def respond(request: httpx2.Request) -> httpx2.Response:
        response = given["response"]
        return response(request) if callable(response) else response

    transport = httpx2.MockTransport(respond)
    monkeypatch.setattr(
        api, "AsyncClient", lambda config, **_: AsyncClient(config, transport=transport)
    )
    return given


def log_of(answer: dict[str, httpx2.Response], text: str, status: int = 200) -> str | None:
    answer["response"] = httpx2.Response(status, text=text)
    return asyncio.run(api.ApiServer().pod_log("n", "p", "c"))


def test_a_log_is_given_as_it_is(answer: dict[str, httpx2.Response]) -> None:
    assert log_of(answer, "one\ntwo\n") == "one\ntwo\n"
    assert log_of(answer, "") == ""


def test_a_long_line_does_not_hide_the_end(answer: dict[str, Any]) -> None:
    written = ["x" * 1_000_000, *(f"line {number}" for number in range(5)), "end of log"]

    def kubelet(request: httpx2.Request) -> httpx2.Response:
        asked = request.url.params
        text = "\n".join(written[-int(asked["tailLines"]) :])
        return httpx2.Response(200, text=text[: int(asked["limitBytes"])])

    answer["response"] = kubelet
    assert asyncio.run(api.ApiServer().pod_log("n", "p", "c")) == "line 3\nline 4\nend of log"


_LOG_FILE = "/var/log/pods/n_p_90f1f79c/main/0.log"


@pytest.mark.parametrize(
    "excuse",
    [
        f"unable to retrieve container logs for containerd://{'0a' * 32}",
        f'failed to try resolving symlinks in path "{_LOG_FILE}": lstat {_LOG_FILE}: no such file',
        f'failed to open log file "{_LOG_FILE}": open {_LOG_FILE}: no such file',
    ],
)
def test_the_kubelets_excuse_is_no_log(answer: dict[str, httpx2.Response], excuse: str) -> None:
    assert log_of(answer, excuse) is None
    assert log_of(answer, f"{excuse}\nand more") is not None, "a program may quote it"


def status(code: int, message: str = "", **details: object) -> httpx2.Response:
    body = {"kind": "Status", "code": code, "message": message, "details": details}
    headers = {"Content-Type": "application/json"}
    return httpx2.Response(code, content=json.dumps(body), headers=headers)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (status(403, "no"), ForbiddenError),
        (status(403, "no", causes=[{"reason": "NamespaceTerminating"}]), NotFoundError),
        (status(404), NotFoundError),
        (status(409), ConflictError),
        (status(422), RejectedError),
        (status(429), UnavailableError),
        (status(500), UnavailableError),
        (httpx2.Response(503, text="starting"), UnavailableError),
    ],
)
def test_a_refusal_has_one_meaning(
    answer: dict[str, httpx2.Response], response: httpx2.Response, kind: type[ClusterError]
) -> None:
    answer["response"] = response
    manifest = {"kind": "Job", "metadata": {"name": "j", "namespace": "n"}}
    with pytest.raises(ClusterError) as raised:
        asyncio.run(api.ApiServer().apply(manifest))
    assert type(raised.value) is kind
    assert "cannot apply Job j" in str(raised.value)


def test_only_slices_of_the_services_asked_for_are_listed(answer: dict[str, Any]) -> None:
    asked: list[httpx2.URL] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url)
        piece = {"metadata": {"name": "web-x"}, "endpoints": []}
        return httpx2.Response(200, json={"metadata": {}, "items": [piece]})

    answer["response"] = respond
    found = asyncio.run(api.ApiServer().list_endpoint_slices("room", ["web", "db"]))
    assert [piece["metadata"]["name"] for piece in found] == ["web-x"]
    (url,) = asked
    assert url.path == "/apis/discovery.k8s.io/v1/namespaces/room/endpointslices"
    assert url.params["labelSelector"] == "kubernetes.io/service-name in (db,web)"


def test_a_child_carries_both_labels_to_be_listed(answer: dict[str, Any]) -> None:
    asked: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params["labelSelector"])
        return httpx2.Response(200, json={"metadata": {}, "items": []})

    async def listed() -> list[Any]:
        return [one async for one in api.ApiServer().list_children("Job", None)]

    answer["response"] = respond
    assert asyncio.run(listed()) == []
    # What only one of them is on would belong to a demo without a name, or without an identity.
    assert asked == ["workshopdemo.dev/demo-uid,workshopdemo.dev/demo"]


def test_an_event_that_is_there_already_is_not_posted_anew(answer: dict[str, Any]) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "shop.1", "namespace": "n"},
        "reason": "JobFailed",
    }
    asked: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return status(409, 'events "shop.1" already exists') if len(asked) > 1 else created

    created = httpx2.Response(201, json=event)
    answer["response"] = respond
    for _ in range(2):
        asyncio.run(api.ApiServer().post_event(event))
    assert {(one.method, one.url.path) for one in asked} == {
        ("POST", "/api/v1/namespaces/n/events")
    }
    assert json.loads(asked[0].content) == event
    answer["response"] = status(403, "no", causes=[{"reason": "NamespaceTerminating"}])
    with pytest.raises(NotFoundError):
        asyncio.run(api.ApiServer().post_event(event))


SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "shop-database", "namespace": "n", "labels": {"a": "b"}},
    "type": "Opaque",
    "stringData": {"password": "s3cret"},
}


def create(answer: dict[str, Any], *responses: httpx2.Response) -> tuple[list[Any], Any]:
    """What is asked of the API server that answers so, and what comes of it."""
    asked: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return responses[len(asked) - 1]

    answer["response"] = respond
    try:
        return asked, asyncio.run(api.ApiServer().create(SECRET))
    except ClusterError as error:
        return asked, error


def test_what_is_created_is_given_as_it_is_now(answer: dict[str, Any]) -> None:
    made = {**SECRET, "metadata": {**SECRET["metadata"], "uid": "1"}}
    (asked,), found = create(answer, httpx2.Response(201, json=made))
    assert (asked.method, asked.url.path) == ("POST", "/api/v1/namespaces/n/secrets")
    assert json.loads(asked.content) == SECRET
    assert found == made


def test_what_somebody_else_made_first_is_given_instead(answer: dict[str, Any]) -> None:
    theirs = {"metadata": {"name": "shop-database", "namespace": "n", "uid": "theirs"}}
    taken = status(409, 'secrets "shop-database" already exists')
    asked, found = create(answer, taken, httpx2.Response(200, json=theirs))
    assert [one.method for one in asked] == ["POST", "GET"]
    assert found == theirs


def test_what_was_there_a_moment_ago_is_a_conflict(answer: dict[str, Any]) -> None:
    _, found = create(answer, status(409, "already exists"), status(404))
    assert isinstance(found, ConflictError)
    assert "cannot create Secret shop-database" in str(found)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (status(403, "exceeded quota"), ForbiddenError),
        (status(403, "no", causes=[{"reason": "NamespaceTerminating"}]), NotFoundError),
        (status(422, "invalid"), RejectedError),
        (httpx2.Response(503, text="starting"), UnavailableError),
    ],
)
def test_what_cannot_be_created_is_told_without_its_content(
    answer: dict[str, Any], response: httpx2.Response, kind: type[ClusterError]
) -> None:
    _, found = create(answer, response)
    assert type(found) is kind
    assert "s3cret" not in repr(found)
    assert found.__cause__ is None
