"""The API server through lightkube."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import httpx2
import msgspec
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.config.client_adapter import verify_cluster
from lightkube.core.resource import ApiInfo
from lightkube.generic_resource import (
    GenericGlobalResource,
    GenericNamespacedResource,
    GenericNamespacedStatus,
    create_api_info,
)
from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview
from lightkube.resources.core_v1 import PodLog
from lightkube.types import PatchType

from workshopdemo import names
from workshopdemo.cluster.counting import Answered, CountingTransport
from workshopdemo.cluster.port import API_NAMESPACE, API_SERVICE, Access, Object, Seen
from workshopdemo.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from workshopdemo.facts import CHILD_KINDS, Watched

LOG_LINES: Final = (10, 3, 1)
"""So many lines are asked for; fewer, where the last ones are longer than `LOG_BYTES`."""

LOG_BYTES: Final = 16 * 1024
"""Read at most so much of a container's log: a single line may be megabytes long."""

NEWEST_LINES: Final = 8
NEWEST_BYTES: Final = 64 * 1024
"""Read at most so much where only the newest lines count."""

_NO_LOG: Final = re.compile(
    r"unable to retrieve container logs for \w+://[0-9a-f]+\s*"
    r"|failed to (?:try resolving symlinks in path|open log file) "
    r'"/var/log/pods/[^"\n]+": [^\n]*\s*'
)
"""What the kubelet gives as the log, with HTTP 200, when the container or its log is gone already
(pkg/kubelet/kuberuntime)."""

_CHUNK: Final = 500

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_LIMITS: Final = httpx2.Limits(
    max_connections=100,
    # Of a burst none is closed that the next needs: a TLS handshake takes longer than a write.
    max_keepalive_connections=50,
    # Jobs end minutes apart. The API server itself closes what is idle for 90 s.
    keepalive_expiry=60.0,
)
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
_CONFLICT: Final = 409
_REJECTED: Final = frozenset({400, 415, 422})


# Raw JSON in, raw JSON out: lightkube's typed models drop the fields that they do not know.
def _namespaced(kind: str, group: str, version: str, plural: str) -> type[Any]:
    info = create_api_info(group, version, kind, plural)
    return type(kind, (GenericNamespacedResource,), {"_api_info": info})


class _Secret(GenericNamespacedResource):
    _api_info = create_api_info("", "v1", "Secret", "secrets")


class _Event(GenericNamespacedResource):
    _api_info = create_api_info("", "v1", "Event", "events")


class _Node(GenericGlobalResource):
    _api_info = create_api_info("", "v1", "Node", "nodes")


class _EndpointSlice(GenericNamespacedResource):
    _api_info = create_api_info("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")


class _Demo(GenericNamespacedResource):
    _api_info = create_api_info(names.GROUP, names.VERSION, names.KIND, names.PLURAL)


class _DemoStatus(GenericNamespacedStatus):
    _api_info = ApiInfo(
        resource=_Demo._api_info.resource,  # noqa: SLF001 - lightkube's own protocol for kinds
        parent=_Demo._api_info.resource,  # noqa: SLF001
        plural=names.PLURAL,
        verbs=["patch"],
        action="status",
    )


_KINDS: Final[dict[str, Any]] = {
    kind: _namespaced(kind, *resource) for kind, resource in CHILD_KINDS.items()
} | {"Secret": _Secret}


class _Metadata(msgspec.Struct, rename="camel"):
    """Of an object, what tells its state from another."""

    name: str
    uid: str
    resource_version: str
    namespace: str = ""


class _Item(msgspec.Struct):
    metadata: _Metadata


class _Page(msgspec.Struct):
    """Of a list, metadata only."""

    items: list[_Item] | None
    """None where there is nothing: an empty list in Go."""

    metadata: dict[str, Any]


