"""Whether a living object is still what the plan asks for."""

from collections.abc import Mapping
from typing import Any

from workshopdemo import names
from workshopdemo.plan.build import Intent
from workshopdemo.plan.meta import Manifest
from workshopdemo.plan.quantity import quantity


def prepared(intent: Intent, live: Mapping[str, Any] | None) -> Manifest:
    """The body to apply: the full intent, marked with its digest.

    What cannot change in place is sent back as it is where the object exists, so that an operator
    of a newer image or version can still put the rest right.
    """
    manifest = intent.manifest
    metadata = dict(manifest["metadata"])
    mark = {names.INTENT_ANNOTATION: intent.digest}
    metadata["annotations"] = metadata.get("annotations", {}) | mark
    body = manifest | {"metadata": metadata}
    if live is not None and intent.immutable:
        asked = manifest["spec"].items()
        spec = {name: value for name, value in asked if name not in intent.immutable}
        kept = intent.immutable & live["spec"].keys()
        body["spec"] = spec | {name: live["spec"][name] for name in sorted(kept)}
    return body


def needs_apply(intent: Intent, live: Mapping[str, Any]) -> bool:
    """Whether the object differs from the intent in anything that the intent names."""
    return not _contains(live, prepared(intent, live))


def was_edited(intent: Intent, live: Mapping[str, Any]) -> bool:
    """Whether somebody else changed the object: the plan has not changed since it was applied."""
    annotations = live["metadata"].get("annotations") or {}
    return bool(annotations.get(names.INTENT_ANNOTATION) == intent.digest)


def unchangeable(intent: Intent, live: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields of its spec that are not as intended, and that Kubernetes does not let change."""
    wanted, there = intent.manifest["spec"], live.get("spec") or {}
    return tuple(
        sorted(
            name
            for name in intent.immutable & wanted.keys()
            if not _contains(there.get(name), wanted[name])
        )
    )


def _contains(live: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and _contains(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_contains(*pair) for pair in zip(live, wanted, strict=True))
        )
    return live == wanted or _same_quantity(live, wanted)


def _same_quantity(live: object, wanted: object) -> bool:
    """The API server writes quantities its own way: 0.5 cpu becomes 500m."""
    if not (isinstance(live, str) and isinstance(wanted, str)):
        return False
    left, right = quantity(live), quantity(wanted)
    return left is not None and left == right
