"""Whatever an operator puts together builds, has nothing twice, and keeps to the rules for pods."""

from collections import Counter
from itertools import chain, combinations
from pathlib import Path

import pytest
import yaml

from tests.k8s import test_jobs, test_pods
from tests.k8s.rendering import K8S, OVERLAYS, combined, manifests

pytestmark = pytest.mark.unit

COMPONENTS = sorted(folder.name for folder in (K8S / "components").iterdir())
RULES = (
    test_pods.test_no_pod_has_rights_it_does_not_need,
    test_pods.test_no_pod_can_speak_to_the_api_server,
    test_pods.test_no_pod_shares_anything_with_its_node,
    test_pods.test_every_container_says_what_it_needs,
    test_pods.test_everything_that_serves_has_three_probes,
    test_pods.test_liveness_asks_for_no_dependency,
    test_pods.test_a_new_version_takes_nothing_away_before_it_is_ready,
    test_pods.test_a_service_has_time_to_stop,
    test_pods.test_every_service_and_the_gateway_may_lose_one_pod_at_a_time,
    test_pods.test_a_migration_runs_the_image_and_the_settings_of_its_service,
    test_pods.test_a_change_of_settings_makes_new_pods,
    test_pods.test_every_object_says_what_it_belongs_to,
    test_jobs.test_all_upkeep_is_there,
    test_jobs.test_jobs_never_pile_up,
)


def of_overlay(overlay: str) -> set[str]:
    said = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())
    return {Path(each).name for each in said["components"]}


def _combinations() -> list[tuple[str, tuple[str, ...]]]:
    """Each overlay with each choice of the components that it has not."""
    return [
        (overlay, chosen)
        for overlay in OVERLAYS
        for more in [sorted(set(COMPONENTS) - of_overlay(overlay))]
        for chosen in chain.from_iterable(combinations(more, count) for count in range(1, len(more) + 1))
    ]


@pytest.mark.parametrize(
    ("overlay", "chosen"), _combinations(), ids=lambda each: each if isinstance(each, str) else "+".join(each)
)
def test_components_go_with_each_other(overlay: str, chosen: tuple[str, ...]) -> None:
    found = combined(overlay, *chosen)

    names = Counter((each["kind"], each["metadata"]["name"]) for each in found.objects)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(found.objects) > len(manifests(overlay).objects)
    for rule in RULES:
        rule(found)
