"""What a user does to a StatefulSet, and what a witness sees of it."""

from collections.abc import Mapping
from typing import Any

from kubernetes.client import AppsV1Api
from world import GROUP, VERSION, World, wait_for

CLAIM = "data"


class Stateful:
    """The StatefulSet of a demo."""

    def __init__(self, world: World, scenario: str = "Diary") -> None:
        self.world = world
        self.scenario = scenario
        self.name = "shop-database" if scenario == "Postgres" else "shop-diary"
        self.members_service = f"{self.name}-members"
        self.apps = AppsV1Api(world.api)

    # What a user does.

    def apply(self, *, jobs: Any = (), cron_jobs: Any = (), **section: Any) -> None:
        small = "256Mi" if self.scenario == "Postgres" else "16Mi"
        section = {"scenario": self.scenario, "replicas": 3, "storage": small} | section
        spec = {"statefulSet": section}
        spec |= {"jobs": list(jobs)} if jobs else {}
        spec |= {"cronJobs": list(cron_jobs)} if cron_jobs else {}
        self.world.apply_manifest(
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "WorkshopDemo",
                "metadata": {"name": "shop", "namespace": self.world.namespace},
                "spec": spec,
            }
        )

    def delete_pod(self, ordinal: int) -> None:
        self.world.kubectl("delete", "pod", self.pod_name(ordinal), "--wait=false")

    def psql(self, sql: str, member: int = 0, *, fails: bool = False) -> str:
        """Ask a member's own database, as its superuser."""
        return self.world.kubectl(
            *("exec", self.pod_name(member), "-c", "postgres", "--"),
            *("psql", "-h", "/run/postgresql", "-U", "postgres", "-v", "ON_ERROR_STOP=1"),
            *("-Atc", sql, "bookshop"),
            fails=fails,
        ).strip()

    # What a witness sees.

    def pod_name(self, ordinal: int) -> str:
        return f"{self.name}-{ordinal}"

    def claim_name(self, ordinal: int) -> str:
        return f"{CLAIM}-{self.name}-{ordinal}"

    def pod(self, ordinal: int) -> Any:
        return self.world.core.read_namespaced_pod(self.pod_name(ordinal), self.world.namespace)

    def uids(self) -> dict[str, str]:
        """UIDs of the members there are, by name."""
        pods = self.world.core.list_namespaced_pod(self.world.namespace).items
        return {
            pod.metadata.name: pod.metadata.uid
            for pod in pods
            if pod.metadata.name.startswith(f"{self.name}-") and not pod.metadata.deletion_timestamp
        }

    def claims(self) -> dict[str, str | None]:
        """Volumes of the claims there are, by name."""
        found = self.world.core.list_namespaced_persistent_volume_claim(self.world.namespace)
        return {
            claim.metadata.name: claim.spec.volume_name
            for claim in found.items
            if claim.metadata.name.startswith(f"{CLAIM}-{self.name}-")
        }

    def status(self) -> dict[str, Any]:
        return dict(self.world.status()["statefulSet"])

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the status tells of each member."""
        return {row["pod"]: row for row in self.status()["members"]}

    def wait(self, what: str, **fields: Any) -> dict[str, Any]:
        """Wait until the section's status has these fields."""

        def look() -> dict[str, Any]:
            status = self.status()
            seen = {name: status.get(name) for name in fields}
            assert seen == fields, f"{seen}: {status['message']}"
            return status

        return wait_for(what, look)

    def wait_until_ready(self, replicas: int = 3, reason: str = "MembersReady") -> dict[str, Any]:
        """Wait until all are there and have been heard."""
        return self.wait(
            f"{replicas} members: {reason}", ready=replicas, reason=reason, asExpected=True
        )

    def wait_for_blockage(self, reason: str) -> Mapping[str, Any]:
        """Wait until the status tells what blocks, and the way out."""

        def look() -> dict[str, Any]:
            status = self.status()
            blocked: dict[str, Any] = status.get("blocked") or {}
            assert blocked.get("reason") == reason, f"{blocked}: {status['message']}"
            assert status["asExpected"] is False
            assert status["reason"] == reason
            assert blocked["wayOut"] in status["message"]
            return blocked

        return wait_for(f"blocked: {reason}", look)
