"""The adapter to the API server: what an answer means."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from workshopdemo.cluster import Seen, api
from workshopdemo.cluster.counting import asked
from workshopdemo.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from workshopdemo.facts import WATCHED


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
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", lambda **_: transport)
    given["counted"] = []
    return given


def server(answer: dict[str, Any]) -> api.ApiServer:
    """Our side of it."""
    return api.ApiServer(lambda *counted: answer["counted"].append(counted))


def log_of(answer: dict[str, Any], text: str, status: int = 200) -> str | None:
    answer["response"] = httpx2.Response(status, text=text)
    return asyncio.run(server(answer).pod_log("n", "p", "c"))


def test_a_log_is_given_as_it_is(answer: dict[str, Any]) -> None:
    assert log_of(answer, "one\ntwo\n") == "one\ntwo\n"
    assert log_of(answer, "") == ""


def test_a_long_line_does_not_hide_the_end(answer: dict[str, Any]) -> None:
    written = ["x" * 1_000_000, *(f"line {number}" for number in range(5)), "end of log"]

    def kubelet(request: httpx2.Request) -> httpx2.Response:
        asked = request.url.params
        text = "\n".join(written[-int(asked["tailLines"]) :])
        return httpx2.Response(200, text=text[: int(asked["limitBytes"])])

    answer["response"] = kubelet
    assert asyncio.run(server(answer).pod_log("n", "p", "c")) == "line 3\nline 4\nend of log"


_LOG_FILE = "/var/log/pods/n_p_90f1f79c/main/0.log"


@pytest.mark.parametrize(
    "excuse",
    [
        f"unable to retrieve container logs for containerd://{'0a' * 32}",
        f'failed to try resolving symlinks in path "{_LOG_FILE}": lstat {_LOG_FILE}: no such file',
        f'failed to open log file "{_LOG_FILE}": open {_LOG_FILE}: no such file',
    ],
)
def test_the_kubelets_excuse_is_no_log(answer: dict[str, Any], excuse: str) -> None:
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
    answer: dict[str, Any], response: httpx2.Response, kind: type[ClusterError]
) -> None:
    answer["response"] = response
    manifest = {"kind": "Job", "metadata": {"name": "j", "namespace": "n"}}
    with pytest.raises(ClusterError) as raised:
        asyncio.run(server(answer).apply(manifest))
    assert type(raised.value) is kind
    assert "cannot apply Job j" in str(raised.value)


def test_only_slices_of_the_services_asked_for_are_listed(answer: dict[str, Any]) -> None:
    asked: list[httpx2.URL] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url)
        piece = {"metadata": {"name": "web-x"}, "endpoints": []}
        return httpx2.Response(200, json={"metadata": {}, "items": [piece]})

    answer["response"] = respond
    found = asyncio.run(server(answer).list_endpoint_slices("room", ["web", "db"]))
    assert [piece["metadata"]["name"] for piece in found] == ["web-x"]
    (url,) = asked
    assert url.path == "/apis/discovery.k8s.io/v1/namespaces/room/endpointslices"
    assert url.params["labelSelector"] == "kubernetes.io/service-name in (db,web)"


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
        asyncio.run(server(answer).post_event(event))
    assert {(one.method, one.url.path) for one in asked} == {
        ("POST", "/api/v1/namespaces/n/events")
    }
    assert json.loads(asked[0].content) == event
    answer["response"] = status(403, "no", causes=[{"reason": "NamespaceTerminating"}])
    with pytest.raises(NotFoundError):
        asyncio.run(server(answer).post_event(event))


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
        return asked, asyncio.run(server(answer).create(SECRET))
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


JOBS = WATCHED["jobs"]


def page(*items: dict[str, Any], more: str = "") -> httpx2.Response:
    metadata = {"resourceVersion": "900"} | ({"continue": more} if more else {})
    return httpx2.Response(200, json={"metadata": metadata, "items": list(items)})


def seen(number: int, **more: Any) -> dict[str, Any]:
    metadata = {"name": f"job-{number}", "namespace": "n", "uid": f"uid-{number}"}
    return {"metadata": metadata | {"resourceVersion": str(number)} | more}


def test_a_list_is_read_page_by_page_and_of_objects_their_metadata_only(
    answer: dict[str, Any],
) -> None:
    asked: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return page(seen(1), more="next") if len(asked) == 1 else page(seen(2, managedFields=[{}]))

    answer["response"] = respond
    found = asyncio.run(server(answer).list_seen(JOBS, "n"))
    assert found == [Seen("uid-1", 1, "n", "job-1"), Seen("uid-2", 2, "n", "job-2")]
    assert {one.url.path for one in asked} == {"/apis/batch/v1/namespaces/n/jobs"}
    assert {one.url.params["labelSelector"] for one in asked} == {JOBS.labels}
    assert [one.url.params.get("continue") for one in asked] == [None, "next"]
    assert all("as=PartialObjectMetadataList" in one.headers["Accept"] for one in asked)
    assert {int(one.url.params["limit"]) <= 500 for one in asked} == {True}


@pytest.mark.parametrize(
    ("plural", "path"),
    [
        ("workshopdemos", "/apis/workshopdemo.dev/v1alpha1/workshopdemos"),
        ("pods", "/api/v1/pods"),
        ("nodes", "/api/v1/nodes"),
    ],
)
def test_all_namespaces_are_listed_at_once(answer: dict[str, Any], plural: str, path: str) -> None:
    answer["response"] = lambda request: page(seen(1)) if request.url.path == path else status(404)
    (found,) = asyncio.run(server(answer).list_seen(WATCHED[plural], None))
    assert found.version == 1


def test_where_there_is_nothing_a_list_says_null(answer: dict[str, Any]) -> None:
    answer["response"] = httpx2.Response(200, json={"metadata": {}, "items": None})
    assert asyncio.run(server(answer).list_seen(JOBS, "n")) == []


@pytest.mark.parametrize(
    "response", [status(410, "expired"), httpx2.Response(200, text="<html>sorry</html>")]
)
def test_a_list_that_breaks_off_is_none(answer: dict[str, Any], response: httpx2.Response) -> None:
    answer["response"] = response
    with pytest.raises(UnavailableError, match="cannot list jobs"):
        asyncio.run(server(answer).list_seen(JOBS, None))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/nodes", ("list", "nodes")),
        ("GET", "/api/v1/namespaces/room/pods", ("list", "pods")),
        ("GET", "/api/v1/namespaces/room/pods/shop", ("get", "pods")),
        ("GET", "/api/v1/namespaces/room/pods/shop/log", ("get", "pods/log")),
        ("PATCH", "/apis/batch/v1/namespaces/room/jobs/shop", ("patch", "jobs")),
        ("DELETE", "/apis/batch/v1/namespaces/namespaces/jobs/jobs", ("delete", "jobs")),
        ("POST", "/api/v1/namespaces/room/events", ("create", "events")),
        (
            "PATCH",
            "/apis/workshopdemo.dev/v1alpha1/namespaces/room/workshopdemos/shop/status",
            ("patch", "workshopdemos/status"),
        ),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ("create", "selfsubjectaccessreviews"),
        ),
        ("GET", "/apis", ("get", "discovery")),
        ("GET", "/apis/workshopdemo.dev/v1alpha1", ("get", "discovery")),
        ("GET", "/k8s/clusters/c-1/api/v1/namespaces/room/pods", ("list", "pods")),
    ],
)
def test_a_request_is_counted_by_verb_and_kind(
    method: str, path: str, expected: tuple[str, str]
) -> None:
    assert asked(method, path) == expected


def test_each_request_is_counted_however_it_is_answered(answer: dict[str, Any]) -> None:
    def away(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    async def story() -> None:
        ours = server(answer)
        manifest = {"kind": "Job", "metadata": {"name": "j", "namespace": "n"}}
        responses = [httpx2.Response(200, json=manifest), status(409), away]
        for response in responses:
            answer["response"] = response
            with suppress(ClusterError):
                await ours.apply(manifest)
        answer["response"] = page(seen(1))
        await ours.list_seen(JOBS, None)

    asyncio.run(story())
    assert answer["counted"] == [
        ("patch", "jobs", "200"),
        ("patch", "jobs", "409"),
        ("patch", "jobs", "none"),
        ("list", "jobs", "200"),
    ]
