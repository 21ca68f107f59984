"""What the watches saw: each demo, its Jobs and their Pods.

Beside kopf's watches, what the API server answers to a write goes in here too, so that a reconcile
that runs before the watch tells of it does not write again. Older news of an object never replaces
newer (resource versions of one kind can be compared: KEP-5504).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from workshopdemo import names
from workshopdemo.facts import Child, Node, Object, child_of, node_of
from workshopdemo.names import DemoKey


class Cache:
    """The operator's picture of the cluster."""

    def __init__(self) -> None:
        self._demos: dict[DemoKey, Object] = {}
        self._homes: dict[str, DemoKey] = {}
        """Each demo by its UID, for as long as it, or a child of it, is known."""

        self._children: dict[str, dict[tuple[str, str, str], Child]] = defaultdict(dict)
        """By the demo UID of their labels, which anybody may give: by kind, namespace and name."""

        self._namesakes: dict[DemoKey, set[str]] = defaultdict(set)
        """UIDs of demos that have, or had, that name, and left children."""

        self._buried: dict[str, dict[str, Child]] = defaultdict(dict)
        self._nodes: dict[str, Node] = {}
        self.is_complete = False
        """Whether the watches have told of all there is: before that, missing means nothing."""

    def put_demo(self, body: Mapping[str, Any]) -> None:
        """Remember a demo, unless something newer is known of it."""
        metadata = body["metadata"]
        key = DemoKey(metadata["namespace"], metadata["name"])
        known = self._demos.get(key)
        if known is not None and _is_newer(known["metadata"], metadata):
            return
        self._homes[metadata["uid"]] = key
        self._demos[key] = {
            "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}
        } | {field: body[field] for field in ("spec", "status") if field in body}

    def remove_demo(self, key: DemoKey, uid: str) -> None:
        """Forget a demo that is gone."""
        known = self._demos.get(key)
        if known is not None and known["metadata"]["uid"] == uid:
            del self._demos[key]
        self._buried.pop(uid, None)
        self._forget_home(uid)

    def demo(self, key: DemoKey) -> Object | None:
        """The demo's object, None if there is none."""
        return self._demos.get(key)

    def demos(self) -> dict[DemoKey, str]:
        """All demos there are: key and UID."""
        return {key: body["metadata"]["uid"] for key, body in self._demos.items()}

    def phases(self) -> Counter[str]:
        """How many demos there are of each phase; one without a status has not begun."""
        told = (body.get("status") or {} for body in self._demos.values())
        return Counter(status.get("phase") or "Pending" for status in told)

    def demos_in(self, namespace: str) -> list[Object]:
        """The objects of all demos in a namespace."""
        return [body for key, body in self._demos.items() if key.namespace == namespace]

    def put_child(self, kind: str, body: Mapping[str, Any]) -> None:
        """Remember a child, unless something newer is known of it."""
        child = child_of(kind, body)
        family = self._children[child.demo_uid]
        place = _place(child)
        known = family.get(place)
        if known is None or known.uid != child.uid or known.version <= child.version:
            family[place] = child
            self._namesakes[demo_key_of(child.labels, child.namespace)].add(child.demo_uid)

    def remove_child(self, child: Child) -> None:
        """Forget a child that is gone."""
        demo_uid, place = child.demo_uid, _place(child)
        family = self._children.get(demo_uid, {})
        known = family.get(place)
        if known is not None and known.uid == child.uid:
            del family[place]
            self._forget_namesake(demo_key_of(known.labels, known.namespace), demo_uid)
            if not family:
                del self._children[demo_uid]
                self._forget_home(demo_uid)

    def _forget_home(self, demo_uid: str) -> None:
        """Unless the demo, or a child of it, is there still."""
        home = self._homes.get(demo_uid)
        if home is None or demo_uid in self._children:
            return
        demo = self._demos.get(home)
        if demo is None or demo["metadata"]["uid"] != demo_uid:
            del self._homes[demo_uid]

    def _forget_namesake(self, key: DemoKey, demo_uid: str) -> None:
        left = self._children[demo_uid].values()
        if not any(demo_key_of(child.labels, child.namespace) == key for child in left):
            self._namesakes[key].discard(demo_uid)
            if not self._namesakes[key]:
                del self._namesakes[key]

    def bury_child(self, kind: str, body: Mapping[str, Any]) -> None:
        """Forget a child that is gone, but for its last words: the end of a CronJob's Job.

        Its CronJob's history limits remove it as soon as it ends, and Replace before that; the
        event of its removal may be all that there is to tell its end by.
        """
        child = child_of(kind, body)
        self.remove_child(child)
        if kind == "Job" and names.CRON_JOB_LABEL in child.labels:
            self._buried[child.demo_uid][child.uid] = child

    def buried(self, demo_uid: str) -> list[Child]:
        """Jobs of CronJobs that were seen to be removed, and whose end may not be told yet."""
        return self._at_home(demo_uid, self._buried.get(demo_uid, {}).values())

    def forget_buried(self, demo_uid: str, uids: Iterable[str]) -> None:
        """Their end is told."""
        graves = self._buried.get(demo_uid, {})
        for uid in uids:
            graves.pop(uid, None)
        if not graves:
            self._buried.pop(demo_uid, None)

    def children(self, demo_uid: str, kind: str) -> list[Child]:
        """A demo's children of that kind."""
        return self._at_home(demo_uid, self._labelled(demo_uid, kind))

    def _labelled(self, demo_uid: str, kind: str) -> list[Child]:
        family = self._children.get(demo_uid, {})
        return [child for (of_kind, _, _), child in family.items() if of_kind == kind]

    def _at_home(self, demo_uid: str, labelled: Iterable[Child]) -> list[Child]:
        """Those in the demo's own namespace: whoever may write in another one can put the labels
        of this demo there on what they like.
        """
        home = self._homes.get(demo_uid)
        return [child for child in labelled if home and child.namespace == home.namespace]

    def child(self, demo_uid: str, kind: str, name: str) -> Child | None:
        """One child, None if there is none."""
        home = self._homes.get(demo_uid)
        family = self._children.get(demo_uid, {})
        return family.get((kind, home.namespace, name)) if home is not None else None

    def heirlooms(self, key: DemoKey, demo_uid: str, kind: str) -> list[Child]:
        """Children of that kind of earlier demos of the same name, which outlived them."""
        return [
            child
            for uid in self._namesakes.get(key, set()) - {demo_uid}
            for child in self._labelled(uid, kind)
            if demo_key_of(child.labels, child.namespace) == key
        ]

    def uids(self, demo_uid: str) -> set[str]:
        """UIDs of a demo's children."""
        family = self._children.get(demo_uid, {}).values()
        return {child.uid for child in self._at_home(demo_uid, family)}

    def all_children(self, kind: str) -> list[Child]:
        """The children of that kind of all demos."""
        return [
            child
            for family in self._children.values()
            for (of_kind, _, _), child in family.items()
            if of_kind == kind
        ]

    def put_node(self, body: Mapping[str, Any]) -> bool:
        """Remember a node; says whether anything about it is news, which its heartbeat is not."""
        node = node_of(body)
        is_news = self._nodes.get(node.name) != node
        self._nodes[node.name] = node
        return is_news

    def remove_node(self, name: str) -> None:
        """Forget a node that is gone."""
        self._nodes.pop(name, None)

    def forget_unlisted_nodes(self, known: Iterable[Node], listed: Collection[str]) -> None:
        """Forget nodes that a list of the API server, begun after `known`, no longer has."""
        for node in known:
            if node.name not in listed:
                self.remove_node(node.name)

    def nodes(self) -> list[Node]:
        """The nodes of the cluster, by name."""
        return sorted(self._nodes.values(), key=lambda node: node.name)

    def demos_with(self, *sections: str) -> list[DemoKey]:
        """Keys of demos whose spec has one of these sections."""
        return [
            key
            for key, body in self._demos.items()
            if not (body.get("spec") or {}).keys().isdisjoint(sections)
        ]

    def forget_unlisted_demos(
        self, known: Mapping[DemoKey, str], listed: Collection[str]
    ) -> list[DemoKey]:
        """Forget demos as `forget_unlisted` forgets children; gives which."""
        gone = [key for key, uid in known.items() if uid not in listed]
        for key in gone:
            self.remove_demo(key, known[key])
        return gone

    def forget_unlisted(self, known: Iterable[Child], listed: Collection[str]) -> list[DemoKey]:
        """Forget children that a list of the API server no longer has; gives whose they were.

        A watch that was broken for longer than the API server's history starts again with a list,
        which does not tell what went in between.

        Args:
            known: what was known before the list began; later news is not its business.
            listed: UIDs in the list.
        """
        bereft = []
        for child in known:
            if child.uid not in listed:
                self.remove_child(child)
                bereft.append(demo_key_of(child.labels, child.namespace))
        return bereft


def demo_key_of(labels: Mapping[str, str], namespace: str) -> DemoKey:
    """The demo that a child belongs to."""
    return DemoKey(namespace, labels[names.DEMO_LABEL])


def _place(child: Child) -> tuple[str, str, str]:
    return child.kind, child.namespace, child.name


def _is_newer(known: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    return known["uid"] == news["uid"] and int(known["resourceVersion"]) > int(
        news["resourceVersion"]
    )
