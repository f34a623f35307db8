import pytest

from tests.k8s.rendering import OVERLAYS, SOURCES, Manifests, manifests


@pytest.fixture(params=[SOURCES, *OVERLAYS])
def anywhere(request: pytest.FixtureRequest) -> Manifests:
    """What holds for every single object, as written and as rendered."""
    return manifests(request.param)


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Manifests:
    """What an operator applies."""
    return manifests(request.param)


@pytest.fixture
def dev() -> Manifests:
    return manifests("dev")


@pytest.fixture
def production() -> Manifests:
    return manifests("production")
