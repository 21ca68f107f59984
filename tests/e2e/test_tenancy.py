"""A student with `edit` in a namespace: what a demo gets them of another one. Nothing."""

from typing import Any

import pytest
from kubernetes.client import AuthorizationV1Api, RbacAuthorizationV1Api
from kubernetes.client.exceptions import ApiException
from world import FAILING, GROUP, QUICK, SYSTEM, VERSION, Chart, World, wait_for

from support import SETTINGS
from workshopdemo.model import parse
from workshopdemo.plan import build

WAYS = ("create", "update", "patch", "delete", "deletecollection")

SERVER = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print("came:", self.path, flush=True)
        self.send_response(307 if "TO" in os.environ else 200)
        self.send_header("Location", os.environ.get("TO", ""))
        self.end_headers()
    do_GET = do_POST
    def log_message(self, *_):
        pass
http.server.HTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
"""Tells in its log of everybody who comes, and sends them on to TO."""


def bind(world: World, role: str) -> str:
    """Give somebody one of Kubernetes' own roles in the namespace; gives who it is."""
    who = f"{role}-{world.namespace}"
    body = {
        "metadata": {"name": who},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}],
    }
    RbacAuthorizationV1Api(world.api).create_namespaced_role_binding(world.namespace, body)
    return who


def may(world: World, who: str, verb: str, resource: str, namespace: str = "") -> bool:
    """What the API server says that they may do."""
    review = {
        "spec": {
            "user": who,
            "resourceAttributes": {
                "verb": verb,
                "group": GROUP,
                "resource": resource.partition("/")[0],
                "subresource": resource.partition("/")[2],
                "namespace": namespace or world.namespace,
            },
        }
    }
    answer = AuthorizationV1Api(world.api).create_subject_access_review(review)
    return bool(answer.status.allowed)


def test_who_may_edit_writes_demos_who_may_view_reads_them_and_nobody_writes_a_status(
    world: World,
) -> None:
    student, visitor = bind(world, "edit"), bind(world, "view")
    wait_for("the aggregated role", lambda: may(world, student, "create", "workshopdemos"))
    for verb in WAYS:
        assert may(world, student, verb, "workshopdemos"), verb
        assert not may(world, visitor, verb, "workshopdemos"), verb
        assert not may(world, student, verb, "workshopdemos", "default"), verb
    for verb in ("get", "list", "watch"):
        assert may(world, student, verb, "workshopdemos"), verb
        assert may(world, visitor, verb, "workshopdemos"), verb
        assert not may(world, visitor, verb, "workshopdemos", "default"), verb
    for verb in ("update", "patch"):
        for who in (student, visitor):
            assert not may(world, who, verb, "workshopdemos/status"), (who, verb)
    demo = world.manifest({"jobs": [QUICK]}) | {"status": {"phase": "Ready", "summary": "I won"}}
    world.apply_manifest(demo, student)
    status = wait_for("the operator's word", world.status)
    assert status["summary"] != "I won"
    forged = ("patch", "wd", "shop", "--subresource=status", "--type=merge")
    said = world.kubectl(
        *forged, "-p", '{"status":{"phase":"Ready"}}', f"--as={student}", fails=True
    )
    assert "forbidden" in said


def serve(world: World, name: str, *, namespace: str, image: str, port: int, to: str = "") -> None:
    """A server and its Service."""
    env = [{"name": "PORT", "value": str(port)}] + ([{"name": "TO", "value": to}] if to else [])
    labels = {"app": name}
    container = {
        "name": "main",
        "image": image,
        "command": ["python3", "-c", SERVER],
        "env": env,
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    }
    world.core.create_namespaced_pod(
        namespace,
        {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}},
    )
    world.core.create_namespaced_service(
        namespace,
        {"metadata": {"name": name}, "spec": {"selector": labels, "ports": [{"port": port}]}},
    )


def came(world: World, namespace: str, name: str) -> list[str]:
    log = world.kubectl("-n", namespace, "logs", name)
    return [line.removeprefix("came: ") for line in log.splitlines() if line.startswith("came: ")]


