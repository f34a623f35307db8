"""With the component `mtls` everybody has a certificate of the name under which they are called."""

import subprocess
from pathlib import Path

import pytest

from devstack.layout import SERVICES
from devstack.nats import nats_server
from petpro_common.testing.certificates import Authority
from tests.k8s.rendering import OVERLAYS, Manifests, combined, containers, name_of, pod
from tests.k8s.test_servers import PASSWORDS

pytestmark = pytest.mark.unit

FOLDER = "/etc/petpro/tls"


@pytest.fixture(params=OVERLAYS)
def secured(request: pytest.FixtureRequest) -> Manifests:
    return combined(request.param, "mtls")


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


def test_nats_has_a_certificate_of_every_name_under_which_it_is_called(secured: Manifests) -> None:
    certificate, nats = secured.get("Certificate", "petpro-nats")["spec"], secured.get("StatefulSet", "nats")
    (volume,) = [each["secret"] for each in pod(nats)["volumes"] if each["name"] == "tls"]
    assert volume["secretName"] == certificate["secretName"]
    assert {"server auth", "client auth"} <= set(certificate["usages"])
    servers = {f"nats-{number}.nats" for number in range(nats["spec"]["replicas"])}
    assert {name_of(secured.get("Service", "nats")), *servers} <= set(certificate["dnsNames"])
    for service in SERVICES:
        told = secured.get("ConfigMap", f"petpro-settings-{service}")["data"]
        assert told[f"PETPRO_{service}_NATS_URL".upper()] == "tls://nats:4222"


def test_nats_takes_its_configuration_and_asks_for_certificates(secured: Manifests, tmp_path: Path) -> None:
    issued = Authority().issue(tmp_path / "issued")
    texts = secured.get("ConfigMap", "petpro-nats")["data"]
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace(FOLDER, str(issued)))
    command = [nats_server(), "-t", "-c", str(tmp_path / "nats.conf")]
    env = {"POD_NAME": "nats-0", **PASSWORDS}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "verify: true" in texts["tls.conf"]
    assert "handshake_first: true" in texts["tls.conf"]
    assert "verify: true" in texts["routes-tls.conf"]
