"""A WorkshopDemo as frozen typed structs: what is asked (spec) and what was told (status).

Bounds, enums and defaults are the CRD's (`crds/`); the API server has applied them before an
object gets here, so nothing is repeated. Field names are the API's own, in snake case.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

import msgspec

from workshopdemo.errors import InvalidSpecError
from workshopdemo.names import DemoKey

_T = TypeVar("_T")

Outcome = Literal["Pending", "Running", "Complete", "Failed", "Stuck", "Suspended"]
AttemptOutcome = Literal["Pending", "Running", "Succeeded", "Failed", "Deleted"]
Phase = Literal["Pending", "Progressing", "Ready", "Degraded", "Invalid"]


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all: immutable, camelCase on the wire, absent instead of null."""


class EnvVar(Struct, frozen=True, kw_only=True):
    """A plain environment variable of a Custom Job."""

    name: str
    value: str


Notice = Literal["Success", "Failure", "Recovery", "Missed", "Stuck"]
"""What of a Job or run is told to somebody."""


class Work(Struct, frozen=True, kw_only=True):
    """What spec.jobs and spec.cronJobs have in common."""

    name: str
    scenario: str
    backoff_limit: int | None = None
    active_deadline_seconds: int | None = None
    image: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: dict[str, dict[str, str]] | None = None
    expected: Outcome | None = None
    expected_reason: str | None = None
    notify_on: tuple[Notice, ...]
    notify: tuple[str, ...] | None = None
    """Names of targets; None is all of them."""


class Job(Work, frozen=True, kw_only=True):
    """An entry of spec.jobs."""

    run: int
    history_limit: int
    suspend: bool
    ttl_seconds_after_finished: int | None = None
    completions: int | None = None
    parallelism: int | None = None
    completion_mode: Literal["NonIndexed", "Indexed"] | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    pod_replacement_policy: Literal["TerminatingOrFailed", "Failed"] | None = None
    pod_failure_policy: dict[str, Any] | None = None
    """As the API has it: the CRD's schema has checked it, and Kubernetes reads it."""

    success_policy: dict[str, Any] | None = None
    """As the API has it."""


ConcurrencyPolicy = Literal["Allow", "Forbid", "Replace"]


class CronJob(Work, frozen=True, kw_only=True):
    """An entry of spec.cronJobs."""

    schedule: str
    concurrency_policy: ConcurrencyPolicy
    suspend: bool
    successful_jobs_history_limit: int
    failed_jobs_history_limit: int
    run_now: int
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None


class SecretKey(Struct, frozen=True, kw_only=True):
    """A key of a Secret in the demo's namespace."""

    name: str
    key: str


class FromSecret(Struct, frozen=True, kw_only=True):
    """A value that is a secret."""

    secret_key_ref: SecretKey


class InboxTarget(Struct, frozen=True, kw_only=True):
    """The chart's own receiver."""

    dialect: Literal["Slack", "GoogleChat", "Alertmanager", "Webhook"]


class ChatTarget(Struct, frozen=True, kw_only=True):
    """An incoming webhook of Slack or Google Chat."""

    url_from: FromSecret


class BasicAuth(Struct, frozen=True, kw_only=True):
    """HTTP basic authentication."""

    username: str
    password_from: FromSecret


class HttpTarget(Struct, frozen=True, kw_only=True):
    """An Alertmanager, or any receiver of webhooks."""

    url: str | None = None
    url_from: FromSecret | None = None
    basic_auth: BasicAuth | None = None
    bearer_token_from: FromSecret | None = None
    ca_from: FromSecret | None = None
    signing_secret_from: FromSecret | None = None
    previous_signing_secret_from: FromSecret | None = None


class Target(Struct, frozen=True, kw_only=True):
    """Somebody who is told; the CRD admits exactly one kind."""

    name: str
    inbox: InboxTarget | None = None
    slack: ChatTarget | None = None
    google_chat: ChatTarget | None = None
    alertmanager: HttpTarget | None = None
    webhook: HttpTarget | None = None


class NotificationsSpec(Struct, frozen=True, kw_only=True):
    """spec.notifications."""

    targets: tuple[Target, ...] = ()


class Emitter(Struct, frozen=True, kw_only=True):
    """The lines by which the shipping is proved."""

    lines: int
    """So many on each node."""

    lines_per_second: int
    run: int


class Header(Struct, frozen=True, kw_only=True):
    """A header of HTTP whose value is a secret."""

    name: str
    value_from: FromSecret


