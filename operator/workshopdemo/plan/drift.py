"""Whether a living object is still what the plan asks for."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from workshopdemo import names
from workshopdemo.plan.build import Intent
from workshopdemo.plan.meta import Manifest

_QUANTITY: Final = re.compile(r"^(\d+(?:\.\d+)?)([numkMGTPE]|[KMGTPE]i)?$")
_FACTORS: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def prepared(intent: Intent, live: Mapping[str, Any] | None) -> Manifest:
    """The body to apply: the full intent, marked with its digest.

    What cannot change in place is sent back as it is where the object exists, so that an operator
    of a newer image or version can still put the rest right.
    """
    manifest = intent.manifest
    metadata = dict(manifest["metadata"])
    mark = {names.INTENT_ANNOTATION: intent.digest}
    metadata["annotations"] = metadata.get("annotations", {}) | mark
    spec = dict(manifest["spec"])
    if live is not None:
        spec = {name: value for name, value in spec.items() if name not in intent.immutable}
        kept = intent.immutable & live["spec"].keys()
        spec |= {name: live["spec"][name] for name in sorted(kept)}
    return manifest | {"metadata": metadata, "spec": spec}


def needs_apply(intent: Intent, live: Mapping[str, Any]) -> bool:
    """Whether the object differs from the intent in anything that the intent names."""
    return not _contains(live, prepared(intent, live))


def was_edited(intent: Intent, live: Mapping[str, Any]) -> bool:
    """Whether somebody else changed the object: the plan has not changed since it was applied."""
    annotations = live["metadata"].get("annotations") or {}
    return bool(annotations.get(names.INTENT_ANNOTATION) == intent.digest)


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
    left, right = _quantity(live), _quantity(wanted)
    return left is not None and left == right


def _quantity(text: str) -> Decimal | None:
    match = _QUANTITY.match(text)
    return Decimal(match[1]) * _FACTORS[match[2] or ""] if match else None
