"""A service of the dev stack has the packages of its image."""

import importlib
import sys

import pytest

from devstack.as_in_image import Absent, absent
from devstack.layout import SERVICES

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_asks_for_is_there_and_what_people_use_is_not(service: str) -> None:
    missing = absent(service)
    assert {"rich", "httpx", "pytest", "typer"} <= missing
    assert not {"grpcio", "structlog", "psycopg", "sqlalchemy", "nats_py"} & missing


def test_only_payment_speaks_to_providers() -> None:
    assert not {"aiohttp", "stripe"} & absent("payment")
    assert {"aiohttp", "stripe"} <= absent("account")


def test_what_is_not_in_the_image_is_as_good_as_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [Absent({"smtpd_of_old"}), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="smtpd_of_old is not in the image"):
        importlib.import_module("smtpd_of_old")
    assert importlib.import_module("json").__name__ == "json"
