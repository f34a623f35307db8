"""Who reaches whom: what NetworkPolicies allow, worked out as the cluster's network would."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.k8s.rendering import Manifest, Manifests, labels

NAMESPACE = "petpro"


@dataclass(frozen=True)
class Pod:
    """One end of a connection."""

    name: str
    labels: tuple[tuple[str, str], ...]
    namespace: str = NAMESPACE


OUTSIDE = Pod("outside", (), "elsewhere")
"""A pod of somebody else's."""

PROMETHEUS = Pod("prometheus", (), "monitoring")
_CALLED = {"app.kubernetes.io/name": "postgresql"}


def pods(manifests: Manifests) -> list[Pod]:
    """One of every workload, and of every kind that an operator makes for the database."""
    found = [_pod(_name(workload), labels(workload)) for workload in manifests.workloads]
    return [*found, *_of_the_operator(manifests)]


def _of_the_operator(manifests: Manifests) -> Iterator[Pod]:
    """A server, a job that makes a standby, and a pooler, with the labels that every CloudNativePG from 1.26 on sets.

    A newer one calls all of them `postgresql`, over a pooler's own labels, and gives what a cluster has its objects
    inherit to its servers alone.
    """
    for cluster in manifests.of("Cluster"):
        of_cluster = {"cnpg.io/cluster": _name(cluster), **_CALLED}
        inherited = cluster["spec"].get("inheritedMetadata", {}).get("labels", {})
        yield _pod(_name(cluster), of_cluster | {"cnpg.io/podRole": "instance"} | inherited)
        yield _pod(f"{_name(cluster)}-join", of_cluster | {"cnpg.io/jobRole": "join"})
    for pooler in manifests.of("Pooler"):
        own = pooler["spec"]["template"].get("metadata", {}).get("labels", {})
        of_cluster = {"cnpg.io/cluster": pooler["spec"]["cluster"]["name"], **_CALLED}
        yield _pod(_name(pooler), own | of_cluster | {"cnpg.io/podRole": "pooler", "cnpg.io/poolerName": _name(pooler)})


def _pod(name: str, labels: Manifest) -> Pod:
    return Pod(name, tuple(sorted(labels.items())))


def _name(workload: Manifest) -> str:
    return str(workload["metadata"]["name"]).removeprefix("petpro-")


def connections(manifests: Manifests, others: tuple[Pod, ...] = ()) -> set[tuple[str, str, int]]:
    """Every (caller, called, port) that both sides' policies allow, over the ports that pods of ours listen on."""
    policies = [each["spec"] for each in manifests.of("NetworkPolicy")]
    everybody = pods(manifests)
    return {
        (caller.name, called.name, port)
        for called in everybody
        for port in (2525, 4222, 5432, 6222, 8000, 8080, 8222, 9100, 9102, 9127, 9187, 9901, 50051)
        for caller in (*everybody, *others)
        if _allowed(policies, "Egress", caller, called, port) and _allowed(policies, "Ingress", called, caller, port)
    }


def _allowed(policies: list[Manifest], direction: str, subject: Pod, other: Pod, port: int) -> bool:
    """Everything is allowed to a pod that no policy of that direction selects; else what one of them allows."""
    if subject.namespace != NAMESPACE:
        return True
    selecting = [
        each for each in policies if direction in each["policyTypes"] and selects(each["podSelector"], subject)
    ]
    return not selecting or any(_rule_allows(rule, other, port) for rule in _rules(selecting, direction))


def _rules(policies: list[Manifest], direction: str) -> Iterator[tuple[list[Manifest] | None, list[Manifest]]]:
    peers = "from" if direction == "Ingress" else "to"
    for policy in policies:
        for rule in policy.get(direction.lower(), []):
            yield rule.get(peers), rule["ports"]


def _rule_allows(rule: tuple[list[Manifest] | None, list[Manifest]], other: Pod, port: int) -> bool:
    peers, ports = rule
    return any(each["port"] == port for each in ports) and (peers is None or any(_is(peer, other) for peer in peers))


def _is(peer: Manifest, pod: Pod) -> bool:
    if "ipBlock" in peer:
        return False  # all of ours stand for addresses outside the cluster
    if "namespaceSelector" in peer:
        named = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        return bool(named == pod.namespace) and ("podSelector" not in peer or selects(peer["podSelector"], pod))
    return pod.namespace == NAMESPACE and selects(peer["podSelector"], pod)


def selects(selector: Manifest, pod: Pod) -> bool:
    """Whether a pod selector takes that pod."""
    found = dict(pod.labels)
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] in ("In", "Exists") for each in expressions)
    return selector.get("matchLabels", {}).items() <= found.items() and all(
        each["key"] in found and (each["operator"] == "Exists" or found[each["key"]] in each["values"])
        for each in expressions
    )