def test_neither_a_secret_nor_a_server_of_another_namespace_is_reached(
    world: World, chart: Chart
) -> None:
    student, other = bind(world, "edit"), f"{world.namespace}-other"
    world.create_namespace(other)
    serve(world, "victim", namespace=other, image=chart.image, port=8080)
    url = f"http://victim.{other}.svc:8080"
    # The chart of these tests lets demos reach what is called so, at this port.
    serve(
        world,
        "bounce",
        namespace=world.namespace,
        image=chart.image,
        port=9093,
        to=f"{url}/by-redirect",
    )
    for namespace, name in ((other, "victim"), (world.namespace, "bounce")):
        world.kubectl(
            "-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=90s"
        )
    world.core.create_namespaced_secret(
        other, {"metadata": {"name": "theirs"}, "stringData": {"url": f"{url}/by-their-secret"}}
    )
    world.secret("own", hidden="by-own-secret", url=f"{url}/by-own-secret")
    pod = world.core.read_namespaced_pod("victim", other).status.pod_ip
    targets: dict[str, tuple[dict[str, Any], str]] = {
        "theirs": (hook(secret="theirs"), "there is no Secret theirs"),
        "own": (hook(secret="own"), "443"),
        "chat": ({"slack": hook(secret="own")["webhook"]}, "no incoming webhook of Slack"),
        "name": (hook(f"{url}/by-name"), "443"),
        "tls": (hook(f"https://victim.{other}.svc:8080/by-tls"), "443"),
        "pod": (hook(f"http://{pod}:8080/by-pod"), "443"),
        "pager": ({"alertmanager": {"url": f"{url}/by-pager"}}, "443"),
        "bounce": (hook(f"http://bounce.{world.namespace}.svc:9093/"), "307"),
    }
    asked = [{"name": name, **target} for name, (target, _) in targets.items()]
    demo = world.manifest({"jobs": [QUICK, FAILING], "notifications": {"targets": asked}})
    world.apply_manifest(demo, student)

    def told() -> bool:
        found = {one["name"]: one for one in world.notifications()["targets"]}
        for name, (_, words) in targets.items():
            assert words in found[name]["message"], found[name]
        return True

    wait_for("a sentence each", told)
    assert world.notifications()["delivered"] == 0
    assert came(world, world.namespace, "bounce"), "it was reached, and sent the operator on"
    # From the network alone the victim can be reached: whoever came would have been told.
    world.kubectl("-n", other, "exec", "victim", "--", "python3", "-c", VISIT)
    assert came(world, other, "victim") == ["/by-the-test"]
    read = [
        about["namespace"]
        for request in world.requests()
        if (about := request.get("objectRef", {})).get("resource") == "secrets"
        and about.get("name") in ("theirs", "own")
        and world.namespace in about["namespace"]
    ]
    assert set(read) == {world.namespace}


VISIT = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/by-the-test')"


def hook(url: str = "", secret: str = "") -> dict[str, Any]:
    reference = {"urlFrom": {"secretKeyRef": {"name": secret, "key": "url"}}}
    return {"webhook": {"url": url} if url else reference}


def test_labels_of_anothers_demo_make_nothing_its_own(world: World) -> None:
    """Whoever learns a demo's UID can label what they like, and take its Job's name: elsewhere."""
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    own = world.job_of("ok")
    other = f"{world.namespace}-other"
    world.create_namespace(other)
    forged = {
        "metadata": {field: own["metadata"][field] for field in ("name", "labels")},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": own["metadata"]["labels"]},
                "spec": own["spec"]["template"]["spec"] | {"containers": _failing(own)},
            },
        },
    }
    for label in ("controller-uid", "batch.kubernetes.io/controller-uid"):
        forged["metadata"]["labels"].pop(label, None)
    world.batch.create_namespaced_job(other, forged)
    half = {"metadata": {"name": "half", "labels": {"workshopdemo.dev/demo-uid": "anything"}}}
    world.core.create_namespaced_config_map(other, half)
    world.kubectl(
        "-n", other, "wait", "--for=condition=Failed", f"job/{forged['metadata']['name']}"
    )
    # Proof that the operator has looked since: another entry goes through it.
    world.apply(QUICK, {"name": "ci", "scenario": "CIPipeline"})
    status = world.wait_for_phase("Ready")
    told = {job["name"]: job for job in status["jobs"]}["ok"]
    assert (told["outcome"], len(told["attempts"])) == ("Complete", 1)
    assert "history" not in told
    (left,) = world.jobs(other)
    assert left["metadata"]["name"] == own["metadata"]["name"], "nor does it touch what is there"
    assert world.writes(other) == []