class ApiServer:
    """The `Cluster` of a running operator."""

    def __init__(self, answered: Answered) -> None:
        """Connect as the Pod's service account, or by the kubeconfig outside a cluster.

        Args:
            answered: is told of each request.
        """
        self._client: Any = _connect(answered)
        # Two things that the API server offers have no method in lightkube 1.0: a delete with a
        # precondition, and a log with a limit of bytes. One layer down, every request can be made.
        self._requests: Any = self._client._client  # noqa: SLF001
        self._http: Any = self._requests._client  # noqa: SLF001

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def apply(self, manifest: Object) -> Object:
        """See `Cluster.apply`."""
        return await self._apply(_KINDS[manifest["kind"]], manifest)

    async def apply_status(self, demo: Object) -> Object:
        """See `Cluster.apply_status`."""
        return await self._apply(_DemoStatus, demo)

    async def create(self, manifest: Object) -> Object:
        """See `Cluster.create`."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        try:
            with _translated(f"create {kind} {name}"):
                return dict(
                    await self._client.create(_KINDS[kind](**manifest), namespace=namespace)
                )
        except ConflictError:
            found = await self.get(kind, namespace, name)
            if found is None:
                raise
            return found

    async def post_event(self, event: Object) -> None:
        """See `Cluster.post_event`."""
        metadata = event["metadata"]
        with suppress(ConflictError), _translated(f"post Event {metadata['name']}"):
            # Half of what a server-side apply costs the API server.
            await self._client.create(_Event(**event), namespace=metadata["namespace"])

    async def _apply(self, kind: type[Any], manifest: Object) -> Object:
        metadata = manifest["metadata"]
        with _translated(f"apply {manifest['kind']} {metadata['name']}"):
            return dict(
                await self._client.patch(
                    kind,
                    metadata["name"],
                    manifest,
                    namespace=metadata["namespace"],
                    patch_type=PatchType.APPLY,
                    field_manager=names.FIELD_MANAGER,
                    force=True,
                )
            )

    async def annotate(
        self, kind: str, namespace: str, name: str, version: str, annotations: dict[str, str]
    ) -> Object:
        """See `Cluster.annotate`."""
        patch = {"metadata": {"resourceVersion": version, "annotations": annotations}}
        with _translated(f"annotate {kind} {name}"):
            return dict(
                await self._client.patch(
                    _KINDS[kind],
                    name,
                    patch,
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                    field_manager=names.LEDGER_MANAGER,
                )
            )

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """See `Cluster.get`."""
        try:
            with _translated(f"get {kind} {name}"):
                return dict(await self._client.get(_KINDS[kind], name, namespace=namespace))
        except NotFoundError:
            return None

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """See `Cluster.delete`."""
        request = self._requests.prepare_request(
            "delete", res=_KINDS[kind], name=name, namespace=namespace
        )
        request.data = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            with _translated(f"delete {kind} {name}"):
                response = await self._requests.send(self._requests.build_adapter_request(request))
                self._requests.raise_for_status(response)
        except NotFoundError:
            return

    async def pod_log(self, namespace: str, pod: str, container: str) -> str | None:
        """See `Cluster.pod_log`."""
        for lines in LOG_LINES:
            limits = {"tailLines": lines, "limitBytes": LOG_BYTES}
            log = await self._read_log(namespace, pod, container, limits)
            # limitBytes keeps the beginning of what tailLines gives: with a long line among the
            # last ones, it is the end that is missing.
            if log is None or len(log) < LOG_BYTES:
                break
        return _text(log)

    async def newest_log_lines(self, namespace: str, pod: str, container: str) -> str | None:
        """See `Cluster.newest_log_lines`."""
        limits = {"tailLines": NEWEST_LINES, "limitBytes": NEWEST_BYTES, "timestamps": True}
        return _text(await self._read_log(namespace, pod, container, limits))

    async def _read_log(
        self, namespace: str, pod: str, container: str, limits: dict[str, Any]
    ) -> bytes | None:
        request = self._requests.prepare_request(
            "get",
            PodLog,
            name=pod,
            namespace=namespace,
            params={"container": container} | limits,
        )
        try:
            with _translated(f"read the log of Pod {pod}"):
                response = await self._requests.send(self._requests.build_adapter_request(request))
                self._requests.raise_for_status(response)
                return bytes(response.content)
        except (NotFoundError, RejectedError):
            # The Pod went, or its container never wrote: 404 and 400 are answers, not failures.
            return None

    async def list_events(self, namespace: str, **about: str) -> list[Object]:
        """See `Cluster.list_events`."""
        fields = {f"involvedObject.{field}": value for field, value in about.items()}
        with _translated("list Events"):
            found = self._client.list(_Event, namespace=namespace, fields=fields)
            return [dict(event) async for event in found]

    async def list_endpoint_slices(self, namespace: str, services: Collection[str]) -> list[Object]:
        """See `Cluster.list_endpoint_slices`."""
        labels = {names.SERVICE_NAME_LABEL: sorted(services)}
        with _translated("list EndpointSlices"):
            found = self._client.list(
                _EndpointSlice, namespace=namespace, labels=labels, chunk_size=_CHUNK
            )
            return [dict(piece) async for piece in found]

    async def list_seen(self, watched: Watched, namespace: str | None) -> list[Seen]:
        """See `Cluster.list_seen`."""
        group, version, plural = watched.resource
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        path = f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"
        selectors = {"labelSelector": watched.labels, "fieldSelector": watched.fields}
        asked = {"limit": str(_CHUNK)} | {name: text for name, text in selectors.items() if text}
        found: list[Seen] = []
        with _translated(f"list {plural}"):
            while True:
                page = await self._page(path, asked)
                found += (
                    Seen(one.uid, int(one.resource_version), one.namespace, one.name)
                    for one in (item.metadata for item in page.items or ())
                )
                if not page.metadata.get("continue"):
                    return found
                asked["continue"] = page.metadata["continue"]

    async def _page(self, path: str, asked: Mapping[str, str]) -> _Page:
        # In a cluster, to compress and to unpack takes longer than to send.
        headers = {"Accept": _METADATA_ONLY, "Accept-Encoding": "identity"}
        response = await self._http.get(path, params=asked, headers=headers)
        self._requests.raise_for_status(response)
        return msgspec.json.decode(response.content, type=_Page)

    async def allowed(self, access: Access, namespace: str | None) -> bool:
        """See `Cluster.allowed`."""
        resource, _, subresource = access.resource.partition("/")
        review = SelfSubjectAccessReview(
            spec=SelfSubjectAccessReviewSpec(
                resourceAttributes=ResourceAttributes(
                    verb=access.verb,
                    group=access.group,
                    resource=resource,
                    subresource=subresource or None,
                    name=access.name or None,
                    namespace=namespace,
                )
            )
        )
        with _translated("review the operator's own access"):
            answer = await self._client.create(review)
            return bool(answer.status and answer.status.allowed)

    async def machine_addresses(self) -> list[str]:
        """See `Cluster.machine_addresses`."""
        with _translated("list Nodes"):
            found = [
                address["address"]
                async for node in self._client.list(_Node, chunk_size=_CHUNK)
                for address in (node.get("status") or {}).get("addresses") or ()
                if address["type"] in ("InternalIP", "ExternalIP")
            ]
        with _translated("get the API server's EndpointSlice"):
            piece = await self._client.get(_EndpointSlice, API_SERVICE, namespace=API_NAMESPACE)
        for endpoint in piece.get("endpoints") or ():
            found += endpoint.get("addresses") or ()
        return found

    async def serves_demos(self) -> bool:
        """See `Cluster.serves_demos`."""
        try:
            groups = await self._discover("/apis")
            kinds = await self._discover(f"/apis/{names.GROUP}/{names.VERSION}")
        except NotFoundError:
            return False
        return names.GROUP in {group["name"] for group in groups["groups"]} and names.PLURAL in {
            kind["name"] for kind in kinds["resources"]
        }

    async def _discover(self, path: str) -> Object:
        with _translated(f"read {path}"):
            response = await self._http.get(path)
            self._requests.raise_for_status(response)
            return dict(response.json())


def _text(log: bytes | None) -> str | None:
    if log is None:
        return None
    text = log.decode("utf-8", errors="replace")
    return None if _NO_LOG.fullmatch(text) else text


def _connect(answered: Answered) -> AsyncClient:
    config: Any = KubeConfig.from_env().get()
    trust = verify_cluster(config.cluster, config.user, config.abs_file)
    transport = httpx2.AsyncHTTPTransport(verify=trust, limits=_LIMITS)
    return AsyncClient(config, transport=CountingTransport(transport, answered))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the client's errors into ours, in words that name what was tried."""
    try:
        yield
    except ApiError as error:
        code = _NOT_FOUND if _is_going(error) else error.status.code or 0
        raise _error(what, code, error.status.message or "") from None
    except httpx2.HTTPStatusError as error:
        # A proxy or an API server that is starting answers without a Status object.
        raise _error(what, error.response.status_code, error.response.reason_phrase) from None
    except httpx2.HTTPError as error:
        raise UnavailableError(
            f"cannot {what}: no answer from the API server ({type(error).__name__})"
        ) from None
    except msgspec.MsgspecError:
        # Something else in its place, such as a proxy with a page that tells of an error.
        raise UnavailableError(f"cannot {what}: the answer is none of an API server") from None


def _is_going(error: ApiError) -> bool:
    """Whether the namespace is being deleted: a 403, but no right would change it."""
    details = error.status.details
    causes = details.causes if details and details.causes else ()
    return any(cause.reason == "NamespaceTerminating" for cause in causes)


def _error(what: str, code: int, message: str) -> ClusterError:
    sentence = f"cannot {what}: {message}"
    if code == _FORBIDDEN:
        return ForbiddenError(sentence)
    if code == _NOT_FOUND:
        return NotFoundError(sentence)
    if code == _CONFLICT:
        return ConflictError(sentence)
    if code in _REJECTED:
        return RejectedError(sentence)
    return UnavailableError(f"{sentence} (HTTP {code})")
