"""Settings come from the environment and from secret files, and an error about them tells no secret."""

import re
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from petpro_common.settings import ServiceSettings

pytestmark = pytest.mark.unit

ENVIRONMENT = {
    "GRPC_ADDRESS": "127.0.0.1:1",
    "METRICS_ADDRESS": "127.0.0.1:2",
    "DATABASE_URL": "postgresql://kennel@127.0.0.1/kennel",
    "NATS_URL": "nats://127.0.0.1:3",
    "ACCOUNT_ADDRESS": "127.0.0.1:4",
    "SERVICE_JWKS_FILE": "/keys/service-jwks.json",
    "DRAIN_SECONDS": "0.5",
}
SECRETS = {"database_password": "a bone", "nats_password": "a ball", "service_key": "a key"}


README = Path(__file__).parents[1] / "README.md"


class Settings(ServiceSettings):
    service: ClassVar[str] = "kennel"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the secret files; everything is told that must be."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"PETPRO_KENNEL_{name}", value)
    for name, value in SECRETS.items():
        (tmp_path / f"petpro_kennel_{name}").write_text(value + "\n")
    monkeypatch.setenv("PETPRO_KENNEL_SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_texts_become_what_the_fields_are(told: Path) -> None:
    settings = Settings.load(log_level="debug")
    assert settings.service_jwks_file == Path("/keys/service-jwks.json")
    assert settings.drain_seconds == 0.5
    assert settings.database_password.get_secret_value() == "a bone"
    assert settings.database_pool_size == 10
    assert settings.log_level == "debug"


def test_the_environment_goes_before_a_secret_file(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETPRO_KENNEL_NATS_PASSWORD", "a stick")
    assert Settings.load().nats_password.get_secret_value() == "a stick"


def test_a_password_that_was_changed_is_told_when_it_is_asked_for(told: Path) -> None:
    settings = Settings.load()
    (told / "petpro_kennel_database_password").write_text("a bigger bone\n")
    assert settings.database_password_now() == "a bigger bone"
    assert settings.database_password.get_secret_value() == "a bone"


def test_a_file_that_has_gone_tells_what_it_told_at_the_start(told: Path) -> None:
    settings = Settings.load()
    (told / "petpro_kennel_database_password").unlink()
    assert settings.database_password_now() == "a bone"


def test_every_missing_setting_is_named_and_no_secret_is_told(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PETPRO_KENNEL_NATS_URL")
    (told / "petpro_kennel_service_key").unlink()
    with pytest.raises(ValidationError) as missing:
        Settings.load()
    assert {error["loc"] for error in missing.value.errors()} == {("nats_url",), ("service_key",)}
    assert "a bone" not in str(missing.value)


def test_what_cannot_be_read_is_refused(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETPRO_KENNEL_DRAIN_SECONDS", "soon")
    with pytest.raises(ValidationError, match="drain_seconds"):
        Settings.load()


def test_every_setting_is_described_and_no_other() -> None:
    table = README.read_text().partition("## Settings")[2].partition("## Sagas")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([A-Z_]+)`", "".join(first))) == sorted(map(str.upper, ServiceSettings.model_fields))
    secret = {name.upper() for name, field in ServiceSettings.model_fields.items() if field.annotation is SecretStr}
    assert {re.findall(r"`([A-Z_]+)`", cell)[0] for cell in first if "*" in cell} == secret
