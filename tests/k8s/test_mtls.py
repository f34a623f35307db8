"""With the component `mtls` everybody has a certificate of the name under which they are called."""

from pathlib import Path

import pytest

from devstack.layout import SERVICES
from tests.k8s.rendering import OVERLAYS, Manifests, combined, containers, name_of, pod

pytestmark = pytest.mark.unit

FOLDER = "/etc/petpro/tls"


@pytest.fixture(params=OVERLAYS)
def secured(request: pytest.FixtureRequest, tmp_path: Path) -> Manifests:
    return combined(request.param, ["mtls"], tmp_path)


def test_everybody_has_a_certificate_of_their_own(secured: Manifests) -> None:
    for part in (*SERVICES, "gateway"):
        certificate = secured.get("Certificate", f"petpro-{part}")["spec"]
        deployment = secured.get("Deployment", f"petpro-{part}")
        (volume,) = [each["secret"] for each in pod(deployment)["volumes"] if each["name"] == "tls"]
        assert volume["secretName"] == certificate["secretName"]
        mounts = [
            each["mountPath"] for each in pod(deployment)["containers"][0]["volumeMounts"] if each["name"] == "tls"
        ]
        assert mounts == [FOLDER]
        assert "client auth" in certificate["usages"]


def test_a_certificate_bears_the_name_under_which_its_service_is_called(secured: Manifests) -> None:
    for service in SERVICES:
        certificate = secured.get("Certificate", f"petpro-{service}")["spec"]
        assert certificate["dnsNames"] == [name_of(secured.get("Service", f"petpro-{service}"))]
        assert "server auth" in certificate["usages"]


def test_all_certificates_are_of_one_authority(secured: Manifests) -> None:
    authority = secured.get("Certificate", "petpro-authority")["spec"]
    issuers = {name_of(each): each["spec"] for each in secured.of("Issuer")}
    assert authority["isCA"] is True
    assert issuers["petpro"] == {"ca": {"secretName": authority["secretName"]}}
    for part in (*SERVICES, "gateway"):
        assert secured.get("Certificate", f"petpro-{part}")["spec"]["issuerRef"] == {"kind": "Issuer", "name": "petpro"}


def test_services_and_the_gateway_are_told_to_use_them(secured: Manifests) -> None:
    for service in SERVICES:
        told = secured.get("ConfigMap", f"petpro-settings-{service}")["data"]
        prefix = f"PETPRO_{service}_".upper()
        assert (told[f"{prefix}TLS_FOLDER"], told[f"{prefix}PROBE_ADDRESS"]) == (FOLDER, "0.0.0.0:50052")
    (compiler, _envoy) = containers(secured.get("Deployment", "petpro-gateway"))
    assert f"--tls-folder={FOLDER}" in compiler["args"]


def test_a_certificate_is_renewed_long_before_it_ends(secured: Manifests) -> None:
    for part in (*SERVICES, "gateway"):
        certificate = secured.get("Certificate", f"petpro-{part}")["spec"]
        duration, before = (int(certificate[field].removesuffix("h")) for field in ("duration", "renewBefore"))
        assert before * 3 >= duration