class OtlpHttp(Struct, frozen=True, kw_only=True):
    """Any receiver of OTLP over HTTP."""

    endpoint: str
    headers: tuple[Header, ...] = ()
    ca_from: FromSecret | None = None


class Destination(Struct, frozen=True, kw_only=True):
    """Where the logs go; nothing in it is the built-in aggregator."""

    otlp_http: OtlpHttp | None = None


class OnNodes(Struct, frozen=True, kw_only=True):
    """On which nodes a section has its Pods."""

    tolerate_control_plane: bool
    tolerations: tuple[dict[str, Any], ...] = ()
    """As the API has them."""

    node_selector: dict[str, str] = {}


class LogShipping(OnNodes, frozen=True, kw_only=True):
    """spec.logShipping."""

    resources: dict[str, dict[str, str]] | None = None
    emitter: Emitter
    retention: str
    storage: str
    storage_class_name: str | None = None
    destination: Destination = Destination()


class ServiceDiscovery(OnNodes, frozen=True, kw_only=True):
    """spec.serviceDiscovery."""


StatefulScenario = Literal["Postgres", "Diary"]


class RollingUpdate(Struct, frozen=True, kw_only=True):
    """updateStrategy.rollingUpdate of a StatefulSet."""

    partition: int


class UpdateStrategy(Struct, frozen=True, kw_only=True):
    """updateStrategy of a StatefulSet."""

    type: Literal["RollingUpdate", "OnDelete"]
    rolling_update: RollingUpdate | None = None

    @property
    def partition(self) -> int:
        """Members below it keep their template; 0: none does."""
        return self.rolling_update.partition if self.rolling_update else 0


class StatefulSet(Struct, frozen=True, kw_only=True):
    """spec.statefulSet."""

    scenario: StatefulScenario
    replicas: int
    storage: str
    storage_class_name: str | None = None
    retain: bool
    """Whether claims stay when their member or the demo goes."""

    pod_management_policy: Literal["OrderedReady", "Parallel"]
    update_strategy: UpdateStrategy
    image: str | None = None
    """Another image of the scenario's program, for the lesson on updates."""

    resources: dict[str, dict[str, str]] | None = None


class Spec(Struct, frozen=True, kw_only=True):
    """What the lesson shows."""

    jobs: tuple[Job, ...] = ()
    cron_jobs: tuple[CronJob, ...] = ()
    log_shipping: LogShipping | None = None
    service_discovery: ServiceDiscovery | None = None
    stateful_set: StatefulSet | None = None
    notifications: NotificationsSpec = NotificationsSpec()


class Attempt(Struct, frozen=True, kw_only=True):
    """One Pod of a Job, as it is told on the status."""

    pod: str
    node: str | None = None
    index: int | None = None
    outcome: AttemptOutcome
    exit_code: int | None = None
    reason: str | None = None
    start_time: str | None = None
    finish_time: str | None = None
    log: str | None = None
    """None: not read yet, or the Pod went first. Empty: it wrote nothing."""


class PastRun(Struct, frozen=True, kw_only=True):
    """An earlier run of an entry."""

    job: str
    run: int
    outcome: str
    reason: str | None = None
    start_time: str | None = None
    finish_time: str | None = None
    attempts: int
    log: str | None = None


class JobStatus(Struct, frozen=True, kw_only=True):
    """What an entry of spec.jobs showed."""

    name: str
    scenario: str
    run: int
    expected: Outcome
    expected_reason: str | None = None
    outcome: Outcome
    reason: str | None = None
    message: str | None = None
    as_expected: bool | None = None
    job: str | None = None
    uid: str | None = None
    start_time: str | None = None
    finish_time: str | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    completed_indexes: str | None = None
    failed_indexes: str | None = None
    notified: tuple[Notice, ...] = ()
    log_query: str | None = None
    """A command that shows its log in the aggregator."""

    attempts: tuple[Attempt, ...] = ()
    history: tuple[PastRun, ...] = ()


RunOutcome = Literal[
    "Running",
    "Complete",
    "Failed",
    "Stuck",
    "Replaced",
    "Skipped",
    "Missed",
    "Deleted",
    "Unknown",
]


class Run(Struct, frozen=True, kw_only=True):
    """A run of a CronJob, or what came instead of one at a time of its schedule."""

    job: str | None = None
    uid: str | None = None
    scheduled_time: str | None = None
    manual: int | None = None
    outcome: RunOutcome
    reason: str | None = None
    start_time: str | None = None
    finish_time: str | None = None
    attempts: int = 0
    exit_code: int | None = None
    node: str | None = None
    notified: tuple[Notice, ...] = ()
    log_query: str | None = None
    log: str | None = None


