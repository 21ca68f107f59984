"""What a node agent publishes (programs/node_agent): its answer, read strictly."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

PODS_PATH: Final = "/pods"

PODS: Final = 2000
"""More than a node ever has: kubelets take 110 unless told otherwise."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
_Address = Annotated[str, msgspec.Meta(min_length=2, max_length=45)]
_LabelValue = Annotated[str, msgspec.Meta(max_length=63)]
_LabelKey = Annotated[str, msgspec.Meta(min_length=1, max_length=317)]


class BadAnswerError(ValueError):
    """Not what an agent says."""


@dataclass(frozen=True)
class PublishedPod:
    """A Pod by its node's agent."""

    addresses: tuple[str, ...]
    is_ready: bool
    labels: Mapping[str, str]


class _Pod(msgspec.Struct, frozen=True):
    name: _Name
    ips: Annotated[tuple[_Address, ...], msgspec.Meta(min_length=1, max_length=4)]
    ready: bool
    labels: dict[_LabelKey, _LabelValue]


class _Answer(msgspec.Struct, frozen=True):
    pods: Annotated[tuple[_Pod, ...], msgspec.Meta(max_length=PODS)]


def published_pods(answer: bytes) -> tuple[PublishedPod, ...]:
    """The Pods that an agent tells of.

    Raises:
        BadAnswerError: that is no agent's answer.
    """
    try:
        told = msgspec.json.decode(answer, type=_Answer)
        return tuple(
            PublishedPod(tuple(map(_plain, pod.ips)), pod.ready, pod.labels) for pod in told.pods
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadAnswerError from None


def _plain(address: str) -> str:
    """As Kubernetes writes it, so that one address is one text."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.scope_id is not None:
        raise BadAnswerError
    return str(found)
