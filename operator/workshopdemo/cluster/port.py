"""What the operator asks of the API server. All else is the adapter's business."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from workshopdemo.facts import Watched

Object = dict[str, Any]
"""A Kubernetes object as plain JSON."""


@dataclass(frozen=True)
class Access:
    """One thing the operator must be allowed to do; written as in RBAC."""

    verb: str
    group: str
    resource: str
    name: str = ""
    """Of the only object that it is about; empty: of all."""

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}{name}"


API_NAMESPACE: Final = "default"
API_SERVICE: Final = "kubernetes"
"""The API server's own Service and EndpointSlice (KEP-1601 and the API server's reconciler)."""


class Seen(NamedTuple):
    """An object in a list, by what tells its state from another."""

    uid: str
    version: int
    """Its resourceVersion: of one kind, the greater is the newer (KEP-5504)."""

    namespace: str
    name: str


class Cluster(Protocol):
    """The API server. Every method may raise a `ClusterError`."""

    async def apply(self, manifest: Object) -> Object:
        """Server-side apply of the full intent, by force; gives the object as it is now."""

    async def apply_status(self, demo: Object) -> Object:
        """Server-side apply of a WorkshopDemo's status; gives the object as it is now.

        Raises:
            ConflictError: its metadata has a resourceVersion, and the object another one.
        """

    async def create(self, manifest: Object) -> Object:
        """Create an object; gives it as it is now, which may be what somebody else made first."""

    async def post_event(self, event: Object) -> None:
        """Create an Event. It is there already: it was posted before, and that is fine."""

    async def annotate(
        self, kind: str, namespace: str, name: str, version: str, annotations: dict[str, str]
    ) -> Object:
        """Set annotations if the object is still of that resourceVersion; gives it as it is now.

        Raises:
            ConflictError: it is not.
        """

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, None if there is none."""

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete this very object and, in the background, what it owns. Gone already is fine."""

    async def pod_log(self, namespace: str, pod: str, container: str) -> str | None:
        """The end of a container's log; None where there is nothing to read any more."""

    async def newest_log_lines(self, namespace: str, pod: str, container: str) -> str | None:
        """The newest few lines of a container's log, each after the kubelet's time of it; None
        where there is nothing to read.
        """

    async def list_events(self, namespace: str, **about: str) -> list[Object]:
        """The Events about objects; `about` are fields of involvedObject, such as uid or kind."""

    async def list_endpoint_slices(self, namespace: str, services: Collection[str]) -> list[Object]:
        """All EndpointSlices of these Services; at least one must be named."""

    async def list_seen(self, watched: Watched, namespace: str | None) -> list[Seen]:
        """All that a watch has to tell of, as it is now; `None` is all namespaces."""

    async def allowed(self, access: Access, namespace: str | None) -> bool:
        """Whether the operator may do this, by the API server's own word."""

    async def machine_addresses(self) -> list[str]:
        """IP addresses of the cluster's nodes and of its API servers."""

    async def serves_demos(self) -> bool:
        """Whether the API server tells of the kind WorkshopDemo in its discovery."""