class CronJobStatus(Struct, frozen=True, kw_only=True):
    """What an entry of spec.cronJobs showed."""

    name: str
    scenario: str
    expected: str
    as_expected: bool | None = None
    reason: str | None = None
    message: str | None = None
    cron_job: str | None = None
    uid: str | None = None
    schedule: str | None = None
    next_run: str | None = None
    next_run_local: str | None = None
    last_run: str | None = None
    last_outcome: str | None = None
    last_success: str | None = None
    consecutive_failures: int = 0
    active: int = 0
    peak_active: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    replaced: int = 0
    missed: int = 0
    unknown: int = 0
    run_now: int = 0
    counted_until: str | None = None
    runs: tuple[Run, ...] = ()


class Delivery(Struct, frozen=True, kw_only=True):
    """A message to a target."""

    id: str
    of: str
    job: str | None = None
    outcome: Notice
    target: str
    state: Literal["Pending", "Delivered", "Refused", "Failed", "Withdrawn"]
    code: int | None = None
    attempts: int = 0
    latency: str | None = None
    time: str
    reason: str | None = None
    message: str | None = None


class TargetStatus(Struct, frozen=True, kw_only=True):
    """How a target does."""

    name: str
    kind: str
    state: Literal["Idle", "Delivering", "Retrying", "Refused"]
    message: str | None = None
    delivered: int = 0
    waiting: int = 0
    firing: tuple[str, ...] = ()


class NotificationsStatus(Struct, frozen=True, kw_only=True):
    """Who was told what. No count is left out: that nothing failed is worth reading."""

    delivered: int
    pending: int
    failed: int
    targets: tuple[TargetStatus, ...] = ()
    recent: tuple[Delivery, ...] = ()


class NodeLogs(Struct, frozen=True, kw_only=True):
    """What became of the lines that were written on a node."""

    node: str
    emitter: str
    """Name of the Pod that writes them."""

    restarts: int
    """How often it was started again: each start writes its lines anew."""

    complete: bool
    """Whether all it has to write is written, and all of that received."""

    written: int
    received: int | None = None
    """This and what follows: none where the logs go elsewhere."""

    missing: int | None = None
    duplicate: int | None = None
    lag: str | None = None
    """How much older the newest line received is than the newest one written."""


class UncoveredNode(Struct, frozen=True, kw_only=True):
    """A node without a ready Pod of the section's DaemonSet, and why."""

    node: str
    reason: str
    message: str
    as_asked: bool
    """Whether the spec leaves it out on purpose."""


class LogShippingStatus(Struct, frozen=True, kw_only=True):
    """What spec.logShipping showed."""

    desired: int
    """Nodes of the cluster."""

    covered: int
    """Nodes with a log shipper that is ready."""

    reason: str
    message: str
    as_expected: bool | None = None
    run: int
    written: int
    received: int | None = None
    """This and what follows: none where the logs go elsewhere."""

    missing: int | None = None
    duplicate: int | None = None
    aggregator: str | None = None
    """Name of its Service; none where the logs go elsewhere."""

    uncovered: tuple[UncoveredNode, ...] = ()
    nodes: tuple[NodeLogs, ...] = ()


class NodePods(Struct, frozen=True, kw_only=True):
    """What the agent of a node publishes."""

    node: str
    agent: str
    """Name of its Pod."""

    pods: int


class ServiceAddresses(Struct, frozen=True, kw_only=True):
    """A Service by both accounts."""

    service: str
    agents: int
    """Addresses of ready Pods that the agents know for its selector."""

    endpoint_slices: int
    """Ready addresses in its EndpointSlices."""

    only_agents: tuple[str, ...] = ()
    only_endpoint_slices: tuple[str, ...] = ()
    """The first few, here and above."""


class ServiceDiscoveryStatus(Struct, frozen=True, kw_only=True):
    """What spec.serviceDiscovery showed."""

    desired: int
    """Nodes of the cluster."""

    covered: int
    """Nodes with an agent that is ready."""

    reason: str
    message: str
    as_expected: bool | None = None
    uncovered: tuple[UncoveredNode, ...] = ()
    nodes: tuple[NodePods, ...] = ()
    services: tuple[ServiceAddresses, ...] = ()


Role = Literal["Primary", "Replica"]


