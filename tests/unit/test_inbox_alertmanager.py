"""The inbox as Alertmanager: answers as a real 0.34.2 gave them, and an alert's life."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from inbox_peer import ALERTS, Peer, running
from workshopdemo.inbox.receivers.alertmanager import fingerprint

LABELS = {"alertname": "CronJobFailed", "namespace": "workshop", "cronjob": "backup"}
# The peer's time begins at 02:00.
BEFORE, SOON, LATER = (f"2026-11-25T{time}Z" for time in ("01:59:00", "02:10:00", "03:00:00"))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running() as found:
        yield found


def alert(**more: Any) -> dict[str, Any]:
    return {"labels": LABELS, "annotations": {"summary": "backup failed"}, **more}


async def post(peer: Peer, *alerts: Any) -> None:
    answer = await peer.post(ALERTS, list(alerts))
    assert (answer.status, answer.text) == (200, ""), answer.text


@pytest.mark.parametrize(
    ("labels", "known"),
    [({"a b": "x"}, "246aa979d44404a6"), ({"ok": "1"}, "8d4653b8b9db0024")],
)
def test_fingerprints_are_alertmanager_s(labels: dict[str, str], known: str) -> None:
    assert fingerprint(labels) == known


async def test_an_alert_is_one_message_however_often_it_is_sent(peer: Peer) -> None:
    await post(peer, alert(startsAt=BEFORE, endsAt=SOON))
    peer.wait(60)
    await post(peer, alert(startsAt=BEFORE, endsAt=LATER, annotations={"summary": "still"}))
    (message,) = await peer.messages()
    assert (message["event"], message["repeats"]) == (fingerprint(LABELS), 1)
    assert message["body"]["annotations"] == {"summary": "still"}
    assert message["alert"] == {
        "state": "firing",
        "startsAt": "2026-11-25T01:59:00.000Z",
        "endsAt": "2026-11-25T03:00:00.000Z",
        "received": 2,
        "flips": [{"at": "2026-11-25T02:00:00.000Z", "state": "firing", "expired": False}],
    }
    assert message["title"] == "[FIRING] CronJobFailed: still"
    counts = (await peer.get("/counts")).json
    assert (counts["stored"], counts["repeats"]) == (1, 1)


async def test_other_labels_are_another_alert(peer: Peer) -> None:
    await post(peer, alert(), {"labels": {**LABELS, "cronjob": "report"}})
    assert len(await peer.messages()) == 2


async def test_an_empty_label_is_none(peer: Peer) -> None:
    await post(peer, alert(), {"labels": {**LABELS, "node": ""}})
    assert len(await peer.messages()) == 1


async def test_it_is_resolved_and_fires_again(peer: Peer) -> None:
    await post(peer, alert(startsAt=BEFORE, endsAt=SOON))
    peer.wait(60)
    await post(peer, alert(startsAt=BEFORE, endsAt="2026-11-25T02:01:00Z"))
    (message,) = await peer.messages()
    assert message["alert"]["state"] == "resolved"
    assert message["title"].startswith("[RESOLVED]")
    peer.wait(60)
    await post(peer, alert(startsAt="2026-11-25T02:02:00Z", endsAt=LATER))
    (message,) = await peer.messages()
    assert message["alert"]["startsAt"] == "2026-11-25T02:02:00.000Z"
    assert [flip["state"] for flip in message["alert"]["flips"]] == [
        "firing", "resolved", "firing",
    ]  # fmt: skip


async def test_who_falls_silent_is_resolved_by_the_clock(peer: Peer) -> None:
    await post(peer, alert(startsAt=BEFORE, endsAt=SOON))
    peer.wait(599)
    (message,) = await peer.messages()
    assert message["alert"]["state"] == "firing"
    peer.wait(1)
    (message,) = await peer.messages()
    assert message["alert"]["state"] == "resolved"
    assert message["alert"]["flips"][-1] == {
        "at": "2026-11-25T02:10:00.000Z", "state": "resolved", "expired": True,
    }  # fmt: skip


async def test_an_alert_that_expired_unseen_and_fires_again_has_flipped_twice(peer: Peer) -> None:
    await post(peer, alert(endsAt=SOON))
    peer.wait(1200)
    await post(peer, alert(endsAt=LATER, startsAt="2026-11-25T02:20:00Z"))
    (message,) = await peer.messages()
    flips = [(flip["state"], flip["expired"]) for flip in message["alert"]["flips"]]
    assert flips == [("firing", False), ("resolved", True), ("firing", False)]


async def test_without_an_end_it_lasts_five_minutes(peer: Peer) -> None:
    await post(peer, alert())
    (message,) = await peer.messages()
    assert message["alert"]["startsAt"] == "2026-11-25T02:00:00.000Z"
    assert message["alert"]["endsAt"] == "2026-11-25T02:05:00.000Z"


async def test_a_named_end_is_not_shortened_by_a_time_out(peer: Peer) -> None:
    await post(peer, alert(startsAt=BEFORE, endsAt=LATER))
    await post(peer, alert(startsAt=BEFORE))
    (message,) = await peer.messages()
    assert message["alert"]["endsAt"] == "2026-11-25T03:00:00.000Z"


async def test_the_earliest_start_stays(peer: Peer) -> None:
    await post(peer, alert(startsAt=BEFORE, endsAt=LATER))
    await post(peer, alert(startsAt="2026-11-25T02:00:00Z", endsAt=LATER))
    (message,) = await peer.messages()
    assert message["alert"]["startsAt"] == "2026-11-25T01:59:00.000Z"


async def test_go_s_zero_time_is_no_time(peer: Peer) -> None:
    await post(peer, alert(startsAt="0001-01-01T00:00:00Z", endsAt="0001-01-01T00:00:00Z"))
    (message,) = await peer.messages()
    assert message["alert"]["state"] == "firing"


async def test_an_end_without_a_beginning_is_stored_and_said_to_be_one(peer: Peer) -> None:
    await post(peer, alert(startsAt=BEFORE, endsAt=BEFORE))
    (message,) = await peer.messages()
    assert message["alert"]["state"] == "resolved"
    assert "never fired here" in message["text"]


async def test_targets_are_alertmanagers_of_their_own(peer: Peer) -> None:
    await post(peer, alert())
    other = ALERTS.replace("/alerts/api", "/others/api")
    assert (await peer.post(other, [alert()])).status == 200
    assert len(await peer.messages()) == 2


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no label": ({"labels": {}}, "at least one label pair required"),
    "empty labels": ({"labels": {"a": ""}}, "at least one label pair required"),
    "a name with a space": ({"labels": {"a b": "x"}}, 'invalid label set: invalid name "a b"'),
    "a name with dots": ({"labels": {"a.b/c": "x"}}, 'invalid label set: invalid name "a.b/c"'),
    "an empty name": ({"labels": {"": "x"}}, 'invalid label set: invalid name ""'),
    "a bad annotation": (
        {"labels": {"a": "x"}, "annotations": {"": "x"}},
        'invalid annotations: invalid name ""',
    ),
    "an end before the start": (
        {"labels": {"a": "x"}, "startsAt": SOON, "endsAt": BEFORE},
        "start time must be before end time",
    ),
}


@pytest.mark.parametrize(("bad", "said"), INVALID.values(), ids=INVALID)
async def test_the_valid_ones_beside_an_invalid_one_are_taken(
    peer: Peer, bad: dict[str, Any], said: str
) -> None:
    answer = await peer.post(ALERTS, [bad, alert()])
    assert (answer.status, answer.json) == (400, said)
    assert answer.headers["Content-Type"] == "application/json"
    assert [one["event"] for one in await peer.messages()] == [fingerprint(LABELS)]


async def test_every_problem_is_named(peer: Peer) -> None:
    bad = [{"labels": {"": "1"}}, {"labels": {}}]
    answer = await peer.post(ALERTS, bad)
    assert answer.json == ('invalid label set: invalid name ""; at least one label pair required')


MALFORMED: dict[str, tuple[Any, int, int, str]] = {
    "no JSON": (b"xx", 400, 400, "parsing alerts body"),
    "no list": ({}, 400, 400, "models.PostableAlerts"),
    "no object": (["x"], 400, 400, "models.PostableAlert"),
    "a label that is a number": ([{"labels": {"a": 1}}], 400, 400, "of type string"),
    "labels that are none": ([{"labels": "a"}], 400, 400, "cannot unmarshal string"),
    "no time": ([alert(startsAt="yesterday")], 400, 400, 'parsing time "yesterday"'),
    "a month that is none": ([alert(startsAt="2026-13-01T00:00:00Z")], 400, 400, "parsing time"),
    "no time zone": ([alert(startsAt="2026-11-01T00:00:00")], 400, 400, "parsing time"),
    "a number of seconds": (
        [alert(startsAt=5)],
        400,
        400,
        "number into Go struct field .startsAt",
    ),
    "nothing": (b"", 422, 602, "alerts in body is required"),
    "no labels": ([{}], 422, 602, "0.labels in body is required"),
    "labels of null": ([alert(), {"labels": None}], 422, 602, "1.labels in body is required"),
    "a URL that is a number": ([alert(generatorURL=5)], 400, 400, "Alert.generatorURL"),
    "a space in a time": ([alert(startsAt="2026-11-25 02:00:00Z")], 400, 400, "parsing time"),
    "no URL": (
        [alert(generatorURL="not a url")],
        422,
        601,
        '0.generatorURL in body must be of type uri: "not a url"',
    ),
}


@pytest.mark.parametrize(("body", "status", "code", "said"), MALFORMED.values(), ids=MALFORMED)
async def test_of_what_cannot_be_read_nothing_is_taken(
    peer: Peer, body: Any, status: int, code: int, said: str
) -> None:
    answer = await peer.post(ALERTS, body)
    assert answer.status == status
    assert answer.json["code"] == code
    assert said in answer.json["message"]
    assert await peer.messages() == []


@pytest.mark.parametrize("body", [b"[]", b"null"])
async def test_nothing_at_all_is_fine(peer: Peer, body: bytes) -> None:
    assert (await peer.post(ALERTS, body)).status == 200


async def test_only_json_is_json(peer: Peer) -> None:
    answer = await peer.post(ALERTS, [alert()], "text/plain")
    assert (answer.status, answer.json["code"]) == (415, 415)
    assert (await peer.post(ALERTS, [alert()], "application/json; charset=utf-8")).status == 200


NOTIFICATION: dict[str, Any] = {
    "version": "4",
    "status": "firing",
    "receiver": "team",
    "groupKey": '{}:{alertname="CronJobFailed"}',
    "alerts": [
        {
            "status": "firing",
            "labels": {**LABELS, "demo": "bookshop"},
            "annotations": {"summary": "backup failed"},
            "startsAt": BEFORE,
            "endsAt": "0001-01-01T00:00:00Z",
        },
        {
            "status": "resolved",
            "labels": {**LABELS, "demo": "other"},
            "annotations": {},
            "startsAt": BEFORE,
            "endsAt": SOON,
        },
    ],
}


class TestNotifications:
    """What a real Alertmanager tells its webhook receiver."""

    @pytest.mark.parametrize("path", ["/alertmanager-webhook", "/alertmanager-webhook/class/1"])
    async def test_each_demo_gets_its_own_alerts(self, peer: Peer, path: str) -> None:
        assert (await peer.post(path, NOTIFICATION)).status == 200
        first, second = await peer.messages("dialect=AlertmanagerWebhook")
        assert (first["namespace"], first["demo"], first["target"]) == (
            "workshop", "bookshop", "team",
        )  # fmt: skip
        assert first["title"] == "[FIRING:1] CronJobFailed: backup failed"
        assert first["body"] == {
            **NOTIFICATION, "alerts": NOTIFICATION["alerts"][:1],
        }  # fmt: skip
        assert (second["demo"], second["title"]) == ("other", "[RESOLVED:1] CronJobFailed")

    async def test_each_notification_is_another(self, peer: Peer) -> None:
        for _ in range(2):
            await peer.post("/alertmanager-webhook", NOTIFICATION)
        assert len(await peer.messages("demo=bookshop")) == 2

    @pytest.mark.parametrize(
        "body", [b"x", [], {}, {"version": "3", "alerts": [{}]}, {"version": "4", "alerts": []}]
    )
    async def test_anything_else_is_refused(self, peer: Peer, body: Any) -> None:
        assert (await peer.post("/alertmanager-webhook", body)).status == 400
        assert await peer.messages() == []
