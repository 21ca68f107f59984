"""`make push`: every image of the operator and of the demos, in a registry of yours.

They are of this machine's architecture alone, which has to be that of the cluster's nodes.
"""

import re
from collections.abc import Iterator

import images
import oci
import operatorimage
from pins import PINS
from steps import Failure, output, run, step

EXAMPLE = "make push REGISTRY=registry.local:5000/workshop"
# A registry's host, and the path below it; no scheme, no tag.
PREFIX = re.compile(r"[a-zA-Z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def prefix(registry: str) -> str:
    """What names in the registry begin with, from what somebody typed."""
    if not registry:
        raise Failure(f"Name the registry, with a path below it or without: {EXAMPLE}")
    if not PREFIX.fullmatch(registry.rstrip("/")):
        raise Failure(
            f"REGISTRY={registry} is no registry with or without a path; it has no https:// and no "
            f"tag: {EXAMPLE}"
        )
    found = registry.rstrip("/")
    if not oci.is_host(found.partition("/")[0]):
        raise Failure(
            f"REGISTRY={registry} names no host, which has a dot or a port (Docker Hub's is "
            f"docker.io): {EXAMPLE}"
        )
    return found


def mirrored(ref: str, prefix: str) -> str:
    """An image's name there: the host that it names gives way, as in the chart's imageRegistry."""
    first, _, rest = ref.partition("/")
    return f"{prefix}/{rest if rest and oci.is_host(first) else ref}"


def push(prefix: str) -> str:
    """Push all images; returns the operator's ref here, by which its tag is known."""
    operator = operatorimage.ensure()
    for ref in [*images.ensure(images.DEMO_IMAGES), operator]:
        _push(ref, mirrored(ref, prefix))
    return operator


def _push(ref: str, target: str) -> None:
    host = target.partition("/")[0]
    with step(f"push {target}"):
        run(["docker", "tag", ref, target], otherwise=f"docker has no image {ref}.")
        try:
            run(
                ["docker", "push", target],
                otherwise=f"docker could not push {target}. If {host} wants a log-in: `docker "
                f"login {host}`. If it has no TLS, it has to be among dockerd's "
                "insecure-registries.",
            )
        finally:
            # The name was for the push alone; the image stays under its own.
            output(["docker", "image", "rm", target])


def next_steps(prefix: str, operator: str) -> Iterator[str]:
    """What to type next, when the operator's image and all others are there."""
    tag = operator.rpartition(":")[2]
    yield "What to type next"
    yield "  helm upgrade --install workshop-demo charts/workshop-demo \\"
    yield "    --namespace workshop-system --create-namespace --wait \\"
    yield f"    --set imageRegistry={prefix} --set-string image.tag={tag}"
    # Demos may name images themselves, and those are nobody's to change.
    named = PINS.images["busybox"]
    change = f"s|image: {named}$|image: {mirrored(named, prefix)}|"
    yield f"  sed '{change}' deploy/demos/01-jobs.yaml | kubectl apply -f -"
