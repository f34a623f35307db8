"""Objects of operators of others are as `deploy/schemas` says, and a slip in one of them is noticed."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from deploy.custom_resources import SCHEMAS, faults, group_of, is_custom, schemas
from tests.k8s.rendering import K8S, OVERLAYS, Manifest, combined, manifests
from tests.k8s.test_combinations import COMPONENTS, of_overlay

pytestmark = pytest.mark.unit

RECOVERY = K8S / "overlays/production/recovery/cluster.yaml"


@pytest.fixture(params=OVERLAYS)
def custom(request: pytest.FixtureRequest) -> list[Manifest]:
    """Those of an overlay with every component, and of what is applied by hand."""
    whole = combined(request.param, *sorted(set(COMPONENTS) - of_overlay(request.param)))
    by_hand = yaml.safe_load_all(RECOVERY.read_text())
    return [each for each in (*whole.objects, *by_hand) if is_custom(each)]


def test_every_object_is_as_its_schema_says(custom: list[Manifest]) -> None:
    assert [fault for each in custom for fault in faults(each)] == []


def test_a_slip_in_any_field_is_noticed(custom: list[Manifest]) -> None:
    one_of_each = {(group_of(each), each["kind"], tuple(_fields(each["spec"]))): each for each in custom}.values()
    unseen = [
        f"{each['kind']}: {'.'.join(map(str, path))}"
        for each in one_of_each
        for path in _fields(each["spec"])
        if not list(faults(_misspelt(each, path)))
    ]
    assert unseen == []


def test_a_kind_that_nobody_knows_is_refused() -> None:
    (fault,) = faults({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Clustre", "metadata": {"name": "postgres"}})
    assert fault == "Clustre postgres: nothing is known of this kind"


def test_another_version_of_a_group_is_refused() -> None:
    (cluster,) = manifests("production").of("Cluster")
    (fault,) = faults({**cluster, "apiVersion": "postgresql.cnpg.io/v1beta1"})
    assert "apiVersion" in fault


def test_no_schema_is_left_over() -> None:
    used = {
        (group_of(each), each["kind"])
        for file in K8S.rglob("*.yaml")
        for each in yaml.safe_load_all(file.read_text())
        if isinstance(each, dict) and "kind" in each and is_custom(each)
    }
    known = {(file.stem, kind) for file in SCHEMAS.glob("*.yaml") for kind in schemas(file.stem)}
    assert known == used


def _fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every field, but for names that we choose: labels, annotations and parameters."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not {"labels", "matchLabels", "annotations", "parameters"} & set(path):
                yield (*path, name)
            yield from _fields(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:1]):
            yield from _fields(inner, (*path, number))


def _misspelt(manifest: Manifest, path: tuple[str | int, ...]) -> Manifest:
    """The object with the last letter of that field's name twice."""
    copy = deepcopy(manifest)
    holder: Any = copy["spec"]
    for step in path[:-1]:
        holder = holder[step]
    name = str(path[-1])
    holder[name + name[-1]] = holder.pop(name)
    return copy
