"""Container images written as files: no engine, no network, the same bytes from the same input.

An archive holds an OCI layout (what containerd imports) and Docker's older manifest.json (what
`docker load` of any age reads), both over the same blobs, so an image has one ID everywhere.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import cache
import host

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CHUNK = 1 << 20
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """What an image is made of; `layers` are tars, the lowest first."""

    ref: str
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = (PATH,)
    user: str = ""
    stop_signal: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    def config(self, diff_ids: Sequence[str]) -> dict[str, object]:
        """The image's configuration; its digest is the image's ID."""
        process = {
            "Entrypoint": self.entrypoint,
            "Cmd": self.command,
            "Env": self.env,
            "User": self.user,
            "StopSignal": self.stop_signal,
            "Labels": self.labels,
        }
        return {
            "architecture": host.go_architecture(),
            "os": "linux",
            "config": {key: value for key, value in process.items() if value},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "deploy/kind"} for _ in diff_ids],
        }


def pack(archive: Path, root: Path, directories: Sequence[str] = ()) -> Path:
    """A directory as a layer: owned by root and without times; `directories` are writable ones."""
    with tarfile.open(archive, "w") as tar:
        for name in directories:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
        for path in sorted(root.rglob("*")):
            tar.add(path, path.relative_to(root).as_posix(), recursive=False, filter=_anonymous)
    return archive


def write(archive: Path, images: Sequence[Image], *, compress: bool = True) -> None:
    """Write an archive of images; layers they share are in it once."""
    with cache.scratch("image") as layout:
        blobs = Blobs(layout / "blobs" / "sha256")
        layers = sorted({layer for image in images for layer in image.layers})
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            stored = pool.map(lambda layer: blobs.add_layer(layer, compress=compress), layers)
            by_path = dict(zip(layers, stored, strict=True))
        entries = [_manifest(blobs, image, [by_path[p] for p in image.layers]) for image in images]
        index = {"schemaVersion": 2, "manifests": [oci for oci, _ in entries]}
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (layout / "index.json").write_text(json.dumps(index))
        (layout / "manifest.json").write_text(json.dumps([docker for _, docker in entries]))
        pack(archive, layout)


@dataclass(frozen=True)
class Layer:
    """A stored layer; `diff_id` is the digest of its tar before compression."""

    digest: str
    size: int
    diff_id: str
    media_type: str


class Blobs:
    """The content-addressed files of a layout."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)

    def add_json(self, value: object, media_type: str) -> dict[str, object]:
        """Store a document, and describe it as others refer to it."""
        content = json.dumps(value, sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()
        (self._directory / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add_layer(self, tar: Path, *, compress: bool) -> Layer:
        """Store a layer, hashing it on both sides of the compression."""
        partial = self._directory / f".{hashlib.sha256(str(tar).encode()).hexdigest()}"
        with tar.open("rb") as source, partial.open("wb") as file:
            blob = _Hashed(file)
            if compress:
                with gzip.GzipFile("", "wb", 6, blob, mtime=0) as target:
                    diff_id = _copy(source, target)
            else:
                diff_id = _copy(source, blob)
        digest, size = blob.sha256.hexdigest(), partial.stat().st_size
        partial.rename(self._directory / digest)
        media_type = LAYER_TYPE + ("+gzip" if compress else "")
        return Layer(f"sha256:{digest}", size, f"sha256:{diff_id}", media_type)


class _Hashed(io.RawIOBase):
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        self.sha256.update(data)
        return self._file.write(data)


def _copy(source: IO[bytes], target: "gzip.GzipFile | _Hashed") -> str:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _manifest(
    blobs: Blobs, image: Image, layers: Sequence[Layer]
) -> tuple[dict[str, object], dict[str, object]]:
    config = blobs.add_json(image.config([layer.diff_id for layer in layers]), CONFIG_TYPE)
    described = [
        {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
        for layer in layers
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}
    entry = blobs.add_json(manifest | {"config": config, "layers": described}, MANIFEST_TYPE)
    entry["annotations"] = {"io.containerd.image.name": full_name(image.ref)}
    docker: dict[str, object] = {
        "Config": _blob_path(str(config["digest"])),
        "RepoTags": [image.ref],
        "Layers": [_blob_path(layer.digest) for layer in layers],
    }
    return entry, docker


def full_name(ref: str) -> str:
    """The name the kubelet looks for: "busybox:1" is short for a name with a host."""
    first, slash, _ = ref.partition("/")
    if slash and is_host(first):
        return ref
    return f"docker.io/{ref}" if slash else f"docker.io/library/{ref}"


def is_host(first: str) -> bool:
    """Whether the first of several parts of an image's name is its registry's host."""
    return "." in first or ":" in first or first == "localhost"


def _blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
