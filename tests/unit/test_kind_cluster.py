"""deploy/kind's decisions: which cluster is alive, what a machine lacks, what is told."""

import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from unit.kind_modules import KIND, load

cache = load("cache")
cluster = load("cluster")
demo = load("demo")
engine = load("engine")
host = load("host")
oci = load("oci")
steps = load("steps")
story = load("story")

Health = cluster.Health


def nodes(*states: str) -> list:
    return [cluster.Node(f"node-{number}", state, "image") for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("found", "answers", "health"),
    [
        (nodes(), True, Health.ABSENT),
        (nodes("running", "running", "running"), True, Health.ALIVE),
        (nodes("running", "running", "running"), False, Health.DEAD),
        (nodes("running", "running", "exited"), True, Health.DEAD),
        (nodes("running", "running"), True, Health.DEAD),
        (nodes("created"), False, Health.DEAD),
    ],
)
def test_a_cluster_is_alive_only_whole_and_answering(found, answers, health) -> None:
    assert cluster.judge(found, answers=answers) is health


def test_what_is_wrong_is_said() -> None:
    assert "node-1 exited" in cluster.describe(nodes("running", "exited", "running"))
    assert "1 of 3 nodes missing" in cluster.describe(nodes("running", "running"))
    assert "does not answer" in cluster.describe(nodes("running", "running", "running"))


def test_only_the_demo_cluster_is_in_the_users_kubeconfig(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path))
    assert cluster.access("workshop") == cluster.Access("kind-workshop", None)
    other = cluster.access("other")
    assert other == cluster.Access("kind-other", tmp_path / "clusters" / "other.kubeconfig")
    assert other.flags == ["--kubeconfig", other.kubeconfig]


@pytest.mark.parametrize(
    ("bounding", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False)]
)
def test_the_runtime_shim_is_only_for_a_missing_capability(bounding, lacks) -> None:
    status = f"Name:\tx\nCapBnd:\t{bounding}\n"
    assert host.lacks_capability(host.CAP_SYS_RESOURCE, status) is lacks


def test_a_failed_build_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path))

    def broken(directory: Path) -> None:
        (directory / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.artefact("thing", "key", broken)
    assert cache.existing("thing", "key") is None
    assert list((tmp_path / "tmp").iterdir()) == []

    made = cache.artefact("thing", "key", lambda directory: (directory / "whole").touch())
    assert (made / "whole").exists()
    assert cache.artefact("thing", "key", broken) == made


def test_a_second_invocation_waits_and_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path))
    code = "import cache\nwith cache.exclusive('second'): print('inside')"
    with cache.exclusive("first"):
        second = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=KIND,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "Waiting for `first`" in second.stderr.readline()
        time.sleep(0.1)
        assert second.poll() is None
    assert second.communicate(timeout=10)[0] == "inside\n"


def test_a_command_that_fails_is_one_sentence_with_its_log(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path))
    with pytest.raises(steps.Failure, match=r"It broke\. Log: .*try-it\.log"), steps.step("try it"):
        steps.run(["sh", "-c", "echo why; exit 3"], otherwise="It broke.")
    (log,) = (tmp_path / "logs").glob("*try-it.log")
    assert "why" in log.read_text()


def test_the_first_failure_ends_the_other_commands(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path))
    started = time.monotonic()

    def fails() -> None:
        time.sleep(0.2)
        raise steps.Failure("No.")

    with pytest.raises(steps.Failure, match="No"):
        steps.together(lambda: steps.run(["sleep", "60"]), fails)
    assert time.monotonic() - started < 10


def test_an_image_archive_suits_containerd_and_docker(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "root"
    root.mkdir()
    (root / "hello").write_text("world")
    layer = oci.pack(tmp_path / "layer.tar", root, directories=["tmp"])
    image = oci.Image("thing:1", (layer,), entrypoint=("/hello",))
    for name in ("one.tar", "two.tar"):
        oci.write(tmp_path / name, [image])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()

    with tarfile.open(tmp_path / "one.tar") as tar:
        index = json.load(tar.extractfile("index.json"))
        (docker,) = json.load(tar.extractfile("manifest.json"))
        (entry,) = index["manifests"]
        manifest = json.load(tar.extractfile("blobs/sha256/" + entry["digest"].split(":")[1]))
        assert set(docker["Layers"]) | {docker["Config"]} <= set(tar.getnames())
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/thing:1"
    assert docker["RepoTags"] == ["thing:1"]
    assert docker["Config"].endswith(manifest["config"]["digest"].split(":")[1])


@pytest.mark.parametrize(
    ("ref", "full"),
    [
        ("busybox:1", "docker.io/library/busybox:1"),
        ("otel/collector:1", "docker.io/otel/collector:1"),
        ("example.com/a/b:1", "example.com/a/b:1"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
    ],
)
def test_short_names_of_images(ref: str, full: str) -> None:
    assert oci.full_name(ref) == full


def wd(*, observed: int, status: str, phase: str = "Progressing") -> dict:
    condition = {"type": "Ready", "status": status, "observedGeneration": observed}
    return {
        "metadata": {"name": "bookshop", "generation": 2},
        "status": {"phase": phase, "summary": "1/2 jobs", "conditions": [condition]},
    }


def test_ready_counts_for_the_latest_spec_only() -> None:
    assert demo.is_ready(wd(observed=2, status="True"))
    assert not demo.is_ready(wd(observed=1, status="True"))
    assert not demo.is_ready(wd(observed=2, status="False"))
    assert not demo.is_ready({"metadata": {"name": "bookshop", "generation": 1}})


def test_progress_is_phase_and_summary() -> None:
    assert demo.progress(wd(observed=2, status="False")) == "bookshop: Progressing · 1/2 jobs"
    assert demo.progress({"metadata": {"name": "new"}}) == "new: Pending"


@pytest.mark.parametrize("ref", ["operator", "example.com:5000/operator", "operator@sha256:00"])
def test_an_image_without_a_tag_is_refused(ref: str) -> None:
    with pytest.raises(steps.Failure, match="tag"):
        demo.Image.parse(ref)


def test_an_image_is_split_at_its_tag() -> None:
    assert demo.Image.parse("example.com:5000/a/b:1") == demo.Image("example.com:5000/a/b", "1")


def test_a_story_fits_the_width_but_commands_stay_whole() -> None:
    command = "kubectl get pods " + "-l a=b " * 20
    item = {"concept": "Job", "problem": "word " * 50, "alternatives": ["x " * 60]}
    item["try"] = [command]
    lines = list(story.render(item, 60))
    assert lines[0] == "Job"
    assert any(line.endswith(command) for line in lines)
    assert all(len(line) <= 60 for line in lines if command not in line)


@pytest.mark.parametrize("content", ["1", "999999999", "", "no number"])
def test_a_pid_file_that_is_not_dockerds_is_removed(content, tmp_path) -> None:
    pid_file = tmp_path / "docker.pid"
    pid_file.write_text(content)
    engine._forget_stale_pid(pid_file)
    assert not pid_file.exists()
    engine._forget_stale_pid(pid_file)
