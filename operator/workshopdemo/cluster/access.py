"""What the operator must be allowed to do, and whether it is."""

from collections.abc import Sequence
from typing import Final

from workshopdemo import names
from workshopdemo.cluster.port import API_NAMESPACE, API_SERVICE, Access, Cluster
from workshopdemo.errors import ClusterError
from workshopdemo.facts import CHILD_KINDS, WRITTEN_KINDS

REQUIRED: Final = (
    *(Access(verb, names.GROUP, names.PLURAL) for verb in ("list", "watch")),
    Access("patch", names.GROUP, f"{names.PLURAL}/status"),
    *(
        # What a Role lets a node agent do, the operator may do itself: else the API server would
        # not let it grant it.
        Access(verb, CHILD_KINDS[kind].group, CHILD_KINDS[kind].plural)
        for kind in WRITTEN_KINDS
        # get: before the first write, whether the name is somebody else's; and of what the ledger
        # of notifications is written on, when somebody else has written meanwhile.
        for verb in ("get", "list", "watch", "create", "patch", "delete")
    ),
    *(Access(verb, "", "pods") for verb in ("list", "watch")),
    Access("get", "", "pods/log"),
    *(Access(verb, "", "events") for verb in ("list", "create")),
    # create: the password of a demo's database, once. Kubernetes removes it with its demo.
    *(Access(verb, "", "secrets") for verb in ("get", "create")),
    Access("list", "discovery.k8s.io", "endpointslices"),
)
"""Every verb the operator uses on demos and their children; the chart grants these (a test)."""

DISCOVERY: Final = (
    # kopf notices by these when the CRD comes, goes or changes.
    *(
        Access(verb, "apiextensions.k8s.io", "customresourcedefinitions")
        for verb in ("list", "watch")
    ),
    # Their addresses: no notification may go there. And whether each is covered by a DaemonSet.
    *(Access(verb, "", "nodes") for verb in ("list", "watch")),
)
"""Cluster-wide in any case."""

API_DISCOVERY: Final = (Access("get", "discovery.k8s.io", "endpointslices", API_SERVICE),)
"""In `API_NAMESPACE`: the API server's addresses, where no notification may go either."""

NAMESPACE_DISCOVERY: Final = tuple(Access(verb, "", "namespaces") for verb in ("list", "watch"))
"""Where only some namespaces are served, kopf watches for their coming and going."""


async def obstacles(cluster: Cluster, namespaces: Sequence[str]) -> list[str]:
    """What keeps the operator from its work, each in a sentence with the way out.

    Args:
        cluster: the API server.
        namespaces: those served; none means all.
    """
    try:
        discovery = DISCOVERY + (NAMESPACE_DISCOVERY if namespaces else ())
        found = await _missing(cluster, discovery, None)
        for namespace in namespaces or (None,):
            found += await _missing(cluster, REQUIRED, namespace)
        found += await _missing(cluster, API_DISCOVERY, API_NAMESPACE)
        if not await cluster.serves_demos():
            found.append(_NO_CRD)
    except ClusterError as error:
        return [f"{error}; it is tried again"]
    return found


_NO_CRD: Final = (
    f"the cluster does not know the kind {names.KIND}: install its CustomResourceDefinition "
    "(kubectl apply -f crds/, or the chart with crds.install=true)"
)


async def _missing(cluster: Cluster, needed: Sequence[Access], namespace: str | None) -> list[str]:
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    role = "Role" if namespace else "ClusterRole"
    return [
        f"the operator's service account may not {access} {where}: add the verb to its {role}"
        for access in needed
        if not await cluster.allowed(access, namespace)
    ]
