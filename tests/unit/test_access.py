"""What the operator lacks is told in sentences with a way out."""

import asyncio
from collections.abc import Sequence

from support import FakeCluster
from workshopdemo.cluster import Access, Cache
from workshopdemo.cluster.access import obstacles
from workshopdemo.errors import UnavailableError


class Guarded(FakeCluster):
    """A cluster that refuses some access, or does not answer."""

    def __init__(self, *refused: str, answers: bool = True) -> None:
        super().__init__(Cache())
        self.refused = refused
        self.answers = answers

    async def allowed(self, access: Access, namespace: str | None) -> bool:
        if not self.answers:
            raise UnavailableError("cannot review the operator's own access: no answer")
        return f"{access}@{namespace or '*'}" not in self.refused


def told(cluster: FakeCluster, *namespaces: str) -> Sequence[str]:
    return asyncio.run(obstacles(cluster, namespaces))


def test_all_is_well() -> None:
    assert told(Guarded()) == []
    assert told(Guarded(), "a", "b") == []


def test_a_missing_verb_is_named_with_the_role_that_lacks_it() -> None:
    assert told(Guarded("patch jobs.batch@*")) == [
        (
            "the operator's service account may not patch jobs.batch in all namespaces: "
            "add the verb to its ClusterRole"
        )
    ]
    (sentence,) = told(Guarded("get pods/log@b"), "a", "b")
    assert "may not get pods/log in namespace b: add the verb to its Role" in sentence


def test_what_kopf_needs_counts_too() -> None:
    assert "customresourcedefinitions" in told(Guarded(*_all_of("list", "customres")))[0]
    assert told(Guarded("list namespaces@*")) == [], "all namespaces need no list of them"
    assert "list namespaces" in told(Guarded("list namespaces@*"), "a")[0]


def _all_of(verb: str, resource: str) -> list[str]:
    return [f"{verb} {resource}ourcedefinitions.apiextensions.k8s.io@*"]


def test_a_missing_crd_is_told_once_with_both_ways_to_install_it() -> None:
    cluster = Guarded()
    cluster.failures["serves"] = UnavailableError("unused")
    (sentence,) = told(cluster, "a", "b")
    assert "kubectl apply -f crds/" in sentence


def test_no_answer_is_told_and_no_failure() -> None:
    (sentence,) = told(Guarded(answers=False))
    assert "it is tried again" in sentence
