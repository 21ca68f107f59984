"""Names, labels and identities that everything else agrees on."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

GROUP: Final = "workshopdemo.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "WorkshopDemo"
PLURAL: Final = "workshopdemos"
CRD_NAME: Final = f"{PLURAL}.{GROUP}"

FIELD_MANAGER: Final = "workshopdemo"
"""Owner of the fields we write by server-side apply (KEP-555)."""

LEDGER_MANAGER: Final = f"{FIELD_MANAGER}-ledger"
"""Owner of the ledger's annotations, so that no apply of an intent takes them away."""

DEMO_LABEL: Final = f"{GROUP}/demo"
DEMO_UID_LABEL: Final = f"{GROUP}/demo-uid"
"""On every child and its Pods: what the operator prunes by."""

CHILD_LABELS: Final = (DEMO_UID_LABEL, DEMO_LABEL)
"""What the operator watches by: an object with only one of them is nobody's child."""

JOB_LABEL: Final = f"{GROUP}/job"
"""Name of the entry in spec.jobs that a Job belongs to."""

RUN_LABEL: Final = f"{GROUP}/run"
CRON_JOB_LABEL: Final = f"{GROUP}/cron-job"
"""Name of the entry in spec.cronJobs that a CronJob, its Jobs and their Pods belong to."""

RUN_NOW_LABEL: Final = f"{GROUP}/run-now"
"""On a Job that runs outside the schedule: the runNow it was made for."""

COMPONENT_LABEL: Final = f"{GROUP}/component"
"""What part of a section's machinery an object is, such as log-shipper."""

INTENT_ANNOTATION: Final = f"{GROUP}/intent"
"""Digest of what the plan last asked of this object."""

CONFIG_ANNOTATION: Final = f"{GROUP}/config"
"""On a Pod template: digest of the configuration that its Pods read, so that a new one replaces
them."""

POD_NAME_LABEL: Final = "statefulset.kubernetes.io/pod-name"
"""On each member of a StatefulSet: its name (apps/v1)."""

REVISION_LABEL: Final = "controller-revision-hash"
"""On each member of a StatefulSet: the revision of the template that it was made from."""

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
"""On each EndpointSlice: the Service that it is of (discovery/v1)."""

LEDGER_PREFIX: Final = f"notify.{GROUP}/"
"""Annotations with the ledger of notifications, one a target."""

CONTROL_PLANE_TAINT: Final = "node-role.kubernetes.io/control-plane"
"""Key of the taint by which kubeadm keeps ordinary Pods off a control plane."""

POD_NAME_LIMIT: Final = 63
"""A Job's Pods are named after it, and a Pod's name becomes its host name (RFC 1123 label)."""

POD_SUFFIX: Final = len("-00-xxxxx")
"""What Kubernetes appends to a Job's name for its Pods, the index of an Indexed Job included."""

JOB_NAME_LIMIT: Final = POD_NAME_LIMIT - POD_SUFFIX

CRON_JOB_NAME_LIMIT: Final = 52
"""Kubernetes appends `-` and the scheduled time in minutes, ten digits, for the Jobs."""

COMPONENT_NAME_LIMIT: Final = 52
"""`controller-revision-hash`, a label of at most 63, is the name with a hash of ten."""

# No vowels and no look-alikes, as Kubernetes' own generated names: no word appears by accident.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH: Final = 6


class DemoKey(NamedTuple):
    """Identity of a demo as its user knows it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


MEMBER_CLAIM: Final = "data"
"""Name of the claim in volumeClaimTemplates: Kubernetes puts it before each member's name."""


@dataclass(frozen=True, kw_only=True)
class StatefulSetNames:
    """Names of the objects of a demo's StatefulSet."""

    component: str
    main_container: str
    """The container that does what the StatefulSet is for."""

    stateful_set: str
    """Also of the Service that its users take and, of a database, of its Secret."""

    members: str
    """The headless Service that gives each member a name of its own."""

    def pod(self, ordinal: int) -> str:
        """Name of a member."""
        return f"{self.stateful_set}-{ordinal}"

    def claim(self, ordinal: int) -> str:
        """Name of its claim (getPersistentVolumeClaimName in Kubernetes)."""
        return f"{MEMBER_CLAIM}-{self.pod(ordinal)}"

    def ordinal_of(self, pod: str) -> int | None:
        """The member that a Pod is, by its name."""
        match = re.fullmatch(rf"{re.escape(self.stateful_set)}-(0|[1-9][0-9]{{0,8}})", pod)
        return int(match[1]) if match else None

    def ordinal_of_claim(self, claim: str) -> int | None:
        """The member that a claim is of, by its name."""
        before, _, pod = claim.partition("-")
        return self.ordinal_of(pod) if before == MEMBER_CLAIM else None


def digest(value: object, length: int = 16) -> str:
    """Hexadecimal digest of a JSON value, the same on every machine and Python."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def short_hash(value: object) -> str:
    """Six characters that are safe in any Kubernetes name."""
    number = int(digest(value, 32), 16)
    letters = []
    for _ in range(_HASH_LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)


def job_name(demo: str, entry: str, identity: object) -> str:
    """Name of the Job of an entry: readable, and another one whenever `identity` changes.

    A Job's Pod template is immutable, so a changed entry needs a Job of another name.
    """
    suffix = f"-{short_hash(identity)}"
    readable = f"{demo}-{entry}"[: JOB_NAME_LIMIT - len(suffix)].rstrip("-")
    return readable + suffix


def plain_name(demo: str, entry: str, limit: int) -> str:
    """`<demo>-<entry>`, or the beginning of it with a hash where it is too long.

    Two demos can come to the same name (a-b and c, a and b-c), and so can somebody else's object:
    whoever applies such a name looks first whose it is.
    """
    name = f"{demo}-{entry}"
    if len(name) <= limit:
        return name
    suffix = f"-{short_hash([demo, entry])}"
    return name[: limit - len(suffix)].rstrip("-") + suffix


def component_name(demo: str, component: str) -> str:
    """Name of a part of a section's machinery, `<demo>-<component>`.

    Short enough for a StatefulSet: Kubernetes appends a hash to it and makes a label of that.
    """
    return plain_name(demo, component, COMPONENT_NAME_LIMIT)


def controller_of(metadata: Mapping[str, Any]) -> str | None:
    """UID of the object that controls this one, by its owner references."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None
