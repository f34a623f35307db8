"""Providers are found by name, read their own settings, and cost nothing where they are not configured."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from petpro_payment.providers.registry import FILES, open_providers

SECRETS = {
    "sandbox": ("sandbox_api_key", "sandbox_webhook_secret"),
    "stripe": ("stripe_secret_key", "stripe_webhook_secret"),
    "xendit": ("xendit_secret_key", "xendit_callback_token"),
    "midtrans": ("midtrans_server_key",),
}
SETTINGS = {
    "PETPRO_PAYMENT_SANDBOX_URL": "http://sandbox:8080",
    "PETPRO_PAYMENT_XENDIT_RETURN_URL": "https://app.example",
    "PETPRO_PAYMENT_MIDTRANS_RETURN_URL": "https://app.example",
}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings and secret files of every provider."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PETPRO_PAYMENT_SECRETS_DIR", str(tmp_path))
    for secret in (secret for secrets in SECRETS.values() for secret in secrets):
        (tmp_path / f"petpro_payment_{secret}").write_text("a secret\n")
    return tmp_path


@pytest.mark.usefixtures("told")
async def test_every_provider_opens_under_its_own_name() -> None:
    async with open_providers(FILES, 1.0) as providers:
        assert {name: provider.capabilities.name for name, provider in providers.items()} == {
            name: name for name in FILES
        }


@pytest.mark.parametrize("name", FILES)
async def test_a_secret_that_is_missing_is_named_and_none_is_shown(told: Path, name: str) -> None:
    missing = SECRETS[name][0]
    (told / f"petpro_payment_{missing}").unlink()
    with pytest.raises(ValidationError, match=missing) as fault:
        async with open_providers([name], 1.0):
            pass
    assert "a secret" not in str(fault.value)


async def test_a_provider_that_there_is_not() -> None:
    with pytest.raises(LookupError, match="no payment provider 'lehman'"):
        async with open_providers(["lehman"], 1.0):
            pass


def test_the_service_loads_no_provider_before_it_is_configured() -> None:
    look = "import sys, petpro_payment.__main__; print([name for name in sys.argv[1:] if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", look, "stripe", *FILES.values()], capture_output=True, check=True)
    assert ran.stdout == b"[]\n"