class Member(Struct, frozen=True, kw_only=True):
    """A member of the StatefulSet and what proves that it is the same as before."""

    pod: str
    """Name of its Pod, which is its own name."""

    ordinal: int
    ready: bool
    node: str | None = None
    pod_uid: str | None = None
    revision: str | None = None
    """Of the Pod template that it was made from."""

    claim: str
    volume: str | None = None
    restarts: int
    """Of the containers of this Pod. No count is left out: nothing is worth reading, too."""

    role: Role | None = None
    lag: str | None = None
    """How much a replica has still to replay."""

    first_seen: str | None = None
    """When the data was first started on, by the data itself."""

    starts: int
    """How often it was started on this data, by the data itself."""

    came_back: int
    """How many times its Pod was replaced by another one of the same name."""

    same_claim: bool | None = None
    """Whether it has had the same claim and volume ever since it was first seen."""

    same_data: bool | None = None
    """Whether all that was on its volume before is there still."""

    identifier: str | None = None
    """Of the data: PostgreSQL's system identifier, or the diary's own."""

    checksum: str | None = None
    """Of its newest entry, which includes all before."""

    message: str | None = None
    """What is wrong with it."""


class Step(Struct, frozen=True, kw_only=True):
    """Something that happened to a member."""

    time: str
    pod: str
    what: Literal["Created", "Ready", "NotReady", "Stopping", "Gone"]
    revision: str | None = None


class Blockage(Struct, frozen=True, kw_only=True):
    """What keeps the StatefulSet from going on, and the way out."""

    reason: str
    message: str
    way_out: str
    pod: str | None = None


class StatefulSetStatus(Struct, frozen=True, kw_only=True):
    """What spec.statefulSet showed."""

    scenario: StatefulScenario
    stateful_set: str
    """Its name."""

    service: str
    """Name of the Service that its users take."""

    replicas: int
    ready: int
    updated: int
    """Members made from the newest Pod template."""

    reason: str
    message: str
    as_expected: bool | None = None
    identifier: str | None = None
    """The system identifier that all members share, of a database."""

    rows: int | None = None
    """Entries of the ledger that was written through the Service, of a database."""

    blocked: Blockage | None = None
    members: tuple[Member, ...] = ()
    steps: tuple[Step, ...] = ()
    """The newest, the oldest first."""

    kept_claims: tuple[str, ...] = ()
    """Claims without a member, which hold its data until it comes back."""


class Condition(Struct, frozen=True, kw_only=True):
    """A metav1.Condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    observed_generation: int
    last_transition_time: str
    reason: str
    message: str


class Story(Struct, frozen=True, kw_only=True):
    """The short form of a concept's story."""

    concept: str
    problem: str
    why: str
    solution: str
    alternatives: tuple[str, ...]
    use_cases: tuple[str, ...]
    try_: tuple[str, ...] = msgspec.field(name="try")


class Status(Struct, frozen=True, kw_only=True):
    """The whole status."""

    observed_generation: int = 0
    phase: Phase | None = None
    summary: str = ""
    conditions: tuple[Condition, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    cron_jobs: tuple[CronJobStatus, ...] = ()
    log_shipping: LogShippingStatus | None = None
    service_discovery: ServiceDiscoveryStatus | None = None
    stateful_set: StatefulSetStatus | None = None
    notifications: NotificationsStatus | None = None
    story: tuple[Story, ...] = ()


class WorkshopDemo(Struct, frozen=True, kw_only=True):
    """The object, with what the operator needs of its metadata."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec
    status: Status
    """As it stands on the API server: the operator's memory of what is gone from the cluster."""

    @property
    def key(self) -> DemoKey:
        """Its identity as its user knows it."""
        return DemoKey(self.namespace, self.name)


def parse(body: Mapping[str, Any]) -> WorkshopDemo:
    """A WorkshopDemo from its API object.

    Raises:
        InvalidSpecError: the object does not fit this version's structs; names the field.
    """
    metadata = body["metadata"]
    return WorkshopDemo(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=_convert(body.get("spec") or {}, Spec, "spec"),
        status=parse_status(body),
    )


def parse_status(body: Mapping[str, Any]) -> Status:
    """The status as it stands; a part that this version cannot read counts as not there.

    Another version may have written it, an older one or, after a rollback, a newer one.
    """
    status = body.get("status") or {}
    told = Status()
    for field in msgspec.structs.fields(Status):
        if field.encode_name in status:
            with suppress(InvalidSpecError):
                part = _convert(status[field.encode_name], field.type, "status")
                told = msgspec.structs.replace(told, **{field.name: part})
    return told


def _convert(value: object, kind: type[_T], root: str) -> _T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$")
        raise InvalidSpecError(f"{root}{path.rstrip('`')}", problem) from None
