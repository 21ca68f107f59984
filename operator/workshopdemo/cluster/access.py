"""What the operator must be allowed to do, and whether it is."""

from collections.abc import Sequence
from typing import Final

from workshopdemo import names
from workshopdemo.cluster.port import Access, Cluster
from workshopdemo.errors import ClusterError

REQUIRED: Final = (
    *(Access(verb, names.GROUP, names.PLURAL) for verb in ("list", "watch")),
    Access("patch", names.GROUP, f"{names.PLURAL}/status"),
    *(Access(verb, "batch", "jobs") for verb in ("list", "watch", "create", "patch", "delete")),
    *(Access(verb, "", "pods") for verb in ("list", "watch")),
    Access("get", "", "pods/log"),
    *(Access(verb, "", "events") for verb in ("list", "create", "patch")),
)
"""Every verb the operator uses on every resource; the chart grants these (checked by a test)."""


async def obstacles(cluster: Cluster, namespaces: Sequence[str]) -> list[str]:
    """What keeps the operator from its work, each in a sentence with the way out.

    Args:
        cluster: the API server.
        namespaces: those served; none means all.
    """
    found = []
    for namespace in namespaces or (None,):
        try:
            found += await _obstacles_in(cluster, namespace)
        except ClusterError as error:
            found.append(f"{error}; it is tried again")
            break
    return found


async def _obstacles_in(cluster: Cluster, namespace: str | None) -> list[str]:
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    found = [
        f"the operator's service account may not {access} {where}: "
        f"add the verb to its {'Role' if namespace else 'ClusterRole'}"
        for access in REQUIRED
        if not await cluster.allowed(access, namespace)
    ]
    if not await cluster.serves_demos(namespace):
        found.append(
            f"the cluster does not know the kind {names.KIND}: install its "
            "CustomResourceDefinition (kubectl apply -f crds/, or the chart with crds.install=true)"
        )
    return found