def _failing(job: dict[str, Any]) -> list[dict[str, Any]]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return [container | {"command": ["sh", "-c", "echo forged; exit 9"]}]


EVERYTHING: dict[str, Any] = {
    "jobs": [
        *(
            {"name": name.lower(), "scenario": name}
            for name in (
                *("DatabaseMigration", "CIPipeline", "DataPipeline", "FailsThenSucceeds"),
                *("AlwaysFails", "TooSlow", "OutOfMemory", "NotRetriable", "BadImage"),
            )
        ),
        QUICK,
    ],
    "cronJobs": [
        {"name": name.lower(), "scenario": name, "schedule": "0 2 * * *"}
        for name in ("NightlyReport", "DatabaseBackup", "FailingReport", "SlowReport")
    ],
    "logShipping": {
        "destination": {
            "otlpHttp": {
                "endpoint": "https://logs.example",
                "headers": [
                    {"name": "X-A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
                ],
            }
        }
    },
    "serviceDiscovery": {},
}
PLANS: dict[str, dict[str, Any]] = {
    "files": EVERYTHING,
    "database": EVERYTHING | {"statefulSet": {"scenario": "Postgres"}, "logShipping": {}},
    "diary": EVERYTHING | {"statefulSet": {"scenario": "Diary"}},
}


@pytest.fixture
def strict(world: World) -> World:
    """A namespace where Pods have to be restricted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    world.core.patch_namespace(world.namespace, {"metadata": {"labels": labels}})
    return world


def violations(world: World, name: str, pod: dict[str, Any]) -> str:
    """What Pod Security has against a Pod. Nothing is stored."""
    # The account would have to be there, and is not what this is about.
    spec = {field: value for field, value in pod.items() if field != "serviceAccountName"}
    spec |= {"automountServiceAccountToken": False}
    spec["restartPolicy"] = spec.get("restartPolicy", "Always")
    body = {"metadata": {"name": name}, "spec": spec}
    try:
        world.core.create_namespaced_pod(world.namespace, body, dry_run="All")
    except ApiException as error:
        if error.status != 403:
            raise
        return str(error.body)
    return ""


@pytest.mark.parametrize("plan", PLANS)
def test_every_pod_of_a_demo_but_the_log_shipper_is_restricted(strict: World, plan: str) -> None:
    taken = strict.custom.create_namespaced_custom_object(
        GROUP,
        VERSION,
        strict.namespace,
        "workshopdemos",
        strict.manifest(PLANS[plan]),
        dry_run="All",
    )
    taken["metadata"] |= {"uid": "5d0c1f9c", "generation": 1}
    pods = {}
    for intent in build(parse(taken), SETTINGS, {}).intents:
        spec = intent.manifest.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            claimed = [
                {"name": claim["metadata"]["name"], "emptyDir": {}}
                for claim in spec.get("volumeClaimTemplates", ())
            ]
            pod = template["spec"] | {"volumes": [*template["spec"].get("volumes", ()), *claimed]}
            pods[f"{intent.kind.lower()}-{intent.name}"] = pod
    assert len(pods) >= 10 + 4 + 3
    found = {name: violations(strict, name, pod) for name, pod in pods.items()}
    shipper = found.pop("daemonset-shop-log-shipper")
    assert set(found.values()) == {""}, found
    assert "violates PodSecurity" in shipper
    assert "hostPath" in shipper


def test_operator_and_inbox_are_restricted(strict: World, chart: Chart) -> None:
    deployments = [one for one in chart.rendered() if one["kind"] == "Deployment"]
    assert len(deployments) == 2
    for one in deployments:
        pod = one["spec"]["template"]["spec"]
        assert violations(strict, one["metadata"]["name"], pod) == ""
    label = "pod-security.kubernetes.io/enforce=restricted"
    tried = ("label", "--dry-run=server", "--overwrite", "namespace")
    assert "violate the new PodSecurity" in strict.kubectl(*tried, "kube-system", label)
    assert "violate" not in strict.kubectl(*tried, SYSTEM, label)
