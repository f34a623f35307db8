"""What the dev stack tells a service is what its settings class asks for, and no more."""

from importlib import import_module
from pathlib import Path

import pytest

from devstack import services
from devstack.layout import SERVICES, Layout
from devstack.ports import Ports
from devstack.stack import surroundings
from petpro_payment.providers import sandbox

pytestmark = pytest.mark.unit


def test_a_service_of_the_dev_stack_has_time_to_stop(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.secrets.mkdir()
    around = surroundings(layout, Ports(layout.ports, {}), fast=True)
    around.secrets.make_all()
    for service in SERVICES:
        stop = import_module(f"petpro_{service}.settings").Settings.model_fields["stop_seconds"].default
        assert services.part(around, service).grace_seconds >= stop + 10


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_of_the_dev_stack_is_told_all_that_it_needs_and_nothing_else(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(services.TRACES, "127.0.0.1:4317")
    layout = Layout(tmp_path)
    layout.secrets.mkdir()
    around = surroundings(layout, Ports(layout.ports, {}), fast=True)
    around.secrets.make_all()
    told = services.settings(around, service)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = import_module(f"petpro_{service}.settings").Settings
    fields = settings.model_fields | (sandbox.Settings.model_fields if service == "payment" else {})
    prefix = f"PETPRO_{service}_".upper()
    assert {name.removeprefix(prefix).lower() for name in told} - fields.keys() == {"secrets_dir"}
    settings.load()
