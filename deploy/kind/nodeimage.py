"""The node image: kind's own where it can be pulled, else one built here from packages.

One systemd in a Debian tree, with Kubernetes' programs and the images of its pods. Each part is
kept by the hash of what it is made of, so a changed pin remakes that part and the assembly.
"""

import functools
import shutil
from pathlib import Path
from string import Template

import cache
import debian
import images
import oci
import registry
import tools
from pins import FILES, HERE, PINS, fingerprint
from steps import Failure, output, step, together

NODE_FILES = FILES / "node"
NODE = debian.Tree(
    "node",
    PINS.debian["node"],
    (
        "systemd",
        "containerd",
        "runc",
        "containernetworking-plugins",
        "iptables",
        "iproute2",
        "conntrack",
        "ethtool",
        "kmod",
        "mount",
        "procps",
        "socat",
        "ca-certificates",
    ),
    configured=True,
)
# iptables and its libraries alone: a second Debian would weigh 100 MB.
KUBE_PROXY = debian.Tree("kube-proxy", PINS.debian["node"], ("iptables",))
# `catatonit -P` is a pause process, static and small.
PAUSE = debian.Tree("pause", PINS.debian["node"], ("catatonit",))
TREES = (NODE, KUBE_PROXY, PAUSE, images.BUSYBOX)
MODULES = {
    "Kubernetes programs": tools.KUBERNETES,
    "etcd": tools.ETCD,
    "CoreDNS and local-path-provisioner": tools.ADDONS,
}
STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE_PROGRAMS = ("kubelet", "kubeadm", "kubectl")


def ensure() -> str:
    """The ref of a node image that the engine has."""
    ref = available()
    if ref:
        return ref
    with step("node image from its registry") as pulling:
        pulled = registry.pull(PINS.images["node"])
        pulling.mark = "✓" if pulled else "– no answer, so it is built here:"
    return PINS.images["node"] if pulled else _build()


def available() -> str | None:
    """The ref of a current node image, if the engine has one."""
    return next(filter(registry.present, current_refs()), None)


def current_refs() -> tuple[str, str]:
    """What a node image of these pins is called: kind's own, and the one built here."""
    return PINS.images["node"], built_ref()


@functools.cache  # one name for one run, even while somebody edits the files
def built_ref() -> str:
    """The ref of the image built here, which changes with its content."""
    return f"workshop-demo/node:v{PINS.versions['kubernetes']}-{_key()}"


def _key() -> str:
    return fingerprint(
        *(module.key() for module in MODULES.values()),
        PINS.versions["crictl"],
        *(tree.key() for tree in TREES),
        NODE_FILES,
        HERE / "nodeimage.py",
        HERE / "images.py",
        HERE / "oci.py",
    )


def _build() -> str:
    """Compilers and package downloads wait for different things, so they run side by side."""
    debian.require()
    together(_compile, _gather)
    with step("node image assembled"), cache.scratch("node") as work:
        _assemble(work)
    registry.forget_others(built_ref())
    return built_ref()


def _compile() -> None:
    for title, module in MODULES.items():
        if not module.built():
            with step(title):
                module.directory()
    if not tools.built("crictl"):
        with step("crictl"):
            tools.program("crictl")


def _gather() -> None:
    for tree in TREES:
        if not tree.built():
            with step(f"file system of {tree.name}"):
                tree.archive()


def kubeadm_images() -> dict[str, str]:
    """Short name -> the full ref that kubeadm asks for ("etcd" -> "…/etcd:3.6.x-0")."""
    version = f"v{PINS.versions['kubernetes']}"
    kubeadm = tools.KUBERNETES.directory() / "kubeadm"
    refs = output([kubeadm, "config", "images", "list", "--kubernetes-version", version]).split()
    if not refs:
        raise Failure("The kubeadm built here cannot list its images: remove the cache, try again.")
    return {ref.rpartition("/")[2].partition(":")[0]: ref for ref in refs}


def storage_images() -> dict[str, str]:
    """Images of the default StorageClass's provisioner."""
    version = PINS.versions["local-path-provisioner"]
    return {
        "provisioner": f"rancher/local-path-provisioner:v{version}",
        "helper": PINS.images["busybox"],
    }


def _assemble(work: Path) -> None:
    root = work / "root"
    shutil.copytree(NODE_FILES / "root", root, symlinks=True)
    _write_pod_images(root / "kind" / "images.tar", work)
    (root / "kind" / "version").write_text(f"v{PINS.versions['kubernetes']}")
    refs = {"pause": kubeadm_images()["pause"], **storage_images()}
    for name in ("etc/containerd/config.toml", "kind/manifests/default-storage.yaml"):
        template = Template((root / name).read_text())
        (root / name).write_text(template.substitute(refs))
    for name in NODE_PROGRAMS:
        images.place(tools.KUBERNETES.directory() / name, root / "usr/bin" / name)
    images.place(tools.program("crictl"), root / "usr/bin/crictl")
    image = oci.Image(
        ref=built_ref(),
        layers=(NODE.archive(), oci.pack(work / "root.tar", root)),
        # kind starts nodes with this very entry point.
        entrypoint=("/usr/local/bin/entrypoint", "/sbin/init"),
        env=(oci.PATH, "container=docker"),
        stop_signal="SIGRTMIN+3",
    )
    images.load_into_engine(image, compress=False)


def _write_pod_images(archive: Path, work: Path) -> None:
    """Images of Kubernetes' own pods, compressed; a node imports them when it boots."""
    refs, storage = kubeadm_images(), storage_images()
    built, addons = tools.KUBERNETES.directory(), tools.ADDONS.directory()
    made = [_program_image(work, refs[name], built / name) for name in STATIC_PODS]
    made += [
        _program_image(work, refs["etcd"], tools.ETCD.directory() / "server", "etcd"),
        _program_image(work, refs["coredns"], addons / "coredns", starts=True),
        _program_image(
            work, storage["provisioner"], addons / "local-path-provisioner", starts=True
        ),
        oci.Image(refs["pause"], (PAUSE.archive(),), entrypoint=("/usr/bin/catatonit", "-P")),
        images.image("busybox"),
    ]
    proxy = _program_image(work, refs["kube-proxy"], built / "kube-proxy")
    made.append(oci.Image(proxy.ref, (KUBE_PROXY.archive(), *proxy.layers)))
    oci.write(archive, made)


def _program_image(
    work: Path, ref: str, program: Path, name: str = "", *, starts: bool = False
) -> oci.Image:
    """A static program alone; `starts`: its manifest gives arguments but no command."""
    name = name or program.name
    root = work / f"image-{name}"
    images.place(program, root / "usr/local/bin" / name)
    layer = oci.pack(work / f"{name}.tar", root, directories=["tmp"])
    return oci.Image(ref, (layer,), entrypoint=(f"/usr/local/bin/{name}",) if starts else ())
